"""A node without a web server: sessions whose outlets, and a broker whose answers, the test holds in its hands."""

import asyncio
import json
import math
from collections import deque
from collections.abc import Callable, Collection, Coroutine, Sequence
from types import TracebackType
from typing import Any, Self

from hubbub.brokers.memory import MemoryBroker
from hubbub.brokers.memory_presence import MemoryPresence
from hubbub.dialects.plain import PlainJSON
from hubbub.endpoints.queued import TextEncoding, TextFrame
from hubbub.exceptions import InvalidToken
from hubbub.hub.broker import KEY_TTL, Reading, Receiver, Retention
from hubbub.hub.identity import Identity
from hubbub.hub.limits import Limits, Timing
from hubbub.hub.namespaces import Namespace, Namespaces, Publish, Subscribe
from hubbub.hub.node import Node
from hubbub.hub.outlet import Listener, Pulse
from hubbub.hub.publications import Draft, Position, Publication
from hubbub.hub.session import Session
from hubbub.hub.turn import Turn
from hubbub.testing import FakeClock
from hubbub.types import UserId

DEADLINE = 5.0


class Held:
    """A call that the test lets go on."""

    def __init__(self, channel: str) -> None:
        self.channel = channel
        self._released = asyncio.Event()
        self.error: Exception | None = None

    def release(self) -> None:
        self._released.set()

    def fail(self, error: Exception) -> None:
        self.error = error
        self._released.set()

    async def wait(self) -> None:
        await self._released.wait()
        if self.error is not None:
            raise self.error


class HeldBroker:
    """The broker of one process, whose reads and deliveries can be held back, repeated and put off.

    It keeps the contract: a read is one atomic step, whether its answer comes at once or late; what is delivered
    comes in order, in the call to `publish` or after it, once or more often.
    """

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self._receiver: Receiver | None = None
        self._subscribed: set[str] = set()
        self._calls: asyncio.Queue[Held] = asyncio.Queue()
        self._holding: dict[str, str] = {}
        self.late: deque[Publication] | None = None
        self.calls: list[tuple[str, str]] = []
        self.inner = self._fresh()

    # What the test does with it.

    def hold(self, method: str, *, when: str = "before") -> None:
        """From now on a `read`, `history`, `subscribe` or `unsubscribe` waits; its step is done before that or after."""
        self._holding[method] = when

    def let(self, method: str) -> None:
        """Hold a method no longer."""
        self._holding.pop(method, None)

    async def held(self) -> Held:
        """Return the next call that waits."""
        async with asyncio.timeout(DEADLINE):
            return await self._calls.get()

    def hold_deliveries(self) -> None:
        """Put what is published aside, until `deliver`."""
        self.late = deque()

    def deliver(self, number: int | None = None) -> None:
        """Hand over what was put aside: so many, or everything and then no longer put anything aside."""
        assert self.late is not None
        for _ in range(len(self.late) if number is None else number):
            self.deliver_again(self.late.popleft())
        if number is None:
            self.late = None

    def deliver_again(self, publication: Publication) -> None:
        """Hand one over, whether or not it was before."""
        assert self._receiver is not None
        self._receiver.receive(publication)

    async def lose_streams(self) -> None:
        """Forget everything, as a restarted server does: every stream begins anew."""
        self.inner = self._fresh()
        for channel in self._subscribed:
            await self.inner.subscribe(channel)

    def lose(self, number: int) -> None:
        """Lose deliveries that were put aside, without a word."""
        assert self.late is not None
        for _ in range(number):
            self.late.popleft()

    # The contract.

    problem = None

    async def publish(
        self,
        draft: Draft,
        retention: Retention,
        idempotency_key: str | None = None,
        key_ttl: float = KEY_TTL,
    ) -> Position:
        return await self._step(
            "publish", draft.channel, self.inner.publish, draft, retention, idempotency_key, key_ttl
        )

    async def forget(self, channel: str, keys: Collection[str]) -> None:
        await self._step("forget", channel, self.inner.forget, channel, keys)

    async def subscribe(self, channel: str) -> None:
        await self._step("subscribe", channel, self.inner.subscribe, channel)
        self._subscribed.add(channel)

    async def unsubscribe(self, channel: str) -> None:
        await self._step("unsubscribe", channel, self.inner.unsubscribe, channel)
        self._subscribed.discard(channel)

    async def read(self, channel: str, since: Position | None = None) -> Reading:
        return await self._step("read", channel, self.inner.read, channel, since)

    async def positions(self, channels: Sequence[str]) -> list[Position]:
        return await self.inner.positions(channels)

    async def history(self, channel: str, *, limit: int, before: int | None = None) -> Reading:
        async def history() -> Reading:
            return await self.inner.history(channel, limit=limit, before=before)

        return await self._step("history", channel, history)

    def deliver_to(self, receiver: Receiver) -> None:
        self._receiver = receiver

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        return

    async def _step(
        self, method: str, channel: str, step: Callable[..., Coroutine[Any, Any, Any]], *args: Any
    ) -> Any:
        self.calls.append((method, channel))
        when = self._holding.get(method)
        if when is None:
            return await step(*args)
        call = Held(channel)
        if when == "before":
            result = await step(*args)
            self._calls.put_nowait(call)
            await call.wait()
            return result
        self._calls.put_nowait(call)
        await call.wait()
        return await step(*args)

    def _fresh(self) -> MemoryBroker:
        broker = MemoryBroker(self._clock)
        broker.deliver_to(self)
        return broker

    def receive(self, publication: Publication) -> None:
        if self.late is None:
            self.deliver_again(publication)
        else:
            self.late.append(publication)


