"""Transactions on a database."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from hubbub.database.address import Dialect
from hubbub.database.engines import PATIENCE, READING
from hubbub.database.errors import translated
from hubbub.database.writers import Writers


class Transactions:
    """Runs transactions through an engine.

    On SQLite there is one writer at a time: transactions of this process queue here, where waiting costs nothing, and
    those of other processes are waited for.

    Args:
        engine: one whose transactions begin as `hubbub.database.engines` has them.
        dialect: of which database.
    """

    def __init__(self, engine: AsyncEngine, dialect: Dialect) -> None:
        self.engine = engine
        self.dialect = dialect
        self._writers = Writers()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """Run a transaction, and commit it at the end of the block; an error in it rolls it back.

        Raises:
            DatabaseUnavailable: the database cannot be reached, or did not answer in time, or another process has the file
                locked; of a commit it is unknown whether it was made.
        """
        async with AsyncExitStack() as stack:
            stack.enter_context(translated())
            connection = await self._begin(stack)
            await stack.enter_async_context(self._dropped_if_cancelled(connection))
            yield connection

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """Read, without waiting for those who write.

        Raises:
            DatabaseUnavailable: the database cannot be reached, or did not answer in time.
        """
        with translated():
            async with self.engine.connect() as connection, self._dropped_if_cancelled(connection):
                yield await connection.execution_options(**{READING: True})

    async def _begin(self, stack: AsyncExitStack) -> AsyncConnection:
        if self.dialect is Dialect.POSTGRESQL:
            return await stack.enter_async_context(self.engine.begin())
        patience = await stack.enter_async_context(self._writers.turn())
        with self._writers.beginning():
            connection = await stack.enter_async_context(self.engine.connect())
            await connection.execution_options(**{PATIENCE: patience})
            await stack.enter_async_context(connection.begin())
        return connection

    @asynccontextmanager
    async def _dropped_if_cancelled(self, connection: AsyncConnection) -> AsyncIterator[None]:
        """Give a connection up whose user was cancelled: a rollback would wait for a server that may not answer any more.

        The server is told to cancel what it does, and has the two seconds that SQLAlchemy gives it.
        """
        try:
            yield
        except asyncio.CancelledError:
            if self.dialect is Dialect.POSTGRESQL and not connection.invalidated:
                await connection.invalidate()
            raise
