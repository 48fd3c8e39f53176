"""Several nodes in one process, on streams that they share: each can be paused, cut off and stopped."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Collection, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self, TypeVar

from stage import DEADLINE, Guest, PacedOutlet, end_turn, room, types

from hubbub.brokers.memory import MemoryBroker
from hubbub.brokers.memory_presence import MemoryPresence
from hubbub.dialects.plain import PlainJSON
from hubbub.endpoints.queued import TextEncoding
from hubbub.exceptions import InvalidToken, PublishError, PublishUncertain, Unavailable
from hubbub.hub.broker import KEY_TTL, Reading, Receiver, Retention
from hubbub.hub.identity import Identity
from hubbub.hub.limits import Limits, Timing
from hubbub.hub.namespaces import Namespace, Namespaces, Subscribe
from hubbub.hub.node import Node
from hubbub.hub.publications import Draft, Position, Publication
from hubbub.testing import FakeClock
from hubbub.types import UserId

Result = TypeVar("Result")


class SharedStreams:
    """What a broker's server keeps: the streams, and who is to be told of what comes."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.lines: list[Line] = []
        self.published = 0
        self.lose()

    def lose(self) -> None:
        """Forget everything; what comes next is of a new epoch."""
        self.broker = MemoryBroker(self._clock)
        self.broker.deliver_to(self)
        self.broker._subscribed = Everything()

    def receive(self, publication: Publication) -> None:
        for line in tuple(self.lines):
            line.arrived(publication)


class Everything(dict[str, int]):
    """Every channel is of interest to somebody."""

    def __contains__(self, channel: object) -> bool:
        return True


class Line:
    """One node's broker."""

    def __init__(self, streams: SharedStreams) -> None:
        self.streams = streams
        self.subscribed: set[str] = set()
        self.is_cut = False
        self.is_deaf = False
        """Whether nothing arrives, although everything else works."""
        self.takes_nothing = False
        """Whether publishing fails, although everything else works."""
        self.loses_answers = 0
        self.may_read = asyncio.Event()
        self.may_read.set()
        self.waiting: deque[Publication] | None = None
        self._receiver: Receiver | None = None

    def pause(self) -> None:
        """Hold what arrives back, as it is for a process that was stopped."""
        self.waiting = deque()

    def proceed(self) -> None:
        """Hand over what was held back, and go on."""
        waiting, self.waiting = self.waiting, None
        for publication in waiting or ():
            self.arrived(publication)

    def arrived(self, publication: Publication) -> None:
        if publication.channel not in self.subscribed or self.is_cut or self.is_deaf:
            return
        if self.waiting is not None:
            self.waiting.append(publication)
        else:
            assert self._receiver is not None
            self._receiver.receive(publication)

    async def forget(self, channel: str, keys: Collection[str]) -> None:
        await self._reach()
        await self.streams.broker.forget(channel, keys)

    async def publish(
        self,
        draft: Draft,
        retention: Retention,
        idempotency_key: str | None = None,
        key_ttl: float = KEY_TTL,
    ) -> Position:
        await asyncio.sleep(0)
        if self.is_cut or self.takes_nothing:
            raise PublishError("The broker takes nothing.")
        self.streams.published += 1
        position = await self.streams.broker.publish(draft, retention, idempotency_key, key_ttl)
        if self.loses_answers:
            self.loses_answers -= 1
            raise PublishUncertain("The answer was lost.")
        return position

    async def subscribe(self, channel: str) -> None:
        self.subscribed.add(channel)

    async def unsubscribe(self, channel: str) -> None:
        self.subscribed.discard(channel)

    @property
    def problem(self) -> str | None:
        return "cut" if self.is_cut else None

    async def mend(self) -> None:
        """Have everything read that may have been missed."""
        assert self._receiver is not None
        await self._receiver.mend(tuple(self.subscribed))

    async def read(self, channel: str, since: Position | None = None) -> Reading:
        await self._reach()
        await self.may_read.wait()
        return await self.streams.broker.read(channel, since)

    async def history(self, channel: str, *, limit: int, before: int | None = None) -> Reading:
        await self._reach()
        return await self.streams.broker.history(channel, limit=limit, before=before)

    async def positions(self, channels: Sequence[str]) -> list[Position]:
        await self._reach()
        return await self.streams.broker.positions(channels)

    def deliver_to(self, receiver: Receiver) -> None:
        self._receiver = receiver

    async def __aenter__(self) -> Self:
        self.streams.lines.append(self)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.streams.lines.remove(self)

    async def _reach(self) -> None:
        await asyncio.sleep(0)
        if self.is_cut:
            raise Unavailable("The broker cannot be reached.")


