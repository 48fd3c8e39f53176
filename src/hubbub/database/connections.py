"""The connections of an engine of our own, and the end of them."""

import asyncio
from typing import Any
from weakref import WeakSet

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

CLOSE = 2.0
"""Seconds that PostgreSQL has to say goodbye, to all connections at once."""


class Connections:
    """Knows the connections that an engine has opened.

    Args:
        engine: which one; it has none yet.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._open: WeakSet[Any] = WeakSet()
        if engine.dialect.driver == "asyncpg":
            event.listen(engine.sync_engine, "connect", self._opened)

    async def close(self) -> None:
        """Close them, and the engine; a server that does not answer is left without a word."""
        # The engine would close one after the other, and wait for each as long as for a statement.
        await asyncio.gather(
            *(driver.close(timeout=CLOSE) for driver in list(self._open)), return_exceptions=True
        )
        await self._engine.dispose()

    def _opened(self, connection: Any, record: Any) -> None:
        self._open.add(connection.driver_connection)
