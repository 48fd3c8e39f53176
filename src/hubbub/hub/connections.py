"""The sessions of this node: who may connect, how long they stay, and the cleanup that cannot be skipped."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec

from hubbub.clock import Clock
from hubbub.codes import CloseCode, UnsubscribeCode
from hubbub.exceptions import Forbidden, LimitExceeded, Restarting, SessionClosed
from hubbub.hub.attendance import Attendance
from hubbub.hub.background import Background
from hubbub.hub.broker import Reading
from hubbub.hub.channels import EVERYONE, USER_NAMESPACE, user_channel
from hubbub.hub.control.revocations import Revocations
from hubbub.hub.identity import Identity
from hubbub.hub.limits import ConnectionsPolicy, Limits, Timing
from hubbub.hub.namespaces import Namespaces
from hubbub.hub.outlet import Pulse
from hubbub.hub.presence import Roster
from hubbub.hub.publications import Position
from hubbub.hub.recovery import visible
from hubbub.hub.replies import PingSent, Reply, Unsubscribed, Welcome
from hubbub.hub.session import Session
from hubbub.hub.statistics import Statistics
from hubbub.hub.subscription import Subscription
from hubbub.hub.subscriptions import Subscriptions
from hubbub.hub.wheel import Wheel
from hubbub.types import UserId

REPLACED = "Replaced by new connection"
EXPIRED = "Token expired"
AILMENTS = {
    Pulse.STUCK: (CloseCode.SLOW_CONSUMER, "Nothing could be sent for a whole heartbeat"),
    Pulse.SILENT: (CloseCode.INTERNAL_ERROR, "keepalive ping timeout"),
}
"""How a session ends whose peer is not well."""


class Connections:
    """Opens and closes sessions, and holds them to their identity's time and to a sign of life.

    Args:
        subscriptions: what sessions receive.
        attendance: who is online.
        namespaces: for the user's own channel.
        limits: how many may connect.
        statistics: counts connections and closes.
        clock: what time it is.
        wheel: for heartbeats and expiry.
        background: ends subscriptions whose token expired.
        timing: for heartbeats and expiry.
        revocations: whom not to let in, nor let renew.
    """

    def __init__(
        self,
        subscriptions: Subscriptions,
        attendance: Attendance,
        namespaces: Namespaces,
        limits: Limits,
        statistics: Statistics,
        clock: Clock,
        wheel: Wheel,
        background: Background,
        timing: Timing,
        revocations: Revocations,
    ) -> None:
        self._subscriptions = subscriptions
        self._attendance = attendance
        self._namespaces = namespaces
        self._limits = limits
        self._statistics = statistics
        self._clock = clock
        self._wheel = wheel
        self._background = background
        self._revocations = revocations
        self.heartbeat = timing.heartbeat
        self._leeway = timing.leeway
        # Bound once: a bound method for each timer would be 64 bytes.
        self._on_beat, self._on_expiry = self._beat, self._expire
        self._sessions: set[Session] = set()
        self._waiting = 0
        self._come_back: Callable[[], float] | None = None
        """After how many seconds somebody may come back who is not taken in any more."""
        self._by_user: dict[UserId, Session | set[Session]] = {}
        """Most users have one connection: a set of one would cost 216 bytes."""

    def check_capacity(self) -> None:
        """See whether one more connection fits.

        Raises:
            LimitExceeded: the node is full.
            Restarting: it takes in nobody any more.
        """
        if self._come_back is not None:
            raise Restarting(self._come_back())
        if 0 < self._limits.connections <= len(self._sessions) + self._waiting:
            raise LimitExceeded(
                f"The server is full ({self._limits.connections} connections); try again later."
            )

    @property
    def is_refusing(self) -> bool:
        """Whether nobody is taken in any more."""
        return self._come_back is not None

    def refuse(self, come_back: Callable[[], float]) -> None:
        """Take in nobody from now on.

        Args:
            come_back: called for after how many seconds somebody who comes may come back.
        """
        self._come_back = come_back

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Count a connection that has yet to say who it is."""
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1

    def check_user(self, identity: Identity) -> None:
        """See whether one more connection of this user fits.

        Raises:
            LimitExceeded: the user has as many as allowed.
        """
        if identity.is_anonymous or self._limits.connections_policy is ConnectionsPolicy.REPLACE:
            return
        bound = self._limits.connections_per_user
        if 0 < bound <= len(self.of_user(identity.user_id)):
            raise LimitExceeded(f"You have {bound} connections, which is as many as a user may have.")

    async def open(self, session: Session, since: Position | None = None) -> None:
        """Take a session in: count it, end the user's old one where only one is allowed, welcome it.

        Args:
            session: who comes.
            since: where it stopped reading its user's own channel; the welcome then brings what it missed there.

        Raises:
            LimitExceeded: the node is full, or the user has as many connections as allowed.
            Restarting: it takes in nobody any more.
            SessionClosed: it ended meanwhile.
            TokenRevoked: its identity was revoked.
        """
        self.check_capacity()
        self.check_user(session.identity)
        # In the step in which it is registered: what is revoked from now on finds it among the sessions.
        self._revocations.check(session.identity)
        self._replace(session.identity)
        self._register(session)
        self._statistics.connections += 1
        self._await_expiry(session)
        session.heartbeat = self._wheel.after(self._spread(session), self._on_beat, session)
        await self._attendance.enter(session, EVERYONE)
        await self._welcome(session, since)

    def close(self, session: Session, code: CloseCode, reason: str) -> None:
        """End a session from this side: nothing is delivered from now on, and a Close frame is the last it gets.

        A slow one is cut off a second later, because its Close frame may never leave.
        """
        if session.closed:
            return
        session.close_code = code
        self._statistics.closes[code] = self._statistics.closes.get(code, 0) + 1
        session.detach()
        self._wheel.after(1.0, session.outlet.abort)
        session.outlet.close(code, reason)
        session.outlet.proceed()  # so that the peer's answer to the Close is read

    async def ended(self, session: Session, *, clean: bool) -> None:
        """Forget a session whose connection is over; whoever read from it calls this, whatever happened.

        Args:
            clean: whether the client said goodbye. One that this side turned out has left too; one that was replaced
                is here already, and one that shall come back has the grace.
        """
        code = session.close_code
        if code is not None:
            clean = code is not CloseCode.NORMAL and not code.reconnect
        elif self._come_back is not None:
            clean = False  # it was asked to come back: its goodbye is to this node only
        self._sessions.discard(session)
        known = self._by_user.get(session.user_id)
        if isinstance(known, set):
            known.discard(session)
        if not known or known is session:
            self._by_user.pop(session.user_id, None)
        await self._subscriptions.drop_all(session, clean=clean)

    async def renew(self, session: Session, identity: Identity) -> None:
        """Give a live session its identity anew, and ask the policies of its subscriptions again.

        A visitor who has not subscribed to anything may become a user.

        Raises:
            Forbidden: the identity is another user's.
            SessionClosed: it ended while the identity was being established.
            TokenRevoked: the identity was revoked.
        """
        if session.closed:
            raise SessionClosed
        self._revocations.check(identity)
        if session.identity.is_anonymous and not identity.is_anonymous:
            await self._become(session, identity)
            return
        if identity.user_id != session.user_id:
            raise Forbidden(
                f"This connection speaks for {session.user_id!r}; open another one for another user."
            )
        session.identity = identity
        self._await_expiry(session)
        for channel in tuple(session.subscriptions):
            if not await self._subscriptions.still_allowed(session, channel):
                await self.unsubscribe(session, channel, UnsubscribeCode.BY_SERVER, "No longer allowed")

    async def unsubscribe(self, session: Session, channel: str, code: UnsubscribeCode, reason: str) -> None:
        """Take a session off a channel from this side, and tell it."""
        if channel in session.subscriptions:
            await self._subscriptions.drop(session, channel, clean=True)
            session.send(Unsubscribed(channel=channel, code=code, reason=reason))

    def bind(self, session: Session, subscription: Subscription, token: Identity) -> None:
        """End a subscription when the token that allows it does, leeway included."""
        if subscription.expiry is not None:
            subscription.expiry.cancel()
            subscription.expiry = None
        if token.expires_at is None:
            return
        left = max(0.0, token.expires_at + self._leeway - self._clock.time())
        subscription.expiry = self._wheel.after(
            left, self._expire_subscription, session, subscription.feed.name
        )

    def _expire_subscription(self, session: Session, channel: str) -> None:
        reason = "The subscription's token expired"
        self._background.start(self.unsubscribe(session, channel, UnsubscribeCode.EXPIRED, reason))

    def of_user(self, user_id: UserId) -> tuple[Session, ...]:
        """Return this user's sessions on this node."""
        known = self._by_user.get(user_id, ())
        return (known,) if isinstance(known, Session) else tuple(known)

    def __iter__(self) -> Iterator[Session]:
        return iter(tuple(self._sessions))

    def __len__(self) -> int:
        return len(self._sessions)

    def _replace(self, identity: Identity) -> None:
        if self._limits.connections_policy is ConnectionsPolicy.REPLACE and not identity.is_anonymous:
            for old in self.of_user(identity.user_id):
                self.close(old, CloseCode.NORMAL, REPLACED)

    def _register(self, session: Session) -> None:
        self._sessions.add(session)
        if not session.identity.is_anonymous:
            known = self._by_user.setdefault(session.user_id, session)
            if isinstance(known, set):
                known.add(session)
            elif known is not session:
                self._by_user[session.user_id] = {known, session}

    async def _become(self, session: Session, identity: Identity) -> None:
        if session.subscriptions:
            raise Forbidden("Sign in before you subscribe to anything, or open another connection.")
        self.check_user(identity)
        self._replace(identity)
        session.identity = identity
        self._register(session)
        self._await_expiry(session)
        await self._attendance.enter(session, EVERYONE)
        await self._welcome(session)

    async def _welcome(self, session: Session, since: Position | None = None) -> None:
        if session.identity.is_anonymous or USER_NAMESPACE not in self._namespaces:
            if session.closed:
                raise SessionClosed
            session.send(self._words(session))
            return
        own = user_channel(session.user_id)
        _, namespace = self._namespaces.resolve(own)

        known = since if namespace.recovery else None

        def answer(reading: Reading, _roster: Roster | None) -> Reply:
            if since is None:
                return self._words(session, own, reading)
            return msgspec.structs.replace(
                self._words(session, own, reading),
                recovered=known is not None and reading.whole,
                publications=visible(reading.publications, session.user_id),
            )

        await self._subscriptions.attach(session, own, namespace, known, answer)

    def _words(self, session: Session, channel: str | None = None, reading: Reading | None = None) -> Welcome:
        session.greeted = True
        return Welcome(
            user_id=session.user_id,
            session_id=session.id,
            heartbeat=self.heartbeat,
            channel=channel,
            position=reading.top if reading else None,
        )

    def _await_expiry(self, session: Session) -> None:
        if session.expiry is not None:
            session.expiry.cancel()
            session.expiry = None
        if session.identity.expires_at is not None:
            left = session.identity.expires_at + self._leeway - self._clock.time()
            session.expiry = self._wheel.after(max(0.0, left), self._on_expiry, session)

    def _expire(self, session: Session) -> None:
        self.close(session, CloseCode.TOKEN_EXPIRED, EXPIRED)

    def _beat(self, session: Session) -> None:
        if session.closed:
            return
        pulse = session.outlet.pulse()
        if pulse is not Pulse.WELL:
            self.close(session, *AILMENTS[pulse])
            if pulse is Pulse.SILENT:  # there is nobody to answer the Close
                session.outlet.abort()
            return
        if not session.congested:
            session.send(PingSent())
        session.heartbeat = self._wheel.after(self.heartbeat, self._on_beat, session)

    def _spread(self, session: Session) -> float:
        """The first ping comes somewhere in the second half of the interval, so that pings do not come in bursts."""
        return self.heartbeat * (0.5 + (hash(session.id) & 0xFFFF) / 0x20000)
