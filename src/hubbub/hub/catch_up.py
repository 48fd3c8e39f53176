"""Bringing a slow session up to date: from its positions, out of the streams, within the namespace's bound."""

import asyncio
import logging
from collections.abc import Callable

from hubbub.codes import CloseCode
from hubbub.exceptions import Unavailable
from hubbub.hub.background import Background
from hubbub.hub.broker import Broker, Reading
from hubbub.hub.namespaces import Overflow
from hubbub.hub.publications import Position, Publication
from hubbub.hub.readings import Readings
from hubbub.hub.recovery import newest_for, newest_within
from hubbub.hub.replies import Gap
from hubbub.hub.session import Session
from hubbub.hub.statistics import Statistics
from hubbub.hub.subscription import Subscription, reset

logger = logging.getLogger(__name__)

Close = Callable[[Session, CloseCode, str], None]
SLOW = "Too slow: come back with your positions"
AGAIN = 0.2
"""Seconds before streams that cannot be reached are tried again."""


class CatchUp:
    """Looks after sessions that cannot keep up; the owner of every `Session`.

    Args:
        broker: where history is read.
        readings: where streams are read from a position on.
        background: runs the catching up.
        statistics: counts pauses and gaps.
        close: ends a session.
    """

    def __init__(
        self,
        broker: Broker,
        readings: Readings,
        background: Background,
        statistics: Statistics,
        close: Close,
    ) -> None:
        self._broker = broker
        self._readings = readings
        self._background = background
        self._statistics = statistics
        self._close = close
        self._running: set[Session] = set()

    def paused(self, session: Session) -> None:
        """Count a session that left the fast set."""
        self._statistics.pauses += 1

    def resumed(self, session: Session) -> None:
        """Begin to bring a session up to date, unless that is being done."""
        if session not in self._running:
            self._running.add(session)
            self._background.start(self._run(session))

    async def _run(self, session: Session) -> None:
        try:
            while session.is_writable():
                subscription = next((each for each in session.subscriptions.values() if is_left(each)), None)
                if subscription is None:
                    self._finish(session)
                    return
                if not await self._bring_up(subscription):
                    await asyncio.sleep(AGAIN)
        except Exception:
            logger.exception("Session %s could not be brought up to date", session.id)
            self._close(session, CloseCode.TRY_AGAIN_LATER, "The streams cannot be read: come back later")
        finally:
            self._running.discard(session)

    def _finish(self, session: Session) -> None:
        for subscription in session.subscriptions.values():
            subscription.speed_up()
        session.slow = False
        self._statistics.catch_ups += 1
        session.outlet.proceed()

    async def _bring_up(self, subscription: Subscription) -> bool:
        """Bring one subscription up to date; return whether its stream could be read."""
        feed, behind = subscription.feed, subscription.behind
        if not feed.namespace.retention.keeps:  # no stream, no offsets: what was missed is lost, and counted
            subscription.behind = 0
            self._statistics.count(self._statistics.gaps, "not_kept")
            return True
        held = feed.hold(subscription)
        try:
            await self._read(subscription, held, overflown=subscription.overflown)
        except Unavailable:
            if subscription.held is held:
                feed.fall_behind(subscription, behind + sum(len(each.data) for each in held))
            return False
        return True

    async def _read(self, subscription: Subscription, held: list[Publication], *, overflown: bool) -> None:
        session, feed, since = subscription.session, subscription.feed, subscription.position
        overflow = feed.namespace.overflow
        reading = await self._readings.read(subscription, since)
        if subscription.held is not held:
            return
        if overflow is Overflow.CLOSE and (overflown or not reading.whole):
            self._close(session, CloseCode.SLOW_CONSUMER, SLOW)
            return
        if not reading.whole:
            reading = await self._broker.history(feed.name, limit=feed.namespace.retention.size)
            if subscription.held is not held:
                return
        if since.epoch not in {"", reading.top.epoch}:
            session.send(reset(feed.name, reading.top.epoch))
            subscription.position = Position(reading.top.epoch, 0)
        self._write(subscription, reading, self._first_kept(subscription, reading, overflown=overflown))

    def _first_kept(self, subscription: Subscription, reading: Reading, *, overflown: bool) -> int:
        namespace = subscription.feed.namespace
        if not overflown or not reading.publications:
            return 0
        if namespace.overflow is Overflow.CONFLATE:
            return newest_for(reading.publications, subscription.session.user_id)
        return newest_within(reading.publications, namespace.overflow_bytes)

    def _write(self, subscription: Subscription, reading: Reading, first: int) -> None:
        session, feed = subscription.session, subscription.feed
        kept = [each for each in reading.publications[first:] if each.offset > subscription.position.offset]
        self._tell_gap(subscription, reading, kept)
        for index, publication in enumerate(kept):
            subscription.write(publication)
            if session.congested:
                feed.fall_behind(subscription, sum(len(each.data) for each in kept[index + 1 :]))
                return
        subscription.position = reading.top
        feed.go_live(subscription)

    def _tell_gap(self, subscription: Subscription, reading: Reading, kept: list[Publication]) -> None:
        first = subscription.position.offset + 1
        last = kept[0].offset - 1 if kept else reading.top.offset
        if last >= first:
            feed = subscription.feed
            subscription.session.send(Gap(channel=feed.name, first=first, last=last))
            self._statistics.count(self._statistics.gaps, feed.namespace.overflow.value, last - first + 1)


def is_left(subscription: Subscription) -> bool:
    """Whether a subscription is to be brought up to date; one that subscribes again just now does that itself."""
    return subscription.behind > 0 and subscription.held is None
