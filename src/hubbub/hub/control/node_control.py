"""This node among the others: it carries out what was revoked, gives signs of life and answers for itself."""

import asyncio
import logging

import msgspec

from hubbub.clock import Clock
from hubbub.codes import CloseCode
from hubbub.exceptions import BadRequest, LimitExceeded, PublishError, PublishUncertain
from hubbub.hub.background import Background
from hubbub.hub.broker import Broker, Immediate
from hubbub.hub.connections import Connections
from hubbub.hub.control.census import Census, ChannelsQuery, ConnectionsQuery
from hubbub.hub.control.orders import CONTROL, LOG, Orders
from hubbub.hub.control.peers import NodeState, Peers
from hubbub.hub.control.revocations import Revocation, Revocations, Subject
from hubbub.hub.control.survey import Surveys
from hubbub.hub.feeds import Feeds
from hubbub.hub.ids import SecretIds
from hubbub.hub.session import Session
from hubbub.hub.wheel import Wheel
from hubbub.types import UserId
from hubbub.version import __version__

logger = logging.getLogger(__name__)

REVOKED = "Revoked"
TRIES = 3
"""How often a revocation is recorded anew whose answer was lost."""
MARGIN = 3600.0
"""Seconds after the end of a token for which its revocation is kept: authenticators have a leeway, and clocks differ."""
RENEWAL = 3600.0
"""Seconds between two looks for revocations that the log will let go of before they end."""
LONGEST = 10 * 365 * 86_400.0
"""Seconds for which a revocation may be kept."""
MAX_ID = 1024
"""Characters of an id that can be revoked."""


class Disconnection(msgspec.Struct, frozen=True, gc=False):
    """Asks every node to close a user's connections."""

    user_id: str
    code: int
    reason: str


class Count(msgspec.Struct, frozen=True, gc=False):
    """How many there were."""

    number: int


class Nothing(msgspec.Struct, frozen=True, gc=False):
    """A question without anything else to say."""