class PacedOutlet:
    """The way out to a peer that takes as many frames as the test says, and all of them to begin with."""

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.queue: deque[TextFrame] = deque()
        self.closed_with: tuple[int, str] | None = None
        self.aborted = False
        self.progress = 0
        self.health = Pulse.WELL
        self.proceeded = 0
        """How often it was said that commands may be read."""
        self.written_through = 0
        self._last_progress = 0
        self._room = math.inf
        self._congested = False
        self._listener: Listener | None = None

    def stall(self, after: int = 0) -> None:
        """Take so many frames more."""
        self._room = after

    def take(self, number: float = math.inf) -> None:
        """Take so many frames more, waiting ones first."""
        self._room = number
        self._flush()
        if self._congested and not self.queue:
            self._congested = False
            assert self._listener is not None
            self._listener.resume()

    def attach(self, listener: Listener) -> None:
        self._listener = listener

    def write(self, frame: TextFrame) -> None:
        if self.closed_with is not None:
            return
        self.queue.append(frame)
        self._flush()
        if self.queue and not self._congested:
            self._congested = True
            assert self._listener is not None
            self._listener.pause()

    def close(self, code: int, reason: str) -> None:
        if self.closed_with is None:
            self.closed_with = (int(code), reason)

    def abort(self) -> None:
        self.aborted = True

    def write_through(self, frame: TextFrame) -> None:
        self.written_through += 1
        self.write(frame)

    def proceed(self) -> None:
        self.proceeded += 1

    def pulse(self) -> Pulse:
        stuck = bool(self.queue) and self.progress == self._last_progress
        self._last_progress = self.progress
        return Pulse.STUCK if stuck else self.health

    def _flush(self) -> None:
        while self.queue and self._room > 0:
            self._room -= 1
            self.progress += 1
            self.sent += [json.loads(message["text"]) for message in self.queue.popleft().messages]


