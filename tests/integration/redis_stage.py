"""Nodes on a Redis, without a web server, and what arrives at each of them."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from hubbub.brokers.redis import RedisBroker
from hubbub.hub.broker import Retention
from hubbub.hub.ids import SecretIds
from hubbub.hub.publications import Draft, Position
from hubbub.testing.conformance.broker import Arrivals

KEPT = Retention(1000, 3600.0)
DEADLINE = 20.0

_numbers = itertools.count()


async def say(broker: RedisBroker, channel: str, text: str = "", key: str | None = None) -> Position:
    """Publish one message."""
    data = f'{{"content":"{text or next(_numbers)}"}}'.encode()
    return await broker.publish(Draft(channel, "message", data, SecretIds().new(), 1.0), KEPT, key)


@asynccontextmanager
async def hearing(url: str, *channels: str) -> AsyncIterator[tuple[RedisBroker, Arrivals]]:
    """Run a broker that hears channels."""
    broker, arrivals = RedisBroker(url), Arrivals()
    broker.deliver_to(arrivals)
    async with broker:
        for channel in channels:
            await broker.subscribe(channel)
        yield broker, arrivals


async def until(condition, *, within: float = DEADLINE, every: float = 0.01) -> None:
    """Look until something is so."""
    async with asyncio.timeout(within):
        while not condition():  # noqa: ASYNC110 (it has no event)
            await asyncio.sleep(every)
