"""`Hub`: what an application holds."""

import logging
import os
import platform
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any, TypeVar

from starlette.requests import HTTPConnection

from hubbub.authentication.origins import OriginPolicy
from hubbub.authentication.redaction import RedactingFilter
from hubbub.authentication.tickets import TicketStore
from hubbub.clock import Clock, SystemClock
from hubbub.codes import CloseCode
from hubbub.endpoints import routes
from hubbub.endpoints.engines import DatabaseSource, choose_engines, choose_keeper
from hubbub.endpoints.handshake import Doorkeeper, for_connections, token_reader
from hubbub.endpoints.injection import Injector
from hubbub.endpoints.namespace import NamespaceHandle
from hubbub.endpoints.queued import Writers
from hubbub.endpoints.speaking import Speaking
from hubbub.endpoints.sse import stream_url
from hubbub.exceptions import ConfigurationError, NotAvailable
from hubbub.hub.attendance import OfflineHook
from hubbub.hub.broker import Broker, Reading
from hubbub.hub.channels import USER_NAMESPACE
from hubbub.hub.control.cluster import Cluster
from hubbub.hub.control.revocations import Revocation, Revocations
from hubbub.hub.identity import Identity
from hubbub.hub.limits import Limits, Timing
from hubbub.hub.namespaces import Namespace, Namespaces, Publish, Subscribe
from hubbub.hub.node import Node
from hubbub.hub.presence import PresenceStore, Roster
from hubbub.hub.publications import Position
from hubbub.hub.statistics import Statistics
from hubbub.types import UserId

OfflineFunction = TypeVar("OfflineFunction", bound=Callable[..., Any])

ACCESS_LOGGERS = ("uvicorn.access", "uvicorn.error", "uvicorn.asgi")


