"""What a database's errors mean to those who asked."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, DisconnectionError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from hubbub.exceptions import Unavailable

AWAY = "The database cannot be reached at the moment: try again."
RETRYABLE = {
    "40001",  # serialization_failure
    "40P01",  # deadlock_detected
    "55P03",  # lock_not_available
    "57014",  # query_canceled: a statement's timeout
}
"""States in which PostgreSQL is well, and the same again may succeed (its manual, appendix A)."""
CONNECTION_CLASSES = ("08", "28", "3D", "53", "57P", "58")
"""Connection exceptions, logins, missing databases, insufficient resources, shutdowns, system errors."""
SQLITE_STATES = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PROTOCOL,
}


class DatabaseUnavailable(Unavailable):
    """The database cannot be reached, is locked, or gave a statement up: try again."""


@contextmanager
def translated() -> Iterator[None]:
    """Turn what a database raises when it is away into `DatabaseUnavailable`; other errors are those of a program.

    Raises:
        DatabaseUnavailable: see there. Whether a commit whose answer was lost was made is unknown.
    """
    try:
        yield
    except (DisconnectionError, PoolTimeout, OSError) as error:
        raise DatabaseUnavailable(AWAY) from error
    except DBAPIError as error:
        if error.connection_invalidated or is_passing(error.orig):
            raise DatabaseUnavailable(AWAY) from error
        raise
    except Exception as error:
        if is_passing(error):  # of the driver itself, before SQLAlchemy has a connection
            raise DatabaseUnavailable(AWAY) from error
        raise


def is_passing(error: BaseException | None) -> bool:
    """Tell whether a driver's error is about the state of its database, and not about what it was asked."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is not None:
        return code & 0xFF in SQLITE_STATES  # the rest says more exactly which
    state = getattr(error, "sqlstate", None)
    if state is not None:
        return state in RETRYABLE or state.startswith(CONNECTION_CLASSES)
    return isinstance(error, OSError)
