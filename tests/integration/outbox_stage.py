"""Hubs with a database, and transactions of an application that has an engine of its own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from typing import Any

from fastapi import FastAPI
from serving import eventually
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from hubbub import History, Hub, Unavailable
from hubbub.database import Address, Database
from hubbub.database.outbox.tables import outbox
from hubbub.hub.publications import Publication

CHANNEL = "topic:tasks"
PLENTY = History(size=100_000)


class App:
    """An application: its hub, and an engine that the hub knows nothing of."""

    def __init__(self, url: str, broker: Any = None, lease: float | None = None) -> None:
        self.database = None if lease is None else Database(url, lease=lease)
        self.hub = Hub(database=self.database or url, broker=broker)
        self.hub.namespace("topic", history=PLENTY)
        self.engine = engine(url)
        self._app = FastAPI(lifespan=self.hub.lifespan)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["App"]:
        async with self.database or nullcontext(), self.hub.lifespan(self._app):
            yield self
        await self.engine.dispose()

    async def say(self, *texts: str, channel: str = CHANNEL) -> None:
        """Publish some texts in a transaction."""
        async with self.engine.begin() as connection:
            for text in texts:
                await self.hub.publish(channel, "said", text, transaction=connection)

    async def heard(self, channel: str = CHANNEL) -> list[Any]:
        return [each.value() for each in await self.publications(channel)]

    async def publications(self, channel: str = CHANNEL) -> tuple[Publication, ...]:
        return (await self.hub.history(channel, limit=100_000)).publications

    async def hears(self, *texts: str, channel: str = CHANNEL, within: float = 10.0) -> None:
        """Wait until the channel has exactly these."""

        async def does() -> bool:
            try:
                return await self.heard(channel) == list(texts)
            except Unavailable:
                return False

        await eventually(does, within=within, every=0.01)
        await self.is_empty()

    async def is_empty(self, within: float = 10.0) -> None:
        """Wait until no row is left."""

        async def so() -> bool:
            return not await self.rows()

        await eventually(so, within=within, every=0.01)

    async def rows(self) -> int:
        async with self.engine.connect() as connection:
            return (await connection.execute(select(func.count()).select_from(outbox))).scalar_one()


def engine(url: str, **options: Any) -> AsyncEngine:
    """Make an engine as an application would, with SQLAlchemy's defaults."""
    return create_async_engine(Address.parse(url).url, **options)


@asynccontextmanager
async def app(url: str, broker: Any = None, lease: float | None = None) -> AsyncIterator[App]:
    async with App(url, broker, lease).running() as running:
        yield running