class Neighbour:
    """One node of a street."""

    def __init__(self, street: "Street", name: str) -> None:
        self.line = Line(street.streams)
        self.street = street
        self.is_asleep = False
        self.node = Node(
            broker=self.line,
            presence=street.presence,
            namespaces=Namespaces(
                [Namespace("user", subscribe=Subscribe.OWNER), room(presence=False), Namespace("topic")]
            ),
            authenticate=street.authenticate,
            read_subscription_token=street.authenticate,
            clock=street.clock,
            limits=Limits(message_rate=0),
            timing=Timing(),
            name=name,
        )
        self.control = self.node.control
        self.cluster = self.node.cluster

    @property
    def id(self) -> str:
        return self.node.control.node_id

    def guest(self, identity: Identity | str) -> Guest:
        """Make a session that is not taken in yet."""
        if isinstance(identity, str):
            identity = Identity(UserId(identity), issued_at=self.street.clock.time())
        outlet = PacedOutlet()
        return Guest(self.node, self.node.session(identity, self.street.encoding, outlet), outlet)

    async def enter(self, identity: Identity | str) -> Guest:
        """Take a connection in."""
        guest = self.guest(identity)
        await self.node.connections.open(guest.session)
        end_turn(self.node)
        assert "welcome" in types(guest.news())
        return guest

    def stop(self) -> None:
        """Be stopped, as by SIGSTOP."""
        self.is_asleep = True
        self.line.pause()

    async def wake(self) -> None:
        """Go on, with everything that came meanwhile."""
        self.is_asleep = False
        self.line.proceed()
        self.node.wheel.turn()
        await self.street.settle()

    def cut(self) -> None:
        """Lose the broker: nothing arrives, and what is published is not taken."""
        self.line.is_cut = True

    async def reconnect(self) -> None:
        """Have the broker again, and be told that something may have been missed."""
        self.line.is_cut = self.line.is_deaf = False
        await self.line.mend()
        await self.street.settle()


class Street:
    """Nodes that share streams and a clock. An async context manager."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.streams = SharedStreams(self.clock)
        self.presence = MemoryPresence(self.clock)
        self.encoding = TextEncoding(PlainJSON())
        self.tokens: dict[str, Identity] = {}
        self.neighbours: list[Neighbour] = []
        self._exits: dict[Neighbour, AsyncExitStack] = {}

    async def authenticate(self, token: str) -> Identity:
        try:
            return self.tokens[token]
        except KeyError:
            raise InvalidToken("The token is not valid.") from None

    async def add(self, name: str = "") -> Neighbour:
        """Start one more node."""
        neighbour = Neighbour(self, name)
        self._exits[neighbour] = AsyncExitStack()
        await self._exits[neighbour].enter_async_context(neighbour.node)
        self.neighbours.append(neighbour)
        await self.settle()
        return neighbour

    async def two(self) -> tuple[Neighbour, Neighbour]:
        """Start two nodes that know each other."""
        both = await self.add("left"), await self.add("right")
        await self.beats()
        return both

    async def end(self, neighbour: Neighbour) -> None:
        """Stop a node as it should be."""
        self.neighbours.remove(neighbour)
        await self._exits.pop(neighbour).aclose()
        await self.settle()

    async def settle(self) -> None:
        """Wait until no node that is awake has anything to do."""
        async with asyncio.timeout(DEADLINE):
            for _ in range(3):
                for neighbour in self.neighbours:
                    if not neighbour.is_asleep:
                        await neighbour.node.background.settle()
                await asyncio.sleep(0)

    async def pass_time(self, seconds: float) -> None:
        """Let time pass, and everything happen that is due then."""
        self.clock.advance(seconds)
        for neighbour in self.neighbours:
            if not neighbour.is_asleep:
                neighbour.node.wheel.turn()
        await self.settle()

    async def beats(self, number: int = 2) -> None:
        """Let every node that is awake give so many signs of life."""
        for _ in range(number):
            await self.pass_time(2.1)

    async def after(self, seconds: float, asking: Awaitable[Result]) -> Result:
        """Let time pass while something waits, and return what it gets."""
        task = asyncio.ensure_future(asking)
        for _ in range(10):
            await asyncio.sleep(0)
        assert not task.done()
        await self.pass_time(seconds)
        return await task

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        for neighbour in tuple(self.neighbours):
            neighbour.line.is_cut = neighbour.line.is_deaf = False
            neighbour.line.proceed()
            await self._exits.pop(neighbour).aclose()
