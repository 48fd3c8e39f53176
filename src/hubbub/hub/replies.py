"""What the server tells one session, in no wire format; a dialect turns these into bytes."""

import msgspec

from hubbub.codes import ErrorCode, UnsubscribeCode
from hubbub.hub.commands import Ref
from hubbub.hub.presence import Roster
from hubbub.hub.publications import Position, Publication
from hubbub.types import SessionId, UserId


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """Anything but a publication."""


class Welcome(Reply, frozen=True, kw_only=True):
    """The first words: who the session speaks for, and where its own channel stands.

    Args:
        recovered: whether `publications` is all that was missed there; `None` where no position was given.
    """

    user_id: UserId
    session_id: SessionId
    heartbeat: float
    channel: str | None = None
    position: Position | None = None
    recovered: bool | None = None
    publications: tuple[Publication, ...] = ()


class Done(Reply, frozen=True, kw_only=True):
    """A command with a `ref` was carried out."""

    ref: Ref
    channel: str | None = None
    position: Position | None = None


class Subscribed(Reply, frozen=True, kw_only=True):
    """The session receives a channel from here on.

    Args:
        position: the stream's top; live publications come after it.
        recovered: whether `publications` is all that was missed; `None` where no position was given.
        roster: who is there, where the namespace keeps presence.
    """

    channel: str
    as_room: bool
    position: Position
    recovered: bool | None = None
    publications: tuple[Publication, ...] = ()
    roster: Roster | None = None


class Unsubscribed(Reply, frozen=True, kw_only=True):
    """The session receives a channel no longer."""

    channel: str
    as_room: bool = False
    code: UnsubscribeCode = UnsubscribeCode.BY_CLIENT
    reason: str = ""


class HistoryRead(Reply, frozen=True, kw_only=True):
    """What was said before, in offset order, and the stream's top."""

    ref: Ref
    channel: str
    position: Position
    publications: tuple[Publication, ...]


class PresenceRead(Reply, frozen=True, kw_only=True):
    """Who is there."""

    ref: Ref
    channel: str
    roster: Roster


class Failed(Reply, frozen=True, kw_only=True):
    """A command was not carried out."""

    code: ErrorCode
    message: str
    ref: Ref = None


class Gap(Reply, frozen=True, kw_only=True):
    """Publications that this session will not get: offsets `first` to `last`, both included."""

    channel: str
    first: int
    last: int


class Reset(Reply, frozen=True, kw_only=True):
    """The stream began anew: what the client holds may be incomplete."""

    channel: str
    position: Position


class Reconnect(Reply, frozen=True, kw_only=True):
    """The node is draining: come back after so many seconds."""

    after: float


class PingSent(Reply, frozen=True, kw_only=True):
    """Are you there?"""


class PongSent(Reply, frozen=True, kw_only=True):
    """Yes."""
