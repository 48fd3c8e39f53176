"""What a broker did not deliver, found in the stream and given out in its place.

Three things tell that something is missing: a publication whose offset leaves a hole, a broker that says so, and a stream
whose top is above a channel that has been quiet. In each case the feed is held, the stream read from where it stands, and
what was missed goes out before what came later.
"""

import asyncio
import logging
from collections.abc import Collection, Iterable

from hubbub.exceptions import Unavailable
from hubbub.hub.background import Background
from hubbub.hub.broker import Broker, Reading
from hubbub.hub.fanout import Feed
from hubbub.hub.publications import Position
from hubbub.hub.statistics import Statistics

logger = logging.getLogger(__name__)

AT_ONCE = 200
"""Streams that are read at the same time."""
AGAIN = 0.2
"""Seconds before a stream that could not be read is tried again."""


class Mender:
    """Brings feeds up to date from their streams.

    Args:
        broker: where they are read.
        background: runs the mending.
        statistics: counts what was found.
    """

    def __init__(self, broker: Broker, background: Background, statistics: Statistics) -> None:
        self._broker = broker
        self._background = background
        self._statistics = statistics
        self._wanted: set[Feed] = set()
        self._tasks: dict[Feed, asyncio.Task[None]] = {}
        self._places: dict[Feed, Position] = {}
        """Where feeds stood when they were looked at last."""

    def notice(self, feed: Feed) -> None:
        """Begin to mend a feed."""
        self._wanted.add(feed)
        if feed not in self._tasks:
            self._tasks[feed] = self._background.start(self._run(feed))

    async def mend(self, feeds: Iterable[Feed]) -> None:
        """Mend feeds; returns when each was read to its end after this was called."""
        left = list(feeds)
        while left:
            part, left = left[:AT_ONCE], left[AT_ONCE:]
            for feed in part:
                self.notice(feed)
            await asyncio.wait([self._tasks[feed] for feed in part])

    async def look(self, feeds: Iterable[Feed]) -> None:
        """Mend feeds that were quiet since they were looked at last, and whose streams went on.

        A busy one needs no look: its next publication would show the hole.
        """
        places, self._places = self._places, {}
        quiet = []
        for feed in feeds:
            place = self._places[feed] = feed.reached
            if place.epoch and places.get(feed) == place:
                quiet.append(feed)
        for start in range(0, len(quiet), AT_ONCE):
            await self._look_at(quiet[start : start + AT_ONCE])

    async def _look_at(self, feeds: Collection[Feed]) -> None:
        try:
            tops = await self._broker.positions([feed.name for feed in feeds])
        except Unavailable:
            return  # when the broker is back, it has everything mended
        for feed, top in zip(feeds, tops, strict=True):
            here = feed.reached
            # A feed that went on while the tops were read may well be above what was read.
            is_below = top.offset < here.offset and here == self._places.get(feed)
            if top.epoch != here.epoch or top.offset > here.offset or is_below:
                self.notice(feed)

    async def _run(self, feed: Feed) -> None:
        try:
            while feed in self._wanted:
                self._wanted.discard(feed)
                try:
                    await self._mend(feed)
                except Exception as error:
                    if not isinstance(error, Unavailable):
                        logger.exception("Channel %r could not be brought up to date", feed.name)
                    self._wanted.add(feed)
                    await asyncio.sleep(AGAIN)
        finally:
            self._wanted.discard(feed)
            del self._tasks[feed]

    async def _mend(self, feed: Feed) -> None:
        if not feed.holders:  # nobody is there any more
            feed.go_on(())
            return
        feed.mended += 1
        since = feed.suspend()
        if not since.epoch:  # nobody lives by where it stands
            feed.go_on(())
            return
        reading = await self._broker.read(feed.name, since)
        if not stands(feed, since):
            self._wanted.add(feed)
        elif reading.top.epoch != since.epoch:
            feed.begin_anew(reading.top.epoch, reading.began)
            self._wanted.add(feed)
        elif reading.whole:
            self._go_on(feed, reading)
        else:
            await self._go_on_elsewhere(feed, since)

    def _go_on(self, feed: Feed, reading: Reading) -> None:
        before = feed.reached.offset
        if not feed.go_on(reading.publications):
            self._wanted.add(feed)
        self._statistics.mended += max(0, reading.top.offset - before)

    async def _go_on_elsewhere(self, feed: Feed, since: Position) -> None:
        """Go on with what is kept, where that does not continue what was given out."""
        reading = await self._broker.history(feed.name, limit=feed.namespace.retention.size)
        if not stands(feed, since) or reading.top.epoch != since.epoch:
            self._wanted.add(feed)
            return
        first = reading.publications[0].offset if reading.publications else reading.top.offset + 1
        if reading.top.offset < since.offset:  # it lost something, and no broker found out
            feed.begin_anew(since.epoch, reading.top.offset)
        elif first <= since.offset + 1:  # it has something else where the feed stands
            feed.begin_anew(since.epoch, max(first, since.offset) - 1)
        else:
            lost = feed.skip_to(first - 1)
            self._statistics.count(self._statistics.gaps, "broker", lost)
        self._go_on(feed, reading)


def stands(feed: Feed, where: Position) -> bool:
    """Whether a feed is where it was; else somebody went live on it meanwhile, from somewhere else."""
    return (feed.reached.epoch, feed.reached.offset) == (where.epoch, where.offset)
