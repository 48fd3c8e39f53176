"""One session on one channel: live, lagging or waiting."""

import logging
from typing import TYPE_CHECKING, Any

from hubbub.hub.audience import ABSENT
from hubbub.hub.namespaces import Overflow
from hubbub.hub.publications import NOWHERE, Position, Publication
from hubbub.hub.replies import Reset
from hubbub.types import Epoch

if TYPE_CHECKING:
    from hubbub.hub.fanout import Feed
    from hubbub.hub.session import Session

logger = logging.getLogger(__name__)


class Subscription:
    """One session on one feed, in one of three ways:

    * **live**: it is given each batch, which is what arrived in one turn of the event loop;
    * **lagging**: its session is slow; what it misses is only counted;
    * **waiting**: it is reading the stream; publications are held until what it read and what comes live join up.

    Args:
        session: who receives.
        feed: what it receives.
    """

    __slots__ = (
        "behind",
        "expiry",
        "feed",
        "has_read",
        "held",
        "lagging",
        "past",
        "place",
        "position",
        "session",
        "token_bound",
    )

    def __init__(self, session: "Session", feed: "Feed") -> None:
        self.session = session
        self.feed = feed
        self.position = NOWHERE
        """Where the session stands, while it is not live; a live one stands where its feed does."""
        self.held: list[Publication] | None = None
        """What came while it waits; `None` when it does not."""
        self.has_read = False
        """Whether the stream was read in this wait, so that only the feed has to get there."""
        self.past = NOWHERE.epoch
        """An epoch that was over when the stream was read: what still comes of it is older than what was read."""
        self.place = ABSENT
        """Its index among the feed's live ones."""
        self.lagging = False
        """Whether what comes is only counted."""
        self.behind = 0
        """How many bytes it has missed while lagging."""
        self.token_bound = False
        """Whether a token of its own, not the session's identity, allows it."""
        self.expiry: Any = None
        """The timer of that token's end."""

    def lag(self, frame: Any) -> None:
        """Count a frame that this session does not get now; stands in for its outlet's `write`."""
        if not self.behind:
            self.position = self.feed.position
        self.behind += len(frame)
        if self.overflown and self.feed.namespace.overflow is Overflow.CLOSE:
            self.feed.turn.overflown(self.session)

    @property
    def overflown(self) -> bool:
        """Whether it missed more than the namespace allows."""
        return self.behind > self.feed.namespace.overflow_bytes

    def slow_down(self) -> None:
        """Turn from live to lagging; a waiting one goes on waiting."""
        if self.held is None:
            self.lagging = True
            self.feed.changed()

    def speed_up(self) -> None:
        """Turn from lagging to live; there must be nothing it is behind by."""
        self.lagging = False
        self.feed.changed()

    def write(self, publication: Publication) -> None:
        """Write one publication to this session alone, and move its position there."""
        if publication.is_for(self.session.user_id):
            try:
                frame = self.session.encoding.publications((publication,))
            except Exception:
                logger.exception("A publication of %r could not be encoded", self.feed.name)
                self.feed.turn.statistics.failures += 1
            else:
                self.session.outlet.write(frame)
        if publication.offset:
            self.position = publication.position


def reset(channel: str, epoch: Epoch, began: int = 0) -> Reset:
    """Say that a stream began anew at an offset."""
    return Reset(channel=channel, position=Position(epoch, began))
