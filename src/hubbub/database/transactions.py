"""Transactions on a database."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from hubbub.database.address import Dialect
from hubbub.database.engines import READING
from hubbub.database.errors import translated


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
        self._writing = asyncio.Lock()

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
