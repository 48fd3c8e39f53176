"""Which errors of drivers mean that the database is away, and which that a program is wrong."""

import sqlite3

import pytest

from hubbub.database.errors import is_passing


def of_sqlite(code):
    error = sqlite3.OperationalError("x")
    error.sqlite_errorcode = code
    return error


class OfPostgres(Exception):
    def __init__(self, sqlstate):
        super().__init__("x")
        self.sqlstate = sqlstate


@pytest.mark.parametrize(
    "error",
    [
        of_sqlite(sqlite3.SQLITE_BUSY),
        of_sqlite(sqlite3.SQLITE_BUSY_SNAPSHOT),
        of_sqlite(sqlite3.SQLITE_IOERR_FSYNC),
        of_sqlite(sqlite3.SQLITE_FULL),
        *map(OfPostgres, ("40001", "40P01", "57P01", "08006", "53300", "28P01", "3D000")),
        ConnectionRefusedError(),
        TimeoutError(),
    ],
)
def test_passing(error):
    assert is_passing(error)


@pytest.mark.parametrize(
    "error",
    [
        of_sqlite(sqlite3.SQLITE_ERROR),
        of_sqlite(sqlite3.SQLITE_CONSTRAINT_UNIQUE),
        *map(OfPostgres, ("42P01", "23505", "22001", "42601")),
        ValueError(),
        None,
    ],
)
def test_not_passing(error):
    assert not is_passing(error)
