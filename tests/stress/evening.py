"""A run from the first client to the last: everybody comes, the load, the quiet after it, and everybody leaves."""

import asyncio
import math
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator

from guest import Guest
from house import HALL, POLICIES, House, policy
from inventory import check_presence, check_streams
from ledger import Ledger, Wrong
from moves import Player, Words
from program import Program
from serving import eventually

TICK = 0.01
STEPS = 0.5
"""Steps a second of one guest, in the mean."""
SHOUTS, NAPS, ADDRESSES, THRONGS = 50, 10, 3, 8
"""A second: bursts in a loud room, somebody there who stops reading, bursts in the hall, and several who do something
with one crowd at the same moment. The first two are few receivers', and the only way to be slow: they are not paced."""
ARRIVALS = 50
"""Who connect at the same time."""
SETTLING = 30.0
BUSY = 0.5
"""Seconds that a process may be late and still be expected to read, or to write, as it should."""
READY = 0.1
"""Seconds within which a server that is not overloaded answers."""
MEMBERS = 10
"""Of most rooms."""


class Evening:
    """One run against one server.

    Args:
        house: the server.
        clients: how many.
        seed: of all chances.
    """

    def __init__(self, house: House, clients: int, seed: int) -> None:
        self.serving = house.serving
        self.ledger = Ledger()
        self.wrong: list[str] = []
        self.slowest = {"client": 0.0, "server": 0.0}
        """The longest that either process was late, in seconds."""
        self._late_at = -math.inf
        self._asked_at = math.inf
        self._pace = 1.0
        """What part of the load is made, so that the server is not asked for more than it can do."""
        self._over = asyncio.Event()
        self._choices = choices = random.Random(seed)
        self._words = Words(choices)
        self.players: list[Player] = []
        self.by_user: dict[str, list[Guest]] = {}
        self.by_channel: dict[str, list[Player]] = {}
        rooms, crowds = plan(clients)
        for number in range(clients):
            user = f"user{number * 3 // 4}"  # every third has two devices
            channels = {
                HALL,
                *choices.sample(rooms, 40 if number % 40 == 1 else choices.choice([1, 2, 3, 5])),
            }
            if choices.random() < min(1.0, 200 / clients):
                channels.add(choices.choice(crowds))
            guest = Guest(f"guest{number}", user, sorted(channels), self.ledger, self.report, self._was_busy)
            own = random.Random(choices.random())
            player = Player(guest, house, self._words, own)
            self.players.append(player)
            self.by_user.setdefault(user, []).append(guest)
            for channel in channels:
                self.by_channel.setdefault(channel, []).append(player)
        self._loud = [channel for channel in self.by_channel if "loud" in channel]
        self._crowds = [channel for channel in crowds if channel in self.by_channel]

    @property
    def guests(self) -> Iterator[Guest]:
        """Return all of them."""
        return (player.guest for player in self.players)

    def report(self, wrong: str) -> None:
        """Note what is wrong; the run ends soon."""
        self.wrong.append(wrong)
        self._over.set()

    # The parts of a run.

    async def play(self, seconds: float) -> None:
        """Let everybody come, make load for so many seconds, and wait until everything has arrived."""
        watches = [asyncio.create_task(watch()) for watch in (self._watch, self._probe)]
        try:
            await self._arrive()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._load(time.monotonic() + seconds))
                for _ in range(3):
                    tasks.create_task(self._program().run(self._over))
            self.check()
            await self._settle()
            async with self._program().client() as client:
                await check_streams(client, self.ledger)
                await check_presence(client, self.by_channel, self._bring_back)
        finally:
            for watch in watches:
                watch.cancel()
            self.check()

    async def leave(self) -> None:
        """End all connections, some without a word."""
        for number, player in enumerate(self.players):
            line = player.guest.line
            if line is not None:
                if number % 3:
                    line.goodbye()
                else:
                    line.cut()
        await self._until(
            lambda: all(guest.line is None for guest in self.guests),
            lambda: f"{sum(guest.line is not None for guest in self.guests)} lines are still open",
        )
        self.check()

    def check(self) -> None:
        """Fail if anything was wrong.

        Raises:
            Wrong: with the first few of it.
        """
        if self.wrong:
            shown = "\n\n".join(self.wrong[:3])
            raise Wrong(f"{len(self.wrong)} things were wrong; the first:\n\n{shown}")

    def counts(self) -> Counter[str]:
        """Add up what happened."""
        total: Counter[str] = Counter()
        for guest in self.guests:
            total.update(guest.counts)
            total["messages"] += guest.own.seen + sum(place.seen for place in guest.places.values())
        total["publications"] = sum(stream.top for stream in self.ledger.streams.values())
        return total

    def kept(self) -> int:
        """Return about how many KiB the server still holds of publications, and of what it knows them by."""
        kept = [
            said.size
            for channel, stream in self.ledger.streams.items()
            for offset, said in stream.said.items()
            if offset > stream.top - policy(channel).history
        ]
        keys = min(self.counts()["publications"], 100_000)
        return sum(kept) * 2 // 1024 + len(kept) + keys // 2

    async def _arrive(self) -> None:
        slots = asyncio.Semaphore(ARRIVALS)

        async def come(player: Player) -> None:
            async with slots:
                if not self._over.is_set():
                    player.come()
                    assert player.coming is not None
                    await player.coming

        async with asyncio.TaskGroup() as tasks:
            for player in self.players:
                tasks.create_task(come(player))
        self.check()

    async def _load(self, until: float) -> None:
        choices = self._choices
        due, before = 0.0, time.monotonic()
        while (now := time.monotonic()) < until and not self._over.is_set():
            passed, before = min(now - before, 5 * TICK), now
            paced = passed * self._pace
            due += paced * STEPS * len(self.players)
            while due >= 1:
                due -= 1
                choices.choice(self.players).step()
            if choices.random() < SHOUTS * passed:
                channel = choices.choice(self._loud)
                choices.choice(self.by_channel[channel]).speak_in(channel, choices.choice([1, 2, 6]))
            if choices.random() < NAPS * passed:
                self._nap(choices.choice(self._loud))
            if choices.random() < ADDRESSES * paced:
                choices.choice(self.players).speak_in(HALL, choices.choice([1, 1, 3]))
            if choices.random() < THRONGS * paced:
                self._throng(choices.choice([*self._crowds, HALL]))
            await asyncio.sleep(TICK)
        self._over.set()

    def _nap(self, channel: str) -> None:
        """Let somebody in a loud room not read for as long as it takes to be too far behind."""
        narrow = [player for player in self.by_channel[channel] if player.guest.narrow and player.is_ready]
        if narrow:
            self._choices.choice(narrow).stall_for(self._choices.choice([0.5, 1.0, 2.0]))

    def _throng(self, channel: str) -> None:
        """Let several do something with one crowded channel at the same moment."""
        for player in self._choices.sample(self.by_channel[channel], min(8, len(self.by_channel[channel]))):
            if player.is_ready:
                place = player.guest.places[channel]
                self._choices.choice([player.change, player.pass_through, player.change])(place)

    def _program(self) -> Program:
        channels = [channel for channel in self.by_channel if channel != HALL]
        own = random.Random(self._choices.random())
        return Program(self.serving, channels, self.by_user, self.ledger, self._words, own, self.report)

    async def _watch(self) -> None:
        """Notice when this process itself is late, and then was no client that reads."""
        while True:
            before = time.monotonic()
            await asyncio.sleep(TICK)
            self._late("client", time.monotonic() - before - TICK)

    async def _probe(self) -> None:
        """Notice when the server is late, and let it have less to do."""
        async with self._program().client() as client:
            while True:
                self._asked_at = time.monotonic()
                await client.get("/healthz")
                late = time.monotonic() - self._asked_at
                self._asked_at = math.inf
                self._late("server", late)
                self._pace = min(1.0, READY / late)
                self._forget()
                await asyncio.sleep(READY)

    def _forget(self) -> None:
        """Forget what nobody can be given any more, so that a run of hours fits into memory."""
        channel = self._choices.choice(list(self.by_channel))
        there = [player.guest.places[channel] for player in self.by_channel[channel]]
        slowest = min((place.offset for place in there if place.live), default=math.inf)
        kept = self.ledger.streams[channel].top - 2 * policy(channel).history
        self.ledger.forget(channel, int(min(slowest, kept)))

    def _late(self, who: str, late: float) -> None:
        self.slowest[who] = max(self.slowest[who], late)
        if late > BUSY:
            self._late_at = time.monotonic()

    def _was_busy(self) -> bool:
        now = time.monotonic()
        return now - self._late_at < 10.0 or now - self._asked_at > BUSY

    # The quiet after it.

    async def _settle(self) -> None:
        """Everybody returns, says what was not acknowledged, and reads to the top of every channel."""

        def has_settled() -> bool:
            self._bring_back()
            return not self.ledger.unacknowledged() and all(is_done(guest) for guest in self.guests)

        await self._until(has_settled, self._unsettled)
        self.ledger.settle()
        if self.ledger.skipped:
            raise Wrong(f"nobody knows what was left out here: {self.ledger.skipped[:5]}")

    def _bring_back(self) -> None:
        """Have those return whose connection is over, and those read who do not."""
        self.check()
        for player in self.players:
            if player.guest.line is None:
                player.come()
            else:
                player.guest.line.resume()

    def _unsettled(self) -> str:
        late = [guest for guest in self.guests if not is_done(guest)]
        shown = []
        for guest in late[:3]:
            missing = {
                each.channel: each.missing()[:5]
                for each in (guest.own, *guest.places.values())
                if each.missing()
            }
            tail = "no line" if guest.line is None else guest.line.tail()
            shown.append(
                f"{guest.name} ({guest.user}) misses {missing}, awaits {[each.kind for each in guest.awaited][:5]} and has not "
                f"said {list(guest.unsaid)[:5]}; its line:\n{tail}"
            )
        return f"{len(late)} of {len(self.players)} are not done.\n" + "\n".join(shown)

    async def _until(self, condition: Callable[[], bool | Awaitable[bool]], seen: Callable[[], str]) -> None:
        try:
            await eventually(condition, within=SETTLING, seen=seen)
        except TimeoutError as error:
            self.check()
            raise Wrong(str(error)) from None


def is_done(guest: Guest) -> bool:
    """Whether a guest has been told everything."""
    return guest.idle() and not any(
        place.missing() for place in (guest.own, *guest.places.values()) if place.live
    )


def plan(clients: int) -> tuple[list[str], list[str]]:
    """Name the rooms of about ten, some of them loud, and the crowds of about fifty."""
    names = [name for name in POLICIES if name not in {"hall", "user"}]
    each = max(3, clients * 4 // MEMBERS // len(names))
    rooms = [f"{name}:{'quiet' if n else 'loud'}-{n}" for name in names for n in range(each)]
    return rooms, [f"{name}:crowd" for name in names]
