"""One database: its engine, transactions on it, and this process among those that use it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from hubbub.database.address import Address, Dialect
from hubbub.database.connections import Connections
from hubbub.database.engines import make_engine
from hubbub.database.liveness import LEASE
from hubbub.database.membership import Membership
from hubbub.database.transactions import Transactions
from hubbub.exceptions import ConfigurationError

UNHURRIED = 3600.0
"""Seconds that PostgreSQL has for a statement of a migration."""
EXAMPLE = "postgresql+asyncpg://user:password@host/name"


class Database(Transactions):
    """A database that features keep their tables in. An async context manager: left, it closes its connections.

    Give the same one to everything that uses it in a process: to the hub and to the jobs.

    SQLite runs with a write-ahead log, so that nobody waits to read, and syncs it with every commit: what was committed
    survives a power cut.

    Args:
        address: where it is.
        alone: whether no other process uses it, ever; then nobody waits for the leases of those that died.
        lease: seconds after which what a process held that died is free: its jobs begin elsewhere, another one relays. The
            same in all processes.
        engine: one that the application has, which is used and not ended; `None` makes one. For how long it waits for a
            statement is the application's business (`connect_args={"command_timeout": 15}`); one of ours waits
            `hubbub.database.engines.STATEMENT` seconds.

    Raises:
        ConfigurationError: the driver is not installed, or the lease is not positive.
    """

    def __init__(
        self,
        address: Address | str,
        *,
        alone: bool = False,
        lease: float = LEASE,
        engine: AsyncEngine | None = None,
    ) -> None:
        if lease <= 0:
            raise ConfigurationError(f"lease is a positive number of seconds, not {lease!r}.")
        self.address = Address.parse(address) if isinstance(address, str) else address
        self._is_owner = engine is None
        super().__init__(make_engine(self.address) if engine is None else engine, self.address.dialect)
        self._connections = Connections(self.engine) if self._is_owner else None
        self.membership = Membership(self, lease=lease, alone=alone)

    @classmethod
    def of_engine(cls, engine: AsyncEngine) -> "Database":
        """Return the database that an engine is connected with.

        PostgreSQL is used through that engine, so that its credentials and certificates hold. On a SQLite file an engine of
        our own is made, because transactions must begin otherwise than SQLAlchemy's do there by default.

        Raises:
            ConfigurationError: it is of another kind, or another driver than Hubbub's, or in memory.
        """
        address = Address.of_engine(engine.url)
        if address.dialect is Dialect.SQLITE:
            return cls(address)
        if engine.url.drivername != address.url.drivername:
            raise ConfigurationError(
                f"Hubbub uses {address.url.drivername}: create_async_engine({EXAMPLE!r})."
            )
        return cls(address, engine=engine.execution_options(isolation_level="READ COMMITTED"))

    @asynccontextmanager
    async def unhurried(self) -> AsyncIterator[AsyncConnection]:
        """Run a transaction of which each statement may take `UNHURRIED` seconds; an application's engine has its own mind.

        Raises:
            DatabaseUnavailable: see `transaction`.
        """
        if not self._is_owner or self.dialect is Dialect.SQLITE:
            async with self.transaction() as connection:
                yield connection
            return
        engine = make_engine(self.address, statement=UNHURRIED)
        connections = Connections(engine)
        try:
            async with Transactions(engine, self.dialect).transaction() as connection:
                yield connection
        finally:
            await connections.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._connections is not None:
            await self._connections.close()
