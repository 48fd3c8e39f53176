"""What is put off to the end of this turn of the event loop, so that each receiver gets one write for all of it.

Publications that arrive in one turn are joined for each channel, and what one session is sent is joined as well: under
load this divides the system calls, and at rest it adds no delay. A crowd that took milliseconds to write to is let rest
for a seventh of that, or as long again where the broker is another process: what comes meanwhile is joined too, where
otherwise the next flush began for the first of them alone.
"""

import logging
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Protocol

from hubbub.clock import Clock
from hubbub.hub.statistics import Statistics

if TYPE_CHECKING:
    from hubbub.hub.session import Session

logger = logging.getLogger(__name__)

REST = 0.15
"""Of the time that a crowd's flush took, before the next one."""
REST_AFAR = 1.0
"""The same where publications go by way of another process, from which they come back more scattered."""
SHORTEST_REST, LONGEST_REST = 0.0005, 0.05
"""Seconds. Timers of an event loop count milliseconds: a shorter rest is none, and this one is a millisecond."""


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
        later: calls back after some seconds, such as `loop.call_later`.
        clock: what time it is.
        overflow: called for each session that was found to be too far behind.
        statistics: counts deliveries.
        rest: how long a crowd rests, as a part of what its flush took.
    """

    __slots__ = (
        "_clock",
        "_feeds",
        "_later",
        "_outlets",
        "_overflow",
        "_overflown",
        "_rest",
        "_resting",
        "_schedule",
        "_scheduled",
        "statistics",
    )

    def __init__(
        self,
        schedule: Callable[[Callable[[], None]], object],
        later: Callable[[float, Callable[[], None]], object],
        clock: Clock,
        overflow: "Callable[[Session], None]",
        statistics: Statistics,
        rest: float = REST,
    ) -> None:
        self._rest = rest
        self._schedule = schedule
        self._later = later
        self._clock = clock
        self._overflow = overflow
        self.statistics = statistics
        self._feeds: list[Channel] = []
        self._outlets: list[Flushable] = []
        self._overflown: list[Session] = []
        self._resting: dict[Channel, bool] = {}
        """Crowds that were written to just now, and whether something has come since."""
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
        for crowd in crowds:
            if crowd in self._resting:
                self._resting[crowd] = True
            else:
                self._flush_crowd(crowd)
        self.flush_outlets()
        while self._overflown:
            self._try(partial(self._overflow, self._overflown.pop()))
        self._scheduled = bool(self._feeds or self._outlets)
        if self._scheduled:
            self._schedule(self.end)

    def _flush_crowd(self, crowd: Channel) -> None:
        began = self._clock.monotonic()
        self._flush(crowd)
        rest = (self._clock.monotonic() - began) * self._rest
        if rest >= SHORTEST_REST:
            self._resting[crowd] = False
            self._later(min(rest, LONGEST_REST), partial(self._rested, crowd))

    def _rested(self, crowd: Channel) -> None:
        if self._resting.pop(crowd):
            self.put_off(crowd)

    def _flush(self, one: Flushable) -> None:
        self._try(one.flush)

    def _try(self, step: Callable[[], None]) -> None:
        try:
            step()
        except Exception:  # it must not hold up the others
            logger.exception("Something could not be sent at the end of a turn")
            self.statistics.failures += 1