class GatheringOutlet(PacedOutlet):
    """As the direct outlet: gathers frames to the end of the turn, unless they are written through."""

    def __init__(self, turn: Turn) -> None:
        super().__init__()
        self.writes = 0
        self._turn = turn
        self._gathered: list[TextFrame] | None = None

    def write(self, frame: TextFrame) -> None:
        if self._gathered is not None:
            self._gathered.append(frame)
        elif self.closed_with is None:
            self._gathered = [frame]
            self._turn.put_off_outlet(self)

    def write_through(self, frame: TextFrame) -> None:
        assert self.closed_with is None, "something was written behind a Close frame"
        self.writes += 1
        self.written_through += 1
        super().write(frame)

    def flush(self) -> None:
        gathered, self._gathered = self._gathered, None
        if gathered is not None:
            self.writes += 1
            for frame in gathered:
                super().write(frame)

    def close(self, code: int, reason: str) -> None:
        self.flush()
        super().close(code, reason)


class Guest:
    """A session, what it was sent, and the way to ask for things."""

    def __init__(self, node: Node, session: Session, outlet: PacedOutlet) -> None:
        self._node = node
        self.session = session
        self.outlet = outlet
        self._read = 0

    async def ask(self, kind: str, /, **fields: Any) -> list[Any]:
        """Send a message, and return everything that came since the last look."""
        await self._node.dispatcher.handle(self.session, json.dumps({"type": kind, **fields}))
        return self.news()

    def begin(self, kind: str, /, **fields: Any) -> None:
        """Send a message, and do not end the turn in which it is carried out as far as it gets."""
        text = json.dumps({"type": kind, **fields})
        self._node.background.begin(self._node.dispatcher.handle(self.session, text))

    async def join(self, room: str, **fields: Any) -> Any:
        """Join a room and return its `joined`."""
        return one(await self.ask("join_room", room_id=room, **fields), "joined")

    def news(self) -> list[Any]:
        """Return what came since the last look, to the end of this turn of the event loop."""
        end_turn(self._node)
        news = self.outlet.sent[self._read :]
        self._read = len(self.outlet.sent)
        return news

    def contents(self, channel: str | None = None) -> list[Any]:
        """Return what was said since the last look."""
        return [
            message["content"]
            for message in self.news()
            if message["type"] == "message" and channel in {None, message["channel"]}
        ]

    async def leave(self, *, clean: bool = True) -> None:
        """End the connection: a goodbye, or a cut."""
        self._node.end(self.session, clean=clean)
        await self._node.background.settle()


