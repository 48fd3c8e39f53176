"""Which errors of drivers mean that the database is away, and which that a program is wrong."""

import sqlite3

import pytest
from sqlalchemy.exc import DBAPIError

from hubbub.database.errors import DatabaseUnavailable, ends_connection, is_passing, reason, translated


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
        *map(
            OfPostgres,
            (
                "40001",
                "40P01",
                "57P01",
                "08006",
                "53100",
                "53300",
                "58030",
                "28P01",
                "3D000",
                "25006",
                "25P03",
            ),
        ),
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
        of_sqlite(sqlite3.SQLITE_CORRUPT),
        of_sqlite(sqlite3.SQLITE_NOTADB),
        *map(OfPostgres, ("42P01", "23505", "22001", "42601", "42501", "XX001", "25001")),
        ValueError(),
        None,
    ],
)
def test_not_passing(error):
    assert not is_passing(error)


@pytest.mark.parametrize(
    ("error", "ends"),
    [
        (TimeoutError(), True),
        (OfPostgres("25006"), True),
        (of_sqlite(sqlite3.SQLITE_READONLY_DBMOVED), True),
        (of_sqlite(sqlite3.SQLITE_IOERR_READ), True),
        (of_sqlite(sqlite3.SQLITE_BUSY), False),
        (OfPostgres("40001"), False),
        (OfPostgres("23505"), False),
        (None, False),
    ],
)
def test_after_which_a_connection_is_given_up(error, ends):
    assert ends_connection(error) is ends


def test_a_file_that_is_damaged_does_not_pass_though_its_connection_is_given_up():
    broken = DBAPIError("SELECT 1", {}, of_sqlite(sqlite3.SQLITE_CORRUPT), connection_invalidated=True)
    with pytest.raises(DBAPIError), translated():
        raise broken


def unavailable(error):
    with pytest.raises(DatabaseUnavailable) as raised, translated():
        raise error
    return raised.value


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (unavailable(TimeoutError()), "it did not answer in time"),
        (unavailable(ConnectionRefusedError(111, "Connection refused")), "[Errno 111] Connection refused"),
        (unavailable(OSError()), "OSError"),
        (unavailable(DBAPIError("SELECT 1", {}, OfPostgres("57P01"))), "x"),
        (
            unavailable(DBAPIError("SELECT 1", {}, TimeoutError(), connection_invalidated=True)),
            "it did not answer in time",
        ),
        (ValueError("Two\n  lines."), "Two lines"),
        (ValueError(), "ValueError"),
    ],
)
def test_a_reason_is_one_line_and_never_empty(error, said):
    assert reason(error) == said