class Hub(Speaking):
    """Real-time channels for a FastAPI application.

    ::

        hub = Hub(authenticate=JWTAuthenticator(secret))
        rooms = hub.namespace("room", publish="subscriber", presence=True)
        app = FastAPI(lifespan=hub.lifespan)
        app.include_router(hub.router)

    Args:
        broker: carries publications between nodes: the address of a Redis, such as ``redis://localhost:6379/0`` (see
            `hubbub.brokers.redis.Address`), which then keeps presence and tickets too, or a `Broker`; `None` is one
            process with everything in memory.
        presence: keeps presence leases; `None` for what goes with the broker.
        authenticate: turns a token into an `Identity`, or returns `None` for one that is not valid. Sync or
            async; may take FastAPI's `Depends`. Without it no token is valid. Where it is an async context manager,
            as a `JWTAuthenticator` is, the lifespan enters it.
        allowed_origins: origins of other sites whose pages may connect, such as ``https://app.example.com``; the
            same origin always may.
        allow_anonymous: whether connections without a token come in, as the user ``""``.
        session_cookie: the name of a cookie that carries a token; `None` looks at no cookie.
        limits: bounds on connections, subscriptions, sizes and rates.
        tickets: keeps tickets for handshakes; `None` for what goes with the broker, for 30 s.
        heartbeat: seconds between pings.
        presence_lease: seconds after which the members of a node that died have left.
        presence_grace: seconds a lost connection's user stays present, in case they come back.
        drain_time: seconds that `drain` takes at most.
        auth_deadline: seconds a connection without a credential has for its `auth` message.
        leeway: seconds an identity is accepted after it expired.
        hook_timeout: seconds a hook may take, its dependencies included.
        database: where `publish(transaction=…)` writes: the URL of a SQLite file or a PostgreSQL, such as
            ``postgresql://user:password@host/name``, an `AsyncEngine`, or a `hubbub.database.Database`, which its owner
            enters and leaves. Its tables are made by `hubbub.database.migrate`.
        clock: what time it is.

    Raises:
        ConfigurationError: an argument that cannot work.
    """

    def __init__(
        self,
        *,
        broker: Broker | str | None = None,
        presence: PresenceStore | None = None,
        authenticate: Callable[..., Any] | None = None,
        allowed_origins: Collection[str] = (),
        allow_anonymous: bool = False,
        session_cookie: str | None = None,
        limits: Limits | None = None,
        tickets: TicketStore | None = None,
        heartbeat: float = 25.0,
        presence_lease: float = 30.0,
        presence_grace: float = 5.0,
        drain_time: float = 15.0,
        auth_deadline: float = 5.0,
        leeway: float = 30.0,
        hook_timeout: float = 10.0,
        database: "DatabaseSource | None" = None,
        clock: Clock | None = None,
    ) -> None:
        positive = {"heartbeat": heartbeat, "presence_lease": presence_lease, "drain_time": drain_time}
        for name, seconds in positive.items():
            if seconds <= 0:
                raise ConfigurationError(f"{name} is a number of seconds above 0, not {seconds}.")
        self._clock = clock or SystemClock()
        self._engines = choose_engines(broker, presence, tickets, self._clock)
        self._keeper = choose_keeper(database)
        self._limits = limits or Limits()
        self._timing = Timing(heartbeat, presence_lease, presence_grace, leeway, drain_time)
        self._injector = Injector(hook_timeout)
        self._namespaces = Namespaces(
            [Namespace(USER_NAMESPACE, subscribe=Subscribe.OWNER, publish=Publish.NOBODY)]
        )
        self._offline_hooks: list[OfflineHook] = []
        self._revocations = Revocations(self._clock)
        self._authenticator: object = authenticate
        self._read_token = token_reader(
            self._injector, authenticate, self._revocations, allow_anonymous=allow_anonymous
        )
        self._authenticate = for_connections(self._read_token)
        self._session_cookie = session_cookie
        self._doorkeeper = Doorkeeper(
            self._authenticate,
            self._engines.tickets,
            OriginPolicy(allowed_origins),
            session_cookie,
            self._revocations,
            allow_anonymous=allow_anonymous,
        )
        self._writers = Writers()
        self.router = routes.realtime(lambda: self._running, self._doorkeeper, self._writers, auth_deadline)
        """Serves ``/ws``, ``/ws/{room_id}``, ``/ws/notifications/{topic}``, ``/sse`` and ``/hubbub.js``."""
        self.api = routes.tickets(self._engines.tickets, self._doorkeeper, 30.0)
        """Serves ``POST /ws-ticket``; include it with a prefix such as ``/api/v1``."""

    def namespace(self, name: str, **policy: Any) -> NamespaceHandle:
        """Define the channels ``name:…``; keywords as in `Namespace`.

        Raises:
            ConfigurationError: the name is taken, or a value cannot work.
        """
        handle = NamespaceHandle.define(name, policy, self._injector)
        self._namespaces.add(handle.policy)
        return handle

    @asynccontextmanager
    async def lifespan(self, app: Any) -> AsyncIterator[None]:
        """Run the hub for as long as the application runs: ``FastAPI(lifespan=hub.lifespan)``.

        To combine it with a lifespan of your own, enter ``hub.lifespan(app)`` inside that.
        """
        if self._node is not None:
            raise ConfigurationError("This hub is already running; use one Hub for each application.")
        self._injector.bind(app)
        node = Node(
            self._engines.broker(),
            self._engines.presence(),
            self._namespaces,
            self._authenticate,
            self._read_token,
            self._clock,
            self._limits,
            self._timing,
            self._revocations,
            f"{platform.node()}:{os.getpid()}",
        )
        node.attendance.offline_hooks.extend(self._offline_hooks)
        redaction = RedactingFilter(cookies=[self._session_cookie] if self._session_cookie else [])
        for name in ACCESS_LOGGERS:
            logging.getLogger(name).addFilter(redaction)
        try:
            async with AsyncExitStack() as stack:
                if isinstance(self._authenticator, AbstractAsyncContextManager):
                    await stack.enter_async_context(self._authenticator)
                await stack.enter_async_context(node)
                node.repeat(1.0, self._writers.sweep)
                self._node = node
                if self._keeper is not None:
                    keeping = self._keeper(node.broker, self._clock, node.statistics.outbox)
                    self._keeping = await stack.enter_async_context(keeping)
                yield
        finally:
            self._node = self._keeping = None
            for name in ACCESS_LOGGERS:
                logging.getLogger(name).removeFilter(redaction)

    def on_offline(self, hook: OfflineFunction) -> OfflineFunction:
        """Call a hook with the id of each user whose last connection ended, once in the cluster.

        It runs after the grace for lost connections; it may be sync or async and take `Depends`.
        """
        prepared = self._injector.prepare(hook, {"user_id": str})

        async def gone(user_id: UserId) -> None:
            await prepared(user_id=user_id)

        self._offline_hooks.append(gone)
        return hook

    async def identity(self, connection: HTTPConnection) -> Identity:
        """Find out who a request or handshake speaks for: ``Annotated[Identity, Depends(hub.identity)]``.

        Raises:
            HTTPException: 401 without a valid credential (on HTTP and SSE routes).
            WebSocketException: 4001, or 4010 where it was revoked (on WebSocket routes).
        """
        return await self._doorkeeper.identity(connection)

    async def disconnect(
        self,
        user_id: str,
        *,
        code: CloseCode = CloseCode.FORBIDDEN,
        reason: str = "Disconnected by the server",
    ) -> int:
        """Close every connection of a user, on every node; return how many there were.

        Nodes that do not answer within two seconds are not in the number; `Hub.cluster.disconnect` names them.

        Raises:
            ValueError: there is no such `code`.
            BadRequest: there can be no such user.
            PublishError: the broker did not take it.
        """
        return (await self.cluster.disconnect(user_id, code=code, reason=reason)).connections

    async def revoke(
        self,
        *,
        user_id: str | None = None,
        session_id: str | None = None,
        token_id: str | None = None,
        until: float | None = None,
    ) -> Revocation:
        """End what a user, a session or a token may do, on every node and for good; see `Cluster.revoke`.

        Raises:
            ValueError: not exactly one thing is named.
            BadRequest: there can be no such thing, or `until` is over.
            LimitExceeded: as many revocations as can be remembered are.
            PublishError: the broker did not take it (`PublishUncertain`: it is unknown whether it did; repeat it).
        """
        return await self.cluster.revoke(
            user_id=user_id, session_id=session_id, token_id=token_id, until=until
        )

    async def presence(self, channel: str, *, limit: int = 100, after: str | None = None) -> Roster:
        """List the users in a channel, in the order of their ids, a page at a time.

        Raises:
            UnknownChannel: no namespace answers to the name.
            NotAvailable: the namespace keeps no presence.
        """
        running = self._running
        parsed, namespace = self._namespaces.resolve(channel)
        if not namespace.presence:
            raise NotAvailable(f"{namespace.name}:… keeps no presence: define it with presence=True.")
        return await running.attendance.roster(parsed.name, limit, None if after is None else UserId(after))

    async def online(self, users: Collection[str]) -> set[str]:
        """Return which of these users are connected anywhere."""
        return set(await self._running.attendance.online([UserId(user) for user in users]))

    async def history(self, channel: str, *, limit: int = 50, before: int | None = None) -> Reading:
        """Read the newest publications of a channel, those below the offset `before`.

        Raises:
            UnknownChannel: no namespace answers to the name.
        """
        parsed, _ = self._namespaces.resolve(channel)
        return await self._running.broker.history(parsed.name, limit=limit, before=before)

    async def position(self, channel: str) -> Position:
        """Return where a channel stands now: a client that subscribes from there misses nothing.

        Raises:
            UnknownChannel: no namespace answers to the name.
        """
        parsed, _ = self._namespaces.resolve(channel)
        return (await self._running.broker.read(parsed.name)).top

    async def sse_url(self, *channels: str, path: str = "/sse") -> str:
        """Return the address of an event stream from here on, for a page that is rendered now.

        Read the data of the page after this, so that nothing falls between it and the stream.

        Args:
            channels: at most 128; a user's own, ``user:ada``, may be among them.
            path: where `router` is included.

        Raises:
            UnknownChannel: no namespace answers to a name.
        """
        return stream_url(path, {channel: await self.position(channel) for channel in channels})

    async def sse_link(self, *channels: str, path: str = "/sse") -> str:
        """Return the same as the value of a ``Link`` header; ``monitor`` is the relation that RFC 5989 registered."""
        return f'<{await self.sse_url(*channels, path=path)}>; rel="monitor"; type="text/event-stream"'

    async def drain(self) -> None:
        """Send every client of this node away before it ends: in batches, each told when to come back, then closed (1012).

        Returns when they are gone, after `drain_time` at the latest. Nobody is taken in from its beginning on. What runs
        the application calls this before the web server closes its sockets; `hubbub serve` does. Cancelled, it closes
        those who are left at once.
        """
        await self._running.draining.run()

    async def until_draining(self) -> None:
        """Wait until this node begins to drain: for streaming responses, which would hold a stop up, to end then."""
        await self._running.draining.until_begun()

    @property
    def is_draining(self) -> bool:
        """Whether clients are being sent away, or were; `/readyz` fails then."""
        return self._node is not None and self._node.draining.is_begun

    @property
    def cluster(self) -> Cluster:
        """All nodes together: which there are, who is connected where."""
        return self._running.cluster

    @property
    def statistics(self) -> Statistics:
        """What this node has counted since it started."""
        return self._running.statistics

    @property
    def connections(self) -> int:
        """How many clients are connected to this node."""
        return len(self._running.connections)

    @property
    def channels(self) -> int:
        """How many channels have readers on this node."""
        return len(self._running.feeds)

    @property
    def problem(self) -> str | None:
        """Why this node should not be given work at the moment; `None` while all is well."""
        return "not running" if self._node is None else self._node.broker.problem

    @property
    def database_problem(self) -> str | None:
        """Why the database cannot be used at the moment; `None` while all is well, and where there is none."""
        if self._keeper is None:
            return None
        return "not running" if self._keeping is None else self._keeping.problem

    @property
    def has_database(self) -> bool:
        """Whether it was given one."""
        return self._keeper is not None

    @property
    def is_running(self) -> bool:
        """Whether the lifespan has been entered."""
        return self._node is not None
