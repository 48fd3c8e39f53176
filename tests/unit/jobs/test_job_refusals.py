import sqlite3

import pytest
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, OperationalError

from hubbub.jobs.sql.refusals import is_about_values


class Refused(Exception):
    def __init__(self, sqlstate):
        self.sqlstate = sqlstate


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (IntegrityError("", {}, sqlite3.IntegrityError("refused")), True),
        (DataError("", {}, sqlite3.DataError("too large")), True),
        (DBAPIError("", {}, Refused("22021")), True),
        (DBAPIError("", {}, Refused("54000")), True),
        (OverflowError("Python int too large to convert to SQLite INTEGER"), True),
        (DBAPIError("", {}, Refused("42P01")), False),
        (DBAPIError("", {}, Refused("42501")), False),
        (OperationalError("", {}, sqlite3.OperationalError("no such table: hubbub_jobs")), False),
        (DBAPIError("", {}, sqlite3.DatabaseError("file is not a database")), False),
    ],
)
def test_whose_fault_it_is(error, expected):
    assert is_about_values(error) is expected