class Stage:
    """A node with a clock and a broker that the test moves. An async context manager.

    Args:
        namespaces: beside `user`; rooms with presence, and topics, when left out.
        limits: the bounds.
        gathering: whether outlets are as the direct one.
        presence: makes the presence store.
        timing: heartbeat, lease, grace and leeway.
    """

    def __init__(
        self,
        *namespaces: Namespace,
        limits: Limits | None = None,
        gathering: bool = False,
        presence: Callable[[FakeClock], Any] = MemoryPresence,
        **timing: float,
    ) -> None:
        self._gathering = gathering
        self.clock = FakeClock()
        self.broker = HeldBroker(self.clock)
        self.presence = presence(self.clock)
        self.tokens: dict[str, Identity] = {}
        self.encoding = TextEncoding(PlainJSON())
        own = Namespace("user", subscribe=Subscribe.OWNER)
        self.node = Node(
            broker=self.broker,
            presence=self.presence,
            namespaces=Namespaces([own, *(namespaces or (room(), Namespace("topic")))]),
            authenticate=self._authenticate,
            read_subscription_token=self._authenticate,
            clock=self.clock,
            limits=limits or Limits(message_rate=0),
            timing=Timing(**timing),
        )
        self._tasks: list[asyncio.Task[Any]] = []

    def guest(self, user: str, *, expires_at: float | None = None, path: str | None = None) -> Guest:
        """Make a session that is not taken in yet."""
        outlet = GatheringOutlet(self.node.turn) if self._gathering else PacedOutlet()
        identity = Identity(UserId(user), expires_at=expires_at)
        return Guest(self.node, self.node.session(identity, self.encoding, outlet, path), outlet)

    async def enter(self, user: str, *, expires_at: float | None = None) -> Guest:
        """Take a user's connection in."""
        guest = self.guest(user, expires_at=expires_at)
        await self.node.connections.open(guest.session)
        assert [message["type"] for message in guest.news()] == ["welcome"]
        return guest

    async def say(self, channel: str, content: Any, *, exclude: Collection[str] = ()) -> Position:
        """Publish a message as the server."""
        position = await self.node.publisher.publish(
            channel, "message", {"content": content}, exclude=exclude
        )
        self.node.turn.end()
        return position

    def publish(self, channel: str, *contents: Any, exclude: Collection[str] = ()) -> None:
        """Publish as the server, in this turn; nothing of it waits."""
        for content in contents:
            publishing = self.node.publisher.publish(
                channel, "message", {"content": content}, exclude=exclude
            )
            assert self.node.background.begin(publishing) is None

    def start(self, work: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        """Run something beside the test, which must end before the stage does."""
        task = asyncio.ensure_future(work)
        self._tasks.append(task)
        return task

    async def mended(self) -> None:
        """Wait until no feed is being read for what it missed."""
        async with asyncio.timeout(DEADLINE):
            while self.node.feeds._mender._tasks:  # noqa: ASYNC110 (turns are what passes here)
                await asyncio.sleep(0)
        self.node.turn.end()

    async def settle(self) -> None:
        """Wait for the node's own tasks."""
        async with asyncio.timeout(DEADLINE):
            await self.node.background.settle()
        self.node.turn.end()

    async def pass_time(self, seconds: float) -> None:
        """Let time pass, and everything happen that is due then."""
        self.clock.advance(seconds)
        self.node.wheel.turn()
        await self.settle()

    async def all_told(self) -> None:
        """Let what is gathered of comings and goings be told, and every channel be quiet again."""
        for _ in range(2):
            await self.pass_time(0.25)

    def feed(self, channel: str) -> Any:
        """Return what the node has of a channel."""
        return self.node.feeds._feeds[channel]

    async def _authenticate(self, token: str) -> Identity:
        try:
            return self.tokens[token]
        except KeyError:
            raise InvalidToken("The token is not valid.") from None

    async def __aenter__(self) -> Self:
        await self.node.__aenter__()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for method in tuple(self.broker._holding):
            self.broker.let(method)
        while not self.broker._calls.empty():
            self.broker._calls.get_nowait().release()
        if exc is None and self._tasks:
            done, late = await asyncio.wait(self._tasks, timeout=DEADLINE)
            assert not late
            for task in done:
                if not task.cancelled():
                    task.result()
        await self.node.__aexit__(exc_type, exc, traceback)


def end_turn(node: Node) -> None:
    """End this turn of the event loop, and the next ones in which something is left to do."""
    node.turn.end()
    while node.turn._scheduled:
        node.turn.end()


async def turns(number: int = 12) -> None:
    """Let the loop go round, so that whatever can go on has gone on."""
    for _ in range(number):
        await asyncio.sleep(0)


def room(**policy: Any) -> Namespace:
    """Return rooms: whoever is in one may speak and is seen, unless the test says otherwise."""
    return Namespace("room", **{"publish": Publish.SUBSCRIBER, "presence": True, **policy})


def quiet(**policy: Any) -> Namespace:
    """Return rooms in which nobody is told who comes and goes."""
    return room(**{"join_leave": False, **policy})


def one(messages: list[Any], kind: str) -> Any:
    """Return the one message of a type."""
    found = [message for message in messages if message["type"] == kind]
    assert len(found) == 1, messages
    return found[0]


def types(messages: list[Any]) -> list[str]:
    """Return the messages' types."""
    return [message["type"] for message in messages]


def offsets(messages: list[Any]) -> list[int]:
    """Return the offsets of the messages that were stored."""
    return [message["offset"] for message in messages if message["type"] == "message"]
