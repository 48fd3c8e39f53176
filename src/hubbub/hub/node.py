"""One running process: everything of the hub put together, and the tasks it owns."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self

from hubbub.clock import Clock
from hubbub.codes import CloseCode
from hubbub.exceptions import Unavailable
from hubbub.hub.attendance import Attendance
from hubbub.hub.background import Background
from hubbub.hub.broker import Broker, Immediate
from hubbub.hub.catch_up import SLOW, CatchUp
from hubbub.hub.connections import Connections
from hubbub.hub.control.cluster import Cluster
from hubbub.hub.control.node_control import RENEWAL, Control
from hubbub.hub.control.peers import BEAT
from hubbub.hub.control.revocations import Revocations
from hubbub.hub.dispatch import Authenticator, Dispatcher
from hubbub.hub.draining import RESTARTING, Draining
from hubbub.hub.everyone import Everyone
from hubbub.hub.feeds import Feeds
from hubbub.hub.identity import Identity
from hubbub.hub.ids import SecretIds
from hubbub.hub.limits import Limits, Timing, TokenBucket
from hubbub.hub.namespaces import Namespaces
from hubbub.hub.outlet import Encoding, Outlet
from hubbub.hub.presence import PresenceStore
from hubbub.hub.publishing import Publisher
from hubbub.hub.readings import Readings
from hubbub.hub.session import Session
from hubbub.hub.statistics import Statistics
from hubbub.hub.subscriptions import Subscriptions
from hubbub.hub.turn import REST, REST_AFAR, Turn
from hubbub.hub.wheel import Wheel
from hubbub.types import SessionId

logger = logging.getLogger(__name__)

SWEEP = 0.5
"""Seconds between two looks for leases that are over."""
LOOK = 5.0
"""Seconds between two looks for publications that a broker lost without noticing: one is found within twice that."""


class Node:
    """Sessions, feeds and presence of one process. An async context manager.

    Args:
        broker: carries publications; entered and left here.
        presence: keeps leases; entered and left here.
        namespaces: the policies.
        authenticate: reads tokens for connections.
        read_subscription_token: reads tokens for one channel.
        clock: what time it is.
        limits: the bounds.
        timing: how long things last.
        revocations: what is known to be revoked; `None` makes a memory of its own.
        name: where this node runs, for those who ask which nodes there are.
    """

    def __init__(
        self,
        broker: Broker,
        presence: PresenceStore,
        namespaces: Namespaces,
        authenticate: Authenticator,
        read_subscription_token: Authenticator,
        clock: Clock,
        limits: Limits,
        timing: Timing,
        revocations: Revocations | None = None,
        name: str = "",
    ) -> None:
        self.broker = broker
        self.namespaces = namespaces
        self.limits = limits
        self.clock = clock
        self.statistics = Statistics()
        self.background = Background()
        self.wheel = Wheel(clock)
        self._presence = presence
        self.publisher = Publisher(broker, namespaces, clock)
        self.attendance = Attendance(
            presence, self.publisher, namespaces, clock, self.wheel, self.background, timing
        )
        rest = REST if isinstance(broker, Immediate) else REST_AFAR
        self.turn = Turn(call_soon, call_later, clock, self._overflow, self.statistics, rest)
        self.feeds = Feeds(broker, self.background, self.statistics, self.turn)
        self._readings = Readings(broker, clock.monotonic)
        self.subscriptions = Subscriptions(
            self._readings, self.feeds, self.attendance, namespaces, self.statistics, limits.subscriptions
        )
        revocations = Revocations(clock) if revocations is None else revocations
        self.connections = Connections(
            self.subscriptions,
            self.attendance,
            namespaces,
            limits,
            self.statistics,
            clock,
            self.wheel,
            self.background,
            timing,
            revocations,
        )
        self.draining = Draining(self.connections, self.wheel, clock, timing.drain)
        self._ids = SecretIds()
        self.control = self._make_control(name, revocations)
        self.catch_up = CatchUp(
            broker, self._readings, self.background, self.statistics, self.connections.close
        )
        self.dispatcher = self._make_dispatcher(authenticate, read_subscription_token)
        self._immediate = isinstance(broker, Immediate) and isinstance(presence, Immediate)
        self._exit = AsyncExitStack()
        self._turning: set[str] = set()

    def _make_dispatcher(
        self, authenticate: Authenticator, read_subscription_token: Authenticator
    ) -> Dispatcher:
        return Dispatcher(
            self.broker,
            self.connections,
            self.subscriptions,
            self.publisher,
            self.attendance,
            self.namespaces,
            authenticate,
            read_subscription_token,
            self.statistics,
        )

    def _make_control(self, name: str, revocations: Revocations) -> Control:
        return Control(
            self._ids.new(),
            name,
            self.broker,
            self.feeds,
            self.connections,
            revocations,
            self.clock,
            self.wheel,
            self.background,
        )

    @property
    def cluster(self) -> Cluster:
        """All nodes together."""
        return Cluster(self.control)

    def session(
        self, identity: Identity, encoding: Encoding, outlet: Outlet, room: str | None = None
    ) -> Session:
        """Make a session; `connections.open` takes it in."""
        bucket = TokenBucket(self.limits.message_rate, self.clock)
        return Session(SessionId(self._ids.new()), identity, encoding, outlet, bucket, self.catch_up, room)

    def perform(self, session: Session, text: str) -> "asyncio.Task[None] | None":
        """Carry out what a client asks for, at once where nothing has to be waited for.

        Returns:
            The task of what is left to do; `None` when it is done.
        """
        return self._begin(self.dispatcher.handle(session, text))

    def end(self, session: Session, *, clean: bool) -> None:
        """Clean up after a session; what of it has to wait is a task of the node's own, which no cancelled connection
        can skip."""
        session.detach()
        session.outlet.proceed()  # whoever waits for a slow one learns that it is over
        self._begin(self.connections.ended(session, clean=clean))

    def _begin(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None] | None":
        # A broker or store that waits may need the task around it, for a deadline of its own.
        return self.background.begin(work) if self._immediate else self.background.start(work)

    async def __aenter__(self) -> Self:
        for namespace in self.namespaces:
            namespace.check_hooks()
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.broker)
            await stack.enter_async_context(self._presence)
            await stack.enter_async_context(self.background)
            await self.feeds.listen(Everyone(self.connections, self.turn))
            await self.control.start()
            stack.push_async_callback(self.control.stop)
            self._begin_rounds()
            turner = asyncio.create_task(self._turn_wheel(), name="hubbub wheel")
            stack.push_async_callback(self._stop, turner)
            self._exit = stack.pop_all()
        return self

    def _begin_rounds(self) -> None:
        self._every(SWEEP, "sweep", self.attendance.sweep)
        self._every(RENEWAL, "renewal", self.control.record_again)
        if not self._immediate:
            self._every(LOOK, "look", self.feeds.look)
            self._every(BEAT, "beat", self.control.beat)
            self.repeat(1.0, self._readings.sweep)

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for session in self.connections:
            self.connections.close(session, CloseCode.SERVICE_RESTART, RESTARTING)
        await self._exit.aclose()

    async def _turn_wheel(self) -> None:
        while True:
            await asyncio.sleep(self.wheel.resolution)
            self.wheel.turn()

    async def _stop(self, task: asyncio.Task[None]) -> None:
        task.cancel()
        await asyncio.wait([task])

    def repeat(self, seconds: float, work: Callable[[], None]) -> None:
        """Do something small again and again, for as long as the node runs."""

        def due() -> None:
            self.wheel.after(seconds, due)
            work()

        self.wheel.after(seconds, due)

    def _every(self, seconds: float, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Do something that waits again and again; a round that is still running is not begun twice."""

        async def run() -> None:
            self._turning.add(name)
            try:
                await work()
            except Unavailable as error:
                logger.debug("The round %r was left out: %s", name, error)
            finally:
                self._turning.discard(name)

        def due() -> None:
            if name not in self._turning:
                self.background.start(run())

        self.repeat(seconds, due)

    def _overflow(self, session: Session) -> None:
        self.connections.close(session, CloseCode.SLOW_CONSUMER, SLOW)


def call_soon(callback: Callable[[], None]) -> None:
    """Call back when everything that has arrived in this turn of the event loop was read."""
    asyncio.get_running_loop().call_soon(callback)


def call_later(seconds: float, callback: Callable[[], None]) -> None:
    """Call back after some time."""
    asyncio.get_running_loop().call_later(seconds, callback)
