"""What clients of a hub may rely on, whatever becomes of its broker: nothing is missed, or it is plainly told.

Each fault strikes at the worst moment: a client comes back with a position, the stream has been read, and the client is not
live yet.
"""

import asyncio
import inspect
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Protocol, Self

from fastapi import FastAPI

from hubbub.endpoints.facade import Hub
from hubbub.exceptions import PublishError
from hubbub.hub.broker import KEY_TTL, Broker, Reading, Receiver, Retention
from hubbub.hub.limits import Limits
from hubbub.hub.namespaces import History
from hubbub.hub.publications import Draft, Position
from hubbub.testing.client import Client, connect
from hubbub.testing.conformance.transcript import Transcript

CHANNEL = "room:conformance"
DEADLINE = 40.0
"""Seconds in which everything is well again, whatever happened."""
AGAIN = 0.02
"""Seconds before a publication that was not taken is tried again, and between two looks whether all is well."""
REPAIRED = 3.0
"""Seconds in which everybody has everything, from when a broker has no problem any more."""
UNNOTICED = 12.0
"""Seconds in which is found what nobody was told of."""
QUIET = 5.5
"""Seconds of silence: more than the 5 s after which redis-py gives a connection up by default."""
NONE = "none"

Strike = Callable[[], Awaitable[None]]


class Parametrizable(Protocol):
    """As much of pytest's `Metafunc` as is needed here."""

    fixturenames: list[str]

    def parametrize(self, argnames: str, argvalues: Sequence[str]) -> None:
        """Have the test run once for each value."""
        ...


class Interposed:
    """The broker under test, with something that happens between a reading and whoever asked for it."""

    def __init__(self, broker: Broker) -> None:
        self.inner = broker
        self.after_next_read: Strike | None = None
        """Run once, when the next stream was read from a position."""

    @property
    def problem(self) -> str | None:
        """As the broker has it."""
        return self.inner.problem

    async def publish(
        self,
        draft: Draft,
        retention: Retention,
        idempotency_key: str | None = None,
        key_ttl: float = KEY_TTL,
    ) -> Position:
        """Hand on."""
        return await self.inner.publish(draft, retention, idempotency_key, key_ttl)

    async def forget(self, channel: str, keys: Collection[str]) -> None:
        """Hand on."""
        await self.inner.forget(channel, keys)

    async def subscribe(self, channel: str) -> None:
        """Hand on."""
        await self.inner.subscribe(channel)

    async def unsubscribe(self, channel: str) -> None:
        """Hand on."""
        await self.inner.unsubscribe(channel)

    async def read(self, channel: str, since: Position | None = None) -> Reading:
        """Read, and have happen what shall, before the reading is handed on."""
        reading = await self.inner.read(channel, since)
        strike, self.after_next_read = self.after_next_read, None
        if strike is not None:
            await strike()
        return reading

    async def history(self, channel: str, *, limit: int, before: int | None = None) -> Reading:
        """Hand on."""
        return await self.inner.history(channel, limit=limit, before=before)

    async def positions(self, channels: Sequence[str]) -> list[Position]:
        """Hand on."""
        return await self.inner.positions(channels)

    def deliver_to(self, receiver: Receiver) -> None:
        """Hand on."""
        self.inner.deliver_to(receiver)

    async def __aenter__(self) -> Self:
        await self.inner.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.inner.__aexit__(exc_type, exc, traceback)


class Scene:
    """A running hub over the broker, and what was published in it.

    Args:
        broker: what it runs on.
    """

    def __init__(self, broker: Broker) -> None:
        self.broker = Interposed(broker)
        self.hub = Hub(broker=self.broker, allow_anonymous=True, limits=Limits(message_rate=0))
        self.hub.namespace("room", subscribe="anyone", publish="nobody", history=History(size=10_000))
        self.app = FastAPI(lifespan=self.hub.lifespan)
        self.app.include_router(self.hub.router)
        self.published: list[tuple[str, Position]] = []
        """What the broker said it has, and where."""

    async def say(self, text: str, *, is_repeated: bool = True) -> Position:
        """Publish until the broker says that it has it; where `is_repeated` is false, once."""
        async with asyncio.timeout(DEADLINE):
            while True:
                try:
                    position = await self.hub.publish(
                        CHANNEL, "message", {"content": text}, idempotency_key=text if is_repeated else None
                    )
                    break
                except PublishError:
                    if not is_repeated:
                        raise
                    await asyncio.sleep(AGAIN)
        self.published.append((text, position))
        return position

    async def get_well(self) -> None:
        """Return when the broker has no problem."""
        async with asyncio.timeout(DEADLINE):
            while self.broker.problem is not None:  # noqa: ASYNC110 (the contract has no event for it)
                await asyncio.sleep(AGAIN)

    @asynccontextmanager
    async def client(self, since: Position | None = None) -> AsyncIterator[Client]:
        """Connect and subscribe; the answer is still to come."""
        async with connect(self.app, "/ws") as client:
            await client.expect("welcome")
            place = None if since is None else {"epoch": since.epoch, "offset": since.offset, "id": since.id}
            await client.send({"type": "subscribe", "channel": CHANNEL, "since": place})
            yield client

    async def check(
        self, client: Client, transcript: Transcript, *, may_be_told: bool, within: float = DEADLINE
    ) -> None:
        """Read to the last that was published, and hold everything against what was published."""
        _, last = self.published[-1]
        try:
            async with asyncio.timeout(within):
                while not transcript.has_reached(last):
                    transcript.read(await client.receive(within))
        except TimeoutError:
            raise AssertionError(f"{last} was not reached within {within:g} s: {transcript}") from None
        transcript.check(self.published, may_be_told=may_be_told)


