"""Clients on the road: each is out of reach for a part of the time, and the server is not told.

What a traveller speaks is a subclass's; here is when it is away, how it comes back, and what it has to show at the end.
"""

import asyncio
import random
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from radio import Radio

LEAST_AWAY, MOST_AWAY = 0.10, 0.20
"""Of the time, for each traveller."""
ABSENCE = 1.5
"""Seconds away in the mean."""
PATIENCE = 5.0
"""Seconds in which a connection has to be in its rooms; then it is given up and another one opened."""
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 0.5
"""Seconds before another connection after one that failed."""
GIVEN_BACK = 15.0
"""Seconds after which a dead socket is given back."""


@dataclass(frozen=True, slots=True)
class Absence:
    """A time out of reach, in seconds from the beginning."""

    start: float
    end: float


def absences(choices: random.Random, seconds: float) -> list[Absence]:
    """Choose when somebody is away, 10 to 20 % of the time in all; the same choices give the same absences."""
    away = seconds * choices.uniform(LEAST_AWAY, MOST_AWAY)
    count = max(1, round(away / ABSENCE))
    lengths = _parts(choices, away, count)
    gaps = _parts(choices, seconds - away, count + 1)
    chosen, now = [], 0.0
    for gap, length in zip(gaps, lengths, strict=False):
        chosen.append(Absence(now + gap, now + gap + length))
        now += gap + length
    return chosen


def _parts(choices: random.Random, whole: float, count: int) -> list[float]:
    shares = [choices.uniform(0.2, 1.0) for _ in range(count)]
    return [whole * share / sum(shares) for share in shares]


@dataclass(slots=True)
class Log:
    """What one traveller got of one room: numbers of publications, and offsets where there are any."""

    room: str
    first_number: int | None = None
    """The first publication that was begun after it had joined for the first time."""
    first_offset: int | None = None
    """Where the stream stood then."""
    numbers: list[int] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)

    def take(self, number: int, offset: int | None = None) -> None:
        """Note a publication."""
        self.numbers.append(number)
        if offset is not None:
            self.offsets.append(offset)

    @property
    def order(self) -> Sequence[int]:
        """What has to rise."""
        return self.offsets or self.numbers


class Traveller(ABC):
    """One client.

    Args:
        name: its user id.
        rooms: which it joins.
        ports: where servers are.
        away: when it is out of reach.
        choices: where its chances come from.
        published: tells how many publications of a room were begun.
    """

    def __init__(
        self,
        name: str,
        rooms: Sequence[str],
        ports: Sequence[int],
        away: Sequence[Absence],
        choices: random.Random,
        published: Callable[[str], int],
    ) -> None:
        self.name = name
        self.logs = {room: Log(room) for room in rooms}
        self.away = away
        self.counts: Counter[str] = Counter()
        """What happened to it, by name; what should not is in `wrong`."""
        self.wrong: list[str] = []
        self.patience = PATIENCE
        self.radio: Radio | None = None
        self._ports = ports
        self._dead: list[Radio] = []
        self._port = choices.randrange(len(ports))
        self._choices = choices
        self._published = published
        self._inside: set[str] = set()
        self._changed = asyncio.Event()

    @abstractmethod
    def request(self, port: int) -> bytes:
        """Make the handshake."""

    @abstractmethod
    def opened(self, radio: Radio) -> None:
        """Begin to speak."""

    @abstractmethod
    def heard(self, radio: Radio, text: bytes) -> None:
        """Understand a message."""

    @property
    def is_inside(self) -> bool:
        """Whether it is in all its rooms."""
        return len(self._inside) == len(self.logs)

    def entered(self, room: str, offset: int | None = None) -> None:
        """Note that the server let it in, and where the stream stands where there is one."""
        log = self.logs[room]
        if log.first_number is None:
            log.first_number, log.first_offset = self._published(room), offset
        self._inside.add(room)
        if self.is_inside:
            self._changed.set()

    def left(self, room: str) -> None:
        """Note that the server put it out of a room."""
        self._inside.discard(room)

    def lost(self, radio: Radio) -> None:
        """Note that the server ended the connection."""
        if radio is self.radio:
            self.counts[f"ended {radio.ending}".strip()] += 1
            self.radio = None
            self._changed.set()

    async def arrive(self) -> None:
        """Connect, and again where that fails; return when it is in its rooms."""
        pause = FIRST_PAUSE
        while not await self._connect(None):
            self.cut()
            await asyncio.sleep(self._choices.uniform(0.5, 1.0) * pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def travel(self, begun: float) -> None:
        """Be there, and away when it is time, until cancelled."""
        loop = asyncio.get_running_loop()
        for absence in self.away:
            await self._stay(begun + absence.start)
            self.cut()
            self.counts["absences"] += 1
            await asyncio.sleep(begun + absence.end - loop.time())
        await self._stay(None)

    def cut(self, given_back: float = GIVEN_BACK) -> None:
        """Be gone without a word; the server hears of it when the socket is given back."""
        if self.radio is not None:
            self.radio.go_dead(given_back)
            self._dead.append(self.radio)
            self.radio = None

    def end(self) -> None:
        """Give all sockets back."""
        self.cut()
        for radio in self._dead:
            radio.transport.abort()

    async def _stay(self, until: float | None) -> None:
        """Be connected until a moment of the loop's clock."""
        loop, pause = asyncio.get_running_loop(), FIRST_PAUSE
        while until is None or loop.time() < until:
            if await self._connect(until):
                pause = FIRST_PAUSE
                while self.radio is not None:  # until the server ends it
                    self._changed.clear()
                    if not await self._change(until):
                        return
            elif until is None or loop.time() < until:
                self.cut()
                await asyncio.sleep(self._choices.uniform(0.5, 1.0) * pause)
                pause = min(2 * pause, LONGEST_PAUSE)

    async def _connect(self, until: float | None) -> bool:
        """Come to a server, the other one when this one is not there; return whether it let us into the rooms."""
        loop = asyncio.get_running_loop()
        self._inside.clear()
        self._changed.clear()
        port = self._ports[self._port % len(self._ports)]
        self._port += self._choices.choice([0, 1])

        def made() -> Radio:
            self.radio = Radio(self, self.request(port))
            return self.radio

        try:
            await loop.create_connection(made, "127.0.0.1", port)
        except OSError:
            self._port += 1
            self.counts["refused"] += 1
            return False
        patience = loop.time() + self.patience
        await self._change(patience if until is None else min(patience, until))
        if not self.is_inside and self.radio is not None and loop.time() >= patience:
            self.counts["not let in"] += 1
        return self.radio is not None and self.is_inside

    async def _change(self, until: float | None) -> bool:
        """Wait for a change; return whether there was one in time."""
        try:
            async with asyncio.timeout_at(until):
                await self._changed.wait()
        except TimeoutError:
            return False
        return True
