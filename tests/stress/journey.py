"""One run: travellers in rooms over some servers, presses for the rooms, and what is done to the servers meanwhile."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Generic, Self, TypeVar

from press import Ledger, Outcome, Press, Publish, compare
from serving import Serving, eventually, hubbub_serve
from traveller import Traveller, absences

ROOM_OF = 50
ROOMS_EACH = 2
RATE = 2.0
"""Publications a second in each room."""
SETTLING = 30.0
"""Seconds at most until everybody is up to date after the last publication."""
CONNECTING = 4.0
"""Seconds over which everybody comes for the first time."""

Run = TypeVar("Run")
Make = Callable[..., Traveller]
Blow = Callable[[], Awaitable[Any]]


class Journey:
    """Everybody and everything that a run has.

    Args:
        make: makes a traveller.
        publish: publishes to a room.
        ports: where servers are.
        clients: how many.
        seconds: how long is published.
        seed: of all chances.
    """

    def __init__(
        self, make: Make, publish: Publish, ports: Sequence[int], clients: int, seconds: float, seed: int
    ) -> None:
        choices = random.Random(seed)
        rooms = room_names(clients)
        self.ledger = Ledger({room: [] for room in rooms})
        self.seconds = seconds
        self.settling = 0.0
        """Seconds from the last publication until everybody was up to date."""
        self.busy = 0.0
        """How much of a core the travellers took; near 1 they are slower than the servers."""
        self.travellers = [
            make(
                f"u{number}",
                choices.sample(rooms, ROOMS_EACH),
                ports,
                absences(choices, seconds),
                random.Random(choices.random()),
                self._published,
            )
            for number in range(clients)
        ]
        self.presses = [Press(room, self.ledger, publish, random.Random(choices.random())) for room in rooms]

    def _published(self, room: str) -> int:
        return len(self.ledger.rooms[room])

    async def take(self, *blows: tuple[float, Blow], settling: float = SETTLING) -> Outcome:
        """Travel and publish from the beginning to the end.

        Args:
            blows: what is done, each at a part of the time.
            settling: seconds in which everybody has to be up to date; what has not come then is missing.
        """
        own = time.process_time()
        begun = asyncio.get_running_loop().time() + CONNECTING
        travels = [
            asyncio.create_task(self._travel(traveller, number, begun))
            for number, traveller in enumerate(self.travellers)
        ]
        try:
            await eventually(self._is_everybody_in, within=SETTLING, seen=self.counts)
            async with asyncio.TaskGroup() as work:
                for press in self.presses:
                    work.create_task(press.run(begun, self.seconds, RATE))
                for part, blow in blows:
                    work.create_task(_later(begun + part * self.seconds, blow))
            await self._settle(settling)
            self.busy = (time.process_time() - own) / (asyncio.get_running_loop().time() - begun + CONNECTING)
        finally:
            for travel in travels:
                travel.cancel()
            ended = await asyncio.gather(*travels, return_exceptions=True)
            for traveller in self.travellers:
                traveller.end()
            await asyncio.sleep(0)  # the transports' last turn
        for each in ended:
            if not isinstance(each, asyncio.CancelledError):
                raise AssertionError("a traveller ended") from each
        return compare(self.ledger, self.travellers)

    async def _settle(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        start = loop.time()
        with suppress(TimeoutError):  # who misses what is shown with the outcome
            await eventually(self.is_up_to_date, within=seconds, every=0.1)
        self.settling = loop.time() - start

    def is_up_to_date(self) -> bool:
        """Whether everybody has what was published last in each of their rooms."""
        return all(
            log.numbers and log.numbers[-1] >= self.ledger.top(log.room).number
            for traveller in self.travellers
            for log in traveller.logs.values()
        )

    def counts(self) -> Counter[str]:
        """What happened to travellers and presses, added up."""
        total: Counter[str] = Counter()
        for traveller in self.travellers:
            total += traveller.counts
        for press in self.presses:
            total += Counter({f"not published: {why}": number for why, number in press.failures.items()})
        return total

    def _is_everybody_in(self) -> bool:
        return all(
            log.first_number is not None for traveller in self.travellers for log in traveller.logs.values()
        )

    async def _travel(self, traveller: Traveller, number: int, begun: float) -> None:
        await asyncio.sleep(CONNECTING * number / len(self.travellers) / 2)
        await traveller.travel(begun)


def room_names(clients: int) -> list[str]:
    """Return the rooms of so many clients."""
    return [f"r{number}" for number in range(max(4, clients // ROOM_OF))]


async def _later(moment: float, blow: Blow) -> None:
    await asyncio.sleep(moment - asyncio.get_running_loop().time())
    await blow()


class Node(Generic[Run]):
    """A server that can be killed and started again on its port.

    Args:
        run: starts it when it is entered, which takes its time; ends it as `kill -9` does when it is left.
    """

    def __init__(self, run: Callable[[], AbstractContextManager[Run]]) -> None:
        self.runs: list[Run] = []
        self._run = run
        self._running: AbstractContextManager[Run] | None = None

    async def start(self) -> None:
        """Return when it is ready; others go on meanwhile."""
        self._running = self._run()
        self.runs.append(await asyncio.to_thread(self._running.__enter__))

    async def kill(self) -> None:
        """Return when it is gone."""
        if self._running is not None:
            await asyncio.to_thread(self._running.__exit__, None, None, None)
            self._running = None

    async def kill_and_start(self) -> None:
        """Do both."""
        await self.kill()
        await self.start()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill()


def hubbub_node(
    folder: Path, port: int, redis_url: str, *, announces: bool = True, **settings: str
) -> Node[Serving]:
    """Return a `hubbub serve` on a Redis.

    Args:
        folder: made for it.
        port: where it listens.
        redis_url: of the Redis.
        announces: whether comings and goings are announced; of thousands who do so all the time, their clients would hear
            of little else.
        settings: further ones, by name without ``HUBBUB_``.
    """
    folder.mkdir()
    if not announces:
        (folder / "hubbub.toml").write_text("[namespaces.room]\njoin_leave = false\n")
    own = {
        "REDIS_URL": redis_url,
        "MAX_CONNECTIONS": "0",
        "MAX_CONNECTIONS_PER_USER": "0",
        "HEARTBEAT_INTERVAL": "5s",
        **settings,
    }
    return Node(partial(hubbub_serve, folder, port, **own))


def complaints(node: Node[Serving]) -> list[str]:
    """Return what its logs have that a failing Redis does not explain; that it was deaf is an error, and one that is meant."""
    return [
        line
        for serving in node.runs
        for line in serving.complaints()
        if '"event": "Deaf: ' not in line and '"level": "warning"' not in line
    ]
