"""What is put off to the end of this turn of the event loop, so that each receiver gets one write for all of it.

Publications that arrive in one turn are joined for each channel, and what one session is sent is joined as well: under
load this divides the system calls, and at rest it adds no delay.
"""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from hubbub.hub.statistics import Statistics

if TYPE_CHECKING:
    from hubbub.hub.session import Session

logger = logging.getLogger(__name__)


class Flushable(Protocol):
    """Somebody who has put something off."""

    def flush(self) -> None:
        """Let go of it."""
        ...


class Channel(Flushable, Protocol):
    """Receivers of publications."""

    @property
    def is_crowd(self) -> bool:
        """Whether they are written to at once, past what their outlets have gathered."""
        ...


class Turn:
    """The work of one turn's end; of one node.

    Args:
        schedule: calls back when everything that arrived in this turn was read, such as `loop.call_soon`.
        overflow: called for each session that was found to be too far behind.
        statistics: counts deliveries.
    """

    __slots__ = ("_feeds", "_outlets", "_overflow", "_overflown", "_schedule", "_scheduled", "statistics")

    def __init__(
        self,
        schedule: Callable[[Callable[[], None]], object],
        overflow: "Callable[[Session], None]",
        statistics: Statistics,
    ) -> None:
        self._schedule = schedule
        self._overflow = overflow
        self.statistics = statistics
        self._feeds: list[Channel] = []
        self._outlets: list[Flushable] = []
        self._overflown: list[Session] = []
        self._scheduled = False

    def put_off(self, feed: Channel) -> None:
        """Call `feed.flush` when the turn ends."""
        self._feeds.append(feed)
        if not self._scheduled:
            self._scheduled = True
            self._schedule(self.end)

    def put_off_outlet(self, outlet: Flushable) -> None:
        """Call `outlet.flush` when the turn ends, after the feeds."""
        self._outlets.append(outlet)
        if not self._scheduled:
            self._scheduled = True
            self._schedule(self.end)

    def overflown(self, session: "Session") -> None:
        """Have a session closed that fell too far behind; not now, since somebody is going through its channel."""
        self._overflown.append(session)
        if not self._scheduled:
            self._scheduled = True
            self._schedule(self.end)

    def flush_outlets(self) -> None:
        """Let every outlet send what it has gathered; needed before a frame is written past that."""
        while self._outlets:
            outlets, self._outlets = self._outlets, []
            for outlet in outlets:
                self._flush(outlet)

    def end(self) -> None:
        """Flush everything: small channels into the outlets, the outlets, then the crowds."""
        feeds, self._feeds = self._feeds, []
        crowds = []
        for feed in feeds:
            if feed.is_crowd:
                crowds.append(feed)
            else:
                self._flush(feed)
        self.flush_outlets()
        for feed in crowds:
            self._flush(feed)
        self.flush_outlets()
        while self._overflown:
            self._overflow(self._overflown.pop())
        self._scheduled = bool(self._feeds or self._outlets)
        if self._scheduled:
            self._schedule(self.end)

    def _flush(self, one: Flushable) -> None:
        try:
            one.flush()
        except Exception:  # it must not hold up the others
            logger.exception("Something could not be sent at the end of a turn")
            self.statistics.failures += 1
