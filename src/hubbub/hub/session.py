"""One client connection after the handshake: who it speaks for and what it receives. It does no I/O."""

from typing import Protocol

from hubbub.codes import CloseCode
from hubbub.exceptions import LimitExceeded
from hubbub.hub.identity import Identity
from hubbub.hub.limits import TokenBucket
from hubbub.hub.outlet import Encoding, Outlet
from hubbub.hub.replies import Reply
from hubbub.hub.subscription import Subscription
from hubbub.hub.wheel import Timer
from hubbub.types import SessionId, UserId


class Owner(Protocol):
    """Who a session tells what it cannot do itself."""

    def paused(self, session: "Session") -> None:
        """Count that a session left the fast set."""
        ...

    def resumed(self, session: "Session") -> None:
        """Bring a session up to date that can write again."""
        ...


class Session:
    """A connection's identity, subscriptions and pace.

    Args:
        id: its own, which nobody can guess.
        identity: who it speaks for.
        encoding: how its frames are made.
        outlet: where they leave.
        bucket: how many messages a second it may send.
        owner: who looks after it.
        room: the channel of the connection's path, for messages that name none.
    """

    __slots__ = (
        "bucket",
        "close_code",
        "closed",
        "congested",
        "encoding",
        "expiry",
        "greeted",
        "heartbeat",
        "id",
        "identity",
        "outlet",
        "owner",
        "room",
        "slow",
        "subscriptions",
    )

    def __init__(
        self,
        id: SessionId,  # noqa: A002 (the field's name)
        identity: Identity,
        encoding: Encoding,
        outlet: Outlet,
        bucket: TokenBucket,
        owner: Owner,
        room: str | None = None,
    ) -> None:
        self.id = id
        self.identity = identity
        self.encoding = encoding
        self.outlet = outlet
        self.bucket = bucket
        self.owner = owner
        self.room = room
        self.subscriptions: dict[str, Subscription] = {}
        self.closed = False
        """Whether a Close frame was sent or received; nothing is written any more."""
        self.close_code: CloseCode | None = None
        """The code this side closed it with."""
        self.greeted = False
        """Whether it was sent its welcome, which comes before everything else."""
        self.congested = False
        """Whether its outlet cannot take more at the moment."""
        self.slow = False
        """Whether it is congested or being brought up to date; its commands are not read meanwhile."""
        self.expiry: Timer | None = None
        self.heartbeat: Timer | None = None
        outlet.attach(self)

    @property
    def user_id(self) -> UserId:
        """The user it speaks for."""
        return self.identity.user_id

    def send(self, reply: Reply) -> None:
        """Tell this client something."""
        self.outlet.write(self.encoding.reply(reply))

    def check_subscriptions(self, limit: int, own: int) -> None:
        """See whether one more channel is allowed, `own` of them not counted.

        Raises:
            LimitExceeded: it is on as many as it may be.
        """
        if limit and len(self.subscriptions) - own >= limit:
            raise LimitExceeded(f"A connection may be on {limit} channels; leave one first.")

    def pause(self) -> None:
        """Leave the fast set: from here each channel only counts what this session misses."""
        if self.congested or self.closed:
            return
        self.congested = True
        for subscription in self.subscriptions.values():
            subscription.slow_down()
        if not self.slow:
            self.slow = True
            self.owner.paused(self)

    def resume(self) -> None:
        """Be brought up to date from the streams, then return to the fast set."""
        self.congested = False
        if self.slow and not self.closed:
            self.owner.resumed(self)

    def is_writable(self) -> bool:
        """Whether publications may be written to it now."""
        return not (self.closed or self.congested)

    def detach(self) -> None:
        """Receive nothing more, from this moment on."""
        self.closed = True
        for timer in (self.expiry, self.heartbeat):
            if timer is not None:
                timer.cancel()
        for subscription in self.subscriptions.values():
            subscription.feed.remove(subscription)
