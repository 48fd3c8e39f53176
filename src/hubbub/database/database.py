"""One database: its engine, and transactions on it."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from types import TracebackType
from typing import Any, Self

from sqlalchemy import Connection, event
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from hubbub.database.address import Address, Dialect
from hubbub.database.errors import translated
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
EXAMPLE = "postgresql+asyncpg://user:password@host/name"
_SERVER_SETTINGS = {
    "application_name": "hubbub",
    # A process that was stopped, or a machine that vanished, in the middle of a transaction would hold its rows for ever.
    "idle_in_transaction_session_timeout": str(int(IDLE * 1000)),
}


class Database:
    """A database that features keep their tables in.

    On SQLite there is one writer at a time: transactions of this process queue here, where waiting costs nothing, and
    those of other processes are waited for up to `BUSY` seconds. It runs with a write-ahead log, so that nobody waits to
    read, and syncs it with every commit: what was committed survives a power cut.

    Args:
        address: where it is.
        alone: whether no other process uses it, ever; then nobody waits for the leases of those that died.
        engine: one that the application has, which is used and not ended; `None` makes one.

    Raises:
        ConfigurationError: the driver is not installed.
    """

    def __init__(
        self, address: Address | str, *, alone: bool = False, engine: AsyncEngine | None = None
    ) -> None:
        self.address = Address.parse(address) if isinstance(address, str) else address
        self.dialect = self.address.dialect
        self.alone = alone
        self._is_owner = engine is None
        try:
            self.engine = _engine(self.address) if engine is None else engine
        except ModuleNotFoundError as error:
            extra = "postgres" if self.dialect is Dialect.POSTGRESQL else "database"
            raise ConfigurationError(
                f"{self.address} needs {error.name}: pip install 'hubbub[{extra}]'."
            ) from None
        self._writing = asyncio.Lock()

    @classmethod
    def of_engine(cls, engine: AsyncEngine) -> "Database":
        """Return the database that an engine is connected with.

        PostgreSQL is used through that engine, so that its credentials and certificates hold. On a SQLite file an engine of
        our own is made, because transactions must begin otherwise than SQLAlchemy's do there by default.

        Raises:
            ConfigurationError: it is of another kind, or another driver than Hubbub's, or in memory.
        """
        address = Address.parse(engine.url.render_as_string(hide_password=False))
        if address.dialect is Dialect.SQLITE:
            return cls(address)
        if engine.url.drivername != address.url.drivername:
            raise ConfigurationError(
                f"Hubbub uses {address.url.drivername}: create_async_engine({EXAMPLE!r})."
            )
        return cls(address, engine=engine.execution_options(isolation_level="READ COMMITTED"))

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """Run a transaction, and commit it at the end of the block; an error in it rolls it back.

        Raises:
            DatabaseUnavailable: the database cannot be reached; of a commit it is unknown whether it was made.
        """
        async with AsyncExitStack() as stack:
            if self.dialect is Dialect.SQLITE:
                await stack.enter_async_context(self._writing)
            stack.enter_context(translated())
            yield await stack.enter_async_context(self.engine.begin())

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """Read, without waiting for those who write.

        Raises:
            DatabaseUnavailable: the database cannot be reached.
        """
        with translated():
            async with self.engine.connect() as connection:
                yield await connection.execution_options(**{READING: True})

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._is_owner:
            await self.engine.dispose()


def _engine(address: Address) -> AsyncEngine:
    if address.dialect is Dialect.POSTGRESQL:
        return create_async_engine(
            address.url,
            pool_size=POOL,
            max_overflow=POOL,
            pool_pre_ping=True,
            pool_timeout=CONNECT,
            connect_args={"timeout": CONNECT, "server_settings": _SERVER_SETTINGS},
        )
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
