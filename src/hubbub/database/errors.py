"""What a database's errors mean to those who asked."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, DisconnectionError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from hubbub.exceptions import Unavailable

AWAY = "The database cannot be reached at the moment: try again."
SILENT = "it did not answer in time"

RETRYABLE = {
    "40001",  # serialization_failure
    "40P01",  # deadlock_detected
    "55P03",  # lock_not_available
    "57014",  # query_canceled: a statement's timeout
}
"""States in which PostgreSQL is well, and the same again may succeed (its manual, appendix A)."""
READ_ONLY = "25006"
"""read_only_sql_transaction: this server writes no more, or not yet. A failover is under way, or a provider has locked a
database whose disk is full."""
PASSING = {
    *RETRYABLE,
    READ_ONLY,
    "25P03",  # idle_in_transaction_session_timeout: the session was ended
    "25P04",  # transaction_timeout: likewise
}
CONNECTION_CLASSES = ("08", "28", "3D", "53", "57P", "58")
"""Connection exceptions; logins and missing databases, which are what a restore or a new password looks like meanwhile;
insufficient resources (a full disk, 53100), shutdowns (57P01 to 57P05), errors of the system (58030).

Not among them: 42501, a right that the role does not have. No second try mends it, and whoever runs the server is to see which it
is. Nor XX001, data that is corrupted.
"""
SQLITE_STATES = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PROTOCOL,
}
"""Not among them: CORRUPT and NOTADB, which do not pass."""
SQLITE_FILES = {
    sqlite3.SQLITE_READONLY,  # also: the file has been moved or deleted (SQLITE_READONLY_DBMOVED)
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
}
"""States after which the file may be another one than that which a connection has open."""


class DatabaseUnavailable(Unavailable):
    """The database cannot be reached, is locked, or gave a statement up: try again. `reason` says why."""


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
        if is_passing(error.orig) or (error.connection_invalidated and not is_broken(error.orig)):
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
        return state in PASSING or state.startswith(CONNECTION_CLASSES)
    return isinstance(error, OSError)


def ends_connection(error: BaseException | None) -> bool:
    """Tell whether a connection is of no use after a driver's error, though it may look well.

    After a timeout nobody knows what it is doing. After a failover the old server may let its connections read for ever, and
    SQLite one whose file was deleted.
    """
    code = getattr(error, "sqlite_errorcode", None)
    if code is not None:
        return code & 0xFF in SQLITE_FILES
    return isinstance(error, TimeoutError) or getattr(error, "sqlstate", None) == READ_ONLY


def is_broken(error: BaseException | None) -> bool:
    """Tell whether a driver's error means that a file of SQLite is damaged, or none of its own."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def cause_of(error: BaseException) -> BaseException:
    """Return what the driver said, of an error that was made of it."""
    if isinstance(error, DatabaseUnavailable) and error.__cause__ is not None:
        return cause_of(error.__cause__)
    if isinstance(error, DBAPIError) and error.orig is not None:
        return cause_of(error.orig)
    return error


def reason(error: BaseException) -> str:
    """Return in one line why a database could not be used, without a full stop; never an empty one."""
    cause = cause_of(error)
    said = " ".join(str(cause).split()).rstrip(".")
    if said:
        return said
    return SILENT if isinstance(cause, TimeoutError) else type(cause).__name__