class Control:
    """Gives and carries out orders. `hubbub.hub.control.cluster.Cluster` is what users of it see.

    Args:
        node_id: this node's own id.
        name: where it runs.
        broker: carries orders.
        feeds: what arrives from it.
        connections: the sessions of this node.
        revocations: what this node knows to be revoked.
        clock: what time it is.
        wheel: for deadlines.
        background: for what has to wait.
    """

    def __init__(
        self,
        node_id: str,
        name: str,
        broker: Broker,
        feeds: Feeds,
        connections: Connections,
        revocations: Revocations,
        clock: Clock,
        wheel: Wheel,
        background: Background,
    ) -> None:
        self.node_id = node_id
        self._name = name
        self._feeds = feeds
        self._connections = connections
        self.revocations = revocations
        self._clock = clock
        self._background = background
        self._started_at = clock.time()
        self._ids = SecretIds()
        self._sought: set[str] = set()
        """Sessions and tokens that were revoked in this turn, and whose connections are to be found."""
        self.census = Census(node_id, connections)
        self.orders = Orders(broker, node_id, clock, background)
        alone = isinstance(broker, Immediate)
        self.peers = Peers(self.orders, self.state, background, alone=alone)
        self.surveys = Surveys(node_id, self.orders, self.peers, wheel, background)
        self.orders.on("revoke", Revocation, self._revoked)
        self.orders.when_lost = revocations.forget_the_log
        self.orders.when_read = self.record_again
        self.surveys.on("node", Nothing, lambda _: self.state())
        self.surveys.on("connections", ConnectionsQuery, self.census.connections)
        self.surveys.on("channels", ChannelsQuery, self.census.channels)
        self.surveys.on("disconnect", Disconnection, self._disconnect)

    async def start(self) -> None:
        """Begin to listen, and carry out what the log holds.

        Raises:
            Unavailable: the broker cannot be reached. A node that cannot know what was revoked lets nobody in.
            PublishError: likewise.
        """
        for channel in (CONTROL, self.orders.channel):
            await self._feeds.reserve(channel, self.orders)
        await self.catch_up()
        await self.peers.beat(asks=True)

    async def stop(self) -> None:
        """Wait for nobody any more, and tell the others, as far as that can be done in a second."""
        self.surveys.end()
        try:
            async with asyncio.timeout(1.0):
                await self.peers.leave()
        except (TimeoutError, PublishError):
            logger.info("The other nodes could not be told that this one stops; they will notice.")

    async def catch_up(self) -> None:
        """Carry out what was missed while this node was away; whoever knows that it was calls this.

        Raises:
            Unavailable: the log cannot be read; it is tried again with the next beat.
            PublishError: it was read, and what it lacks could not be recorded.
        """
        await self.orders.catch_up()

    async def beat(self) -> None:
        """Give a sign of life, and read the log where that failed before; every `BEAT` seconds."""
        if self.peers.are_alone:
            return
        if self.orders.is_behind:
            self.orders.catch_up_soon()
        try:
            await self.peers.beat()
        except PublishError as error:
            logger.debug("The other nodes could not be told that this one lives: %s", error)

    def state(self) -> NodeState:
        """Tell how this node is."""
        return NodeState(
            self.node_id,
            self._name,
            __version__,
            self._started_at,
            len(self._connections),
            len(self._feeds),
            self._connections.is_refusing,
        )

    async def revoke(self, subject: Subject, value: str, until: float | None = None) -> Revocation:
        """Revoke something on every node, for good; when this returns, it is in the log and holds here.

        Args:
            subject: what kind of thing.
            value: its id.
            until: when it may be forgotten, in seconds since 1970 UTC; `None` for as long as the log keeps orders.

        Raises:
            BadRequest: there can be no such thing, or the time is over.
            LimitExceeded: as many revocations as can be remembered are.
            PublishError: the broker did not take it (`PublishUncertain`: it is unknown whether it did).
        """
        check_id(value)
        now = self._clock.time()
        if until is None:
            until = now + LOG.ttl
        if not now < until <= now + LONGEST:
            raise BadRequest("`until` is a time in the future, within ten years.")
        if self.revocations.is_full:
            raise LimitExceeded(
                f"{len(self.revocations)} revocations are known, which is as many as can be; most are kept until the "
                "tokens they are about have ended."
            )
        revocation = Revocation(self._ids.new(), subject, value, now, until)
        await self._record(revocation)
        self._look()
        return revocation

    async def record_again(self) -> None:
        """Put into the log what it lacks, or will let go of while it is needed.

        Raises:
            PublishError: the broker did not take it.
        """
        for revocation in tuple(self.revocations.logged_before(self._clock.time() - LOG.ttl / 2)):
            await self._record(revocation)

    async def _record(self, revocation: Revocation) -> None:
        # All nodes put back what a broker lost: with the epoch in it, the key is one for them and new for the broker.
        place = self.orders.position
        key = f"{revocation.id}@{place.epoch if place else ''}"
        for left in reversed(range(TRIES)):
            try:
                await self.orders.record("revoke", revocation, key)
            except PublishUncertain:
                if not left:
                    raise
            else:
                break
        self._revoked(revocation, self._clock.time())

    def _revoked(self, revocation: Revocation, at: float) -> None:
        if not self.revocations.add(revocation, at):
            return
        if revocation.subject is Subject.USER:
            for session in self._connections.of_user(UserId(revocation.value)):
                self._close_if_covered(session)
        elif len(self._connections):
            # Which session has this token is not known: one look at all of them for everything that comes in this turn.
            if not self._sought:
                asyncio.get_running_loop().call_soon(self._look)
            self._sought.add(revocation.value)

    def _look(self) -> None:
        if self._sought:
            sought, self._sought = self._sought, set()
            for session in self._connections:
                if session.identity.token_id in sought or session.id in sought:
                    self._close_if_covered(session)

    def _close_if_covered(self, session: Session) -> None:
        if session.closed or not self.revocations.covers(session.identity, session.id):
            return
        self._connections.close(session, CloseCode.REVOKED, REVOKED)
        identity = session.identity
        if identity.token_id is not None and not self.revocations.covers(identity):
            self._background.start(self._revoke_token(identity.token_id, identity.expires_at))

    async def _revoke_token(self, token_id: str, expires_at: float | None) -> None:
        """End the token of a session that was revoked, or its client would be back with it."""
        now = self._clock.time()
        until = now + LOG.ttl if expires_at is None else expires_at + MARGIN
        revocation = Revocation(self._ids.new(), Subject.TOKEN, token_id, now, until)
        self.revocations.add(revocation)
        try:
            await self._record(revocation)
        except PublishError as error:
            self.orders.is_behind = True  # what the log lacks is recorded when it has been read
            logger.warning("The token of a revoked session is refused here only, until this works: %s", error)

    def _disconnect(self, order: Disconnection) -> Count:
        # One that is not known is of a newer version.
        code = next((known for known in CloseCode if known == order.code), CloseCode.FORBIDDEN)
        sessions = [
            session for session in self._connections.of_user(UserId(order.user_id)) if not session.closed
        ]
        for session in sessions:
            self._connections.close(session, code, order.reason)
        return Count(len(sessions))


def check_id(value: str) -> None:
    """Hold an id that comes from outside against what there can be.

    Raises:
        BadRequest: it is empty, too long, or not text.
    """
    if not 0 < len(value) <= MAX_ID:
        raise BadRequest(f"An id has 1 to {MAX_ID} characters.")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise BadRequest("An id is text in UTF-8.") from None
