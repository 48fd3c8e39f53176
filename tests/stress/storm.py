"""Everybody is cut off at once, misses something, and comes back at once to one node."""

import asyncio
import random
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from plain_traveller import PlainTraveller
from press import Ledger, Outcome, compare
from redis_servers import RedisServer
from serving import eventually

from hubbub.brokers.redis import RedisBroker
from hubbub.hub.broker import Retention
from hubbub.hub.ids import RisingIds
from hubbub.hub.publications import Draft, Publication

MISSED = 100
"""Publications in each room while everybody is away."""
AT_ONCE = 200
"""Who come at the same time at the beginning."""
KEPT = Retention(500, 86400.0)
WITHIN = 120.0


class Nobody:
    """Takes what arrives, and does nothing with it."""

    def receive(self, publication: Publication) -> None: ...

    def interrupted(self, reason: str) -> None: ...

    async def mend(self, channels: Collection[str]) -> None: ...


@dataclass(frozen=True)
class Commands:
    """What a Redis has carried out."""

    calls: dict[str, int]

    def __sub__(self, other: "Commands") -> "Commands":
        return Commands({name: number - other[name] for name, number in self.calls.items()})

    def __getitem__(self, name: str) -> int:
        return self.calls.get(name, 0)


async def commands(redis: RedisServer) -> Commands:
    """Count what a Redis has carried out, by command; what a script calls is counted too."""
    facts = await redis.facts("INFO", "commandstats")
    calls = {}
    for name, stats in facts.items():
        calls[name.removeprefix("cmdstat_")] = int(stats.partition("calls=")[2].partition(",")[0])
    return Commands(calls)


class Storm:
    """Clients of one node, in rooms of equal size.

    Args:
        port: where the node is.
        redis: what it is on.
        clients: how many.
        rooms: in how many rooms, one each.
    """

    def __init__(self, port: int, redis: RedisServer, clients: int, rooms: int) -> None:
        names = [f"s{number}" for number in range(rooms)]
        self.ledger = Ledger({name: [] for name in names})
        self.clients = [
            PlainTraveller(
                f"u{number}", [names[number % rooms]], [port], (), random.Random(number), self._published
            )
            for number in range(clients)
        ]
        for client in self.clients:
            client.patience = WITHIN  # who gives up and comes again has the node do everything once more
        self._ids = RisingIds()
        self._broker = RedisBroker(redis.url)
        self._broker.deliver_to(Nobody())

    async def gather(self) -> None:
        """Let everybody come, a few at a time."""
        for start in range(0, len(self.clients), AT_ONCE):
            await _all(client.arrive() for client in self.clients[start : start + AT_ONCE])

    async def publish(self, count: int) -> None:
        """Publish so often in each room, past the node."""
        async with self._broker:
            await asyncio.gather(*(self._publish(room, count) for room in self.ledger.rooms))

    async def cut(self) -> None:
        """Cut everybody off."""
        for client in self.clients:
            client.cut(0.0)

    async def come_back(self) -> float:
        """Let everybody come back; return how many seconds it took until the last was whole."""
        start = time.monotonic()
        await _all(client.arrive() for client in self.clients)
        return time.monotonic() - start

    async def is_live(self) -> None:
        """Return when one publication more in each room has reached everybody."""
        await self.publish(1)
        await eventually(self._has_everybody_all, within=WITHIN)

    def outcome(self) -> Outcome:
        """Hold what everybody has against what was published."""
        return compare(self.ledger, self.clients)

    async def end(self) -> None:
        """Give all sockets back."""
        for client in self.clients:
            client.end()
        await asyncio.sleep(0)

    def _has_everybody_all(self) -> bool:
        return all(
            log.numbers and log.numbers[-1] == self.ledger.top(log.room).number
            for client in self.clients
            for log in client.logs.values()
        )

    def _published(self, room: str) -> int:
        return len(self.ledger.rooms[room])

    async def _publish(self, room: str, count: int) -> None:
        for _ in range(count):
            edition = self.ledger.begin(room)
            data = (
                b'{"content":"%d and a few words more, as people write them to each other"}' % edition.number
            )
            now = time.time()
            draft = Draft(f"room:{room}", "message", data, self._ids.new(now), now, sender="ada")
            edition.offset = (await self._broker.publish(draft, KEPT)).offset
            edition.returned = True


async def _all(work: Any) -> Sequence[Any]:
    async with asyncio.timeout(WITHIN):
        return await asyncio.gather(*work)
