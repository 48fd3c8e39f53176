"""Engines of SQLAlchemy, set up for what is kept in them."""

import sqlite3
from typing import Any

from sqlalchemy import Connection, ExceptionContext, event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from hubbub.database.address import Address, Dialect
from hubbub.database.errors import ends_connection
from hubbub.database.options import for_driver, for_sqlalchemy
from hubbub.database.sqlite_file import SqliteFile
from hubbub.exceptions import ConfigurationError

BUSY = 5.0
"""Seconds that a transaction on SQLite waits for another process to end its own."""
CONNECT = 5.0
"""Seconds in which PostgreSQL lets a connection in."""
STATEMENT = 15.0
"""Seconds that PostgreSQL has for a statement. One that was stopped, or whose host has vanished, closes no connection."""
POOL = 10
"""Connections that are kept; as many more are opened when all are in use."""

IDLE = 10.0
"""Seconds after which PostgreSQL ends a transaction that asks for nothing."""

READING = "hubbub_reading"
"""The execution option of what only reads."""
PATIENCE = "hubbub_patience"
"""The execution option that says for how many seconds a transaction on SQLite waits, where that is not `BUSY`."""
_SERVER_SETTINGS = {
    "application_name": "hubbub",
    # A process that was stopped, or a machine that vanished, in the middle of a transaction would hold its rows for ever.
    "idle_in_transaction_session_timeout": str(int(IDLE * 1000)),
}


def make_engine(address: Address, *, statement: float = STATEMENT) -> AsyncEngine:
    """Make an engine on a database; it connects when it is used.

    Args:
        address: where it is.
        statement: seconds that PostgreSQL has for each statement, a commit or rollback too. After that it is told to cancel it,
            the connection is given up, and `TimeoutError` is raised.

    Raises:
        ConfigurationError: the driver is not installed.
    """
    try:
        if address.dialect is Dialect.POSTGRESQL:
            engine = _on_postgresql(address, statement)
        else:
            engine = _on_sqlite(address)
    except ModuleNotFoundError as error:
        extras = "'hubbub[postgres]', or 'hubbub[server,postgres]' for a server"
        if address.dialect is Dialect.SQLITE:
            extras = "'hubbub[database]'"
        raise ConfigurationError(f"{address} needs {error.name}: pip install {extras}.") from None
    event.listen(engine.sync_engine, "handle_error", _judge)
    return engine


def _on_postgresql(address: Address, statement: float) -> AsyncEngine:
    options = address.url.query
    return create_async_engine(
        address.url.set(query=for_sqlalchemy(options)),
        pool_size=POOL,
        max_overflow=POOL,
        pool_pre_ping=True,
        pool_timeout=CONNECT,
        connect_args={
            "command_timeout": statement,
            **for_driver(options, connect=CONNECT, settings=_SERVER_SETTINGS),
        },
    )


def _on_sqlite(address: Address) -> AsyncEngine:
    engine = create_async_engine(address.url, connect_args={"timeout": BUSY, "isolation_level": None})
    SqliteFile(str(address.url.database)).watch(engine)
    event.listen(engine.sync_engine, "connect", _set_up_sqlite)
    event.listen(engine.sync_engine, "begin", _begin_on_sqlite)
    return engine


def _judge(context: ExceptionContext) -> None:
    if ends_connection(context.original_exception):
        context.is_disconnect = (
            True  # it is closed, and so are the others in the pool when they are next asked for
        )


def _set_up_sqlite(connection: Any, record: Any) -> None:
    cursor = connection.cursor()
    try:
        for pragma in ("foreign_keys=ON", "synchronous=FULL", "journal_mode=WAL"):
            cursor.execute(f"PRAGMA {pragma}")
    except sqlite3.OperationalError as error:
        if "locked" not in str(error):  # somebody is at it; that the file has a write-ahead log is kept in it
            raise
    finally:
        cursor.close()


def _begin_on_sqlite(connection: Connection) -> None:
    # A transaction that reads first and then writes cannot wait for another writer: it would have to read again.
    options = connection.get_execution_options()
    if options.get(READING, False):
        connection.exec_driver_sql("BEGIN")
        return
    patience = options.get(PATIENCE, BUSY)
    if patience == BUSY:  # as the connection was opened
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        return
    _wait_for(connection, patience)
    try:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    finally:
        _wait_for(connection, BUSY)


def _wait_for(connection: Connection, seconds: float) -> None:
    connection.exec_driver_sql(f"PRAGMA busy_timeout = {int(seconds * 1000)}")