class RecoverySuite(ABC):
    """Tests for one implementation and the faults it may meet.

    Each method whose name begins with ``fault_`` lets something happen after which no client may miss anything, nor be told
    that it does; after ``silent_`` likewise, but nobody can notice it before the next look at the streams. Each that begins
    with ``loss_`` makes the streams themselves lose something, which clients are to be told. A fault that lasts, such as a
    server that is paused, is over when its method returns.
    """

    scene: Scene
    """What is being played, for faults that publish."""

    @abstractmethod
    def broker(self) -> Broker:
        """Make a broker, on servers that have nothing of an earlier test."""

    def pytest_generate_tests(self, metafunc: Parametrizable) -> None:
        """Run a test once for each fault of the implementation."""
        if "fault" in metafunc.fixturenames:
            metafunc.parametrize("fault", [NONE, *faults(type(self))])

    async def strike(self, fault: str) -> None:
        """Let a fault happen."""
        if fault != NONE:
            await getattr(self, fault)()

    @asynccontextmanager
    async def playing(self) -> AsyncIterator[Scene]:
        """Run a hub, with a few publications in its channel."""
        scene = Scene(self.broker())
        async with scene.hub.lifespan(scene.app):
            self.scene = scene
            for number in range(5):
                await scene.say(f"early {number}")
            yield scene

    async def test_nothing_is_missed_around_a_fault(self, fault: str) -> None:
        """One is live, one comes back and is between its reading and going live, one comes back afterwards."""
        may_be_told = fault.startswith("loss_")
        async with self.playing() as scene:
            since = scene.published[1][1]
            struck = asyncio.Event()

            async def strike() -> None:
                await scene.say("before 0")
                await scene.say("before 1")
                await self.strike(fault)
                await scene.say("after 0")
                await scene.say("after 1")
                struck.set()

            # From further on, so that its reading is not enough for the one who comes back.
            further = scene.published[2][1]
            async with scene.client(further) as live:
                transcript = Transcript(further)
                transcript.read(await live.expect("subscribed"))
                scene.broker.after_next_read = strike
                async with scene.client(since) as between:
                    async with asyncio.timeout(DEADLINE):
                        await struck.wait()
                    await scene.get_well()
                    await scene.say("end")
                    async with scene.client(since) as afterwards:
                        await scene.check(afterwards, Transcript(since), may_be_told=may_be_told)
                    await scene.check(between, Transcript(since), may_be_told=may_be_told)
                await scene.check(live, transcript, may_be_told=may_be_told)

    async def test_one_who_is_alone_misses_nothing_around_a_fault(self, fault: str) -> None:
        """Nobody else is live, the broker is well again before they are, and nothing published later shows a hole."""
        may_be_told = fault.startswith("loss_")
        async with self.playing() as scene:
            since = scene.published[1][1]
            struck = asyncio.Event()

            async def strike() -> None:
                await scene.say("before")
                await self.strike(fault)
                await scene.say("after")
                await scene.get_well()
                struck.set()

            scene.broker.after_next_read = strike
            async with scene.client(since) as between:
                async with asyncio.timeout(DEADLINE):
                    await struck.wait()
                within = UNNOTICED if fault.startswith(("silent_", "loss_")) else REPAIRED
                await scene.check(between, Transcript(since), may_be_told=may_be_told, within=within)

    async def test_a_quiet_time_ends_nothing(self) -> None:
        """Nothing is published for a while; then something is, and arrives, and nothing broke meanwhile."""
        async with self.playing() as scene, scene.client() as client:
            await client.expect("subscribed")
            await asyncio.sleep(QUIET)
            await scene.say("end")
            assert (await client.expect("message", 1.0))["content"] == "end"
            assert scene.hub.statistics.interruptions == {}
            assert scene.hub.statistics.mended == 0


def faults(suite: type) -> list[str]:
    """Return the names of what may happen to an implementation."""
    names = [name for name, _ in inspect.getmembers(suite, inspect.isfunction)]
    return [name for name in names if name.startswith(("fault_", "loss_", "silent_"))]
