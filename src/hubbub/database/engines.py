"""Engines of SQLAlchemy, set up for what is kept in them."""

import sqlite3
from typing import Any

from sqlalchemy import Connection, event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from hubbub.database.address import Address, Dialect
from hubbub.exceptions import ConfigurationError

BUSY = 5.0
"""Seconds that a transaction on SQLite waits for another process to end its own."""
CONNECT = 5.0
"""Seconds in which PostgreSQL lets a connection in."""
POOL = 10
"""Connections that are kept; as many more are opened when all are in use."""

IDLE = 10.0
"""Seconds after which PostgreSQL ends a transaction that asks for nothing."""

READING = "hubbub_reading"
"""The execution option of what only reads."""
_SERVER_SETTINGS = {
    "application_name": "hubbub",
    # A process that was stopped, or a machine that vanished, in the middle of a transaction would hold its rows for ever.
    "idle_in_transaction_session_timeout": str(int(IDLE * 1000)),
}


def make_engine(address: Address) -> AsyncEngine:
    """Make an engine on a database; it connects when it is used.

    Raises:
        ConfigurationError: the driver is not installed.
    """
    try:
        return _on_postgresql(address) if address.dialect is Dialect.POSTGRESQL else _on_sqlite(address)
    except ModuleNotFoundError as error:
        extra = "postgres" if address.dialect is Dialect.POSTGRESQL else "database"
        raise ConfigurationError(f"{address} needs {error.name}: pip install 'hubbub[{extra}]'.") from None


def _on_postgresql(address: Address) -> AsyncEngine:
    return create_async_engine(
        address.url,
        pool_size=POOL,
        max_overflow=POOL,
        pool_pre_ping=True,
        pool_timeout=CONNECT,
        connect_args={"timeout": CONNECT, "server_settings": _SERVER_SETTINGS},
    )


def _on_sqlite(address: Address) -> AsyncEngine:
    engine = create_async_engine(address.url, connect_args={"timeout": BUSY, "isolation_level": None})
    event.listen(engine.sync_engine, "connect", _set_up_sqlite)
    event.listen(engine.sync_engine, "begin", _begin_on_sqlite)
    return engine


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
    is_reading = connection.get_execution_options().get(READING, False)
    connection.exec_driver_sql("BEGIN" if is_reading else "BEGIN IMMEDIATE")
