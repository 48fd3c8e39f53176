"""Streams read once for all who come back together.

After a deploy, thousands of sessions subscribe to the same channels from nearly the same positions. The first one's reading is
kept for a few seconds, what is published meanwhile is added to it, and the others are answered from it.
"""

import asyncio
from collections.abc import Callable
from itertools import islice

from hubbub.exceptions import Unavailable
from hubbub.hub.broker import Broker, Immediate, Reading
from hubbub.hub.fanout import Feed
from hubbub.hub.publications import Position, Publication, Shared
from hubbub.hub.subscription import Subscription

KEPT = 5.0
"""Seconds that a reading is kept after it was used last."""
MOST_BYTES = 4 * 1024 * 1024
"""Of data in one channel's reading; a larger one is not kept."""
ATTEMPTS = 10
"""Readings for one who waits, where each was crossed by a break."""
ANSWERS = 8
"""Answers of one reading that are kept as they were written: most who come back together stand at the same place, and one for each
place would take the square of what was missed."""
MOST_CHANNELS = 100
"""Channels whose readings are kept at once."""


class Recent:
    """What was published to a channel lately: everything after a position, up to what its feed was told last."""

    __slots__ = ("_answers", "_first", "_first_id", "_kept", "_size", "asked", "top", "used_at")

    def __init__(self) -> None:
        self.asked: asyncio.Future[None] | None = asyncio.get_running_loop().create_future()
        """Done when the stream was read; `None` from then on."""
        self.top: Position | None = None
        self.used_at = 0.0
        self._first = 0
        self._first_id: str | None = None
        self._kept: list[Publication] = []
        self._answers: dict[int, Shared] = {}
        """What was answered since something was added last, by where it begins."""
        self._size = 0

    def begin(self, since: Position, reading: Reading) -> None:
        """Hold what was read, and what has come since it was asked for."""
        later, self._kept = self._kept, list(reading.publications)
        self._first, self._first_id, self.top = since.offset, since.id, reading.top
        self._size = sum(len(each.data) for each in self._kept)
        for publication in later:
            self.append(publication)

    def append(self, publication: Publication) -> None:
        """Add what the feed was told."""
        self._answers.clear()
        if self.asked is not None:
            self._kept.append(publication)
        elif self.top is not None and publication.epoch == self.top.epoch:
            if publication.offset == self.top.offset + 1:
                self._kept.append(publication)
                self._size += len(publication.data)
                self.top = publication.position
            elif publication.offset > self.top.offset:
                self.top = None
        else:
            self.top = None

    def since(self, position: Position) -> Reading | None:
        """Answer from what is held, or `None` where that does not suffice."""
        top, index = self.top, position.offset - self._first
        if top is None or position.epoch != top.epoch or not 0 <= index <= len(self._kept):
            return None
        known = self._kept[index - 1].id if index else self._first_id
        if position.id is not None and position.id != known:
            return None
        shared = self._answers.get(index)
        if shared is None:
            if len(self._answers) == ANSWERS:
                self._answers.clear()
            shared = self._answers[index] = Shared(islice(self._kept, index, None))
        return Reading(top, shared)

    def reaches(self, position: Position) -> bool:
        """Whether this is where it ends, so that nothing is missing when the feed goes on from there."""
        top = self.top
        return top is not None and (top.epoch, top.offset) == (position.epoch, position.offset)

    @property
    def is_useful(self) -> bool:
        """Whether it can answer anything, and is not too large."""
        return self.asked is not None or (self.top is not None and self._size <= MOST_BYTES)


class Readings:
    """Reads streams for sessions that come back or fell behind.

    Args:
        broker: where they are.
        monotonic: tells seconds that never run backwards.
    """

    def __init__(self, broker: Broker, monotonic: Callable[[], float]) -> None:
        self._broker = broker
        self._monotonic = monotonic
        self._is_immediate = isinstance(broker, Immediate)
        self._feeds: dict[Feed, Recent] = {}

    async def read(self, subscription: Subscription, since: Position | None) -> Reading:
        """Read the top and, with `since`, everything after it, as `Broker.read` does, for one who waits on a feed.

        What comes after the answer reaches them there. While it was read the broker may have come back from a break, and
        what was published in between have gone to nobody: then it is read again.

        Raises:
            Unavailable: it cannot be read.
        """
        feed = subscription.feed
        for _ in range(ATTEMPTS):
            mended = feed.mended
            reading = await self._read(feed, since)
            if feed.mended == mended and feed.follows(subscription, reading.top):
                return reading
            self._forget(feed)
        raise Unavailable(f"{feed.name!r} does not come to rest: try again.")

    def sweep(self) -> None:
        """Let go of readings that nobody needs any more."""
        old = self._monotonic() - KEPT
        for feed, recent in list(self._feeds.items()):
            if not recent.is_useful or (recent.asked is None and recent.used_at < old):
                self._let_go(feed, recent)

    def __len__(self) -> int:
        return len(self._feeds)

    async def _read(self, feed: Feed, since: Position | None) -> Reading:
        if since is None or self._is_immediate or not feed.listening:
            return await self._broker.read(feed.name, since)
        while (recent := self._feeds.get(feed)) is not None:
            if recent.asked is not None:
                await asyncio.wait([recent.asked])
                continue
            reading = recent.since(since) if feed.recent is recent else None
            if reading is None:
                break
            recent.used_at = self._monotonic()
            return reading
        return await self._read_for_all(feed, since)

    async def _read_for_all(self, feed: Feed, since: Position) -> Reading:
        if len(self._feeds) >= MOST_CHANNELS and feed not in self._feeds:
            return await self._broker.read(feed.name, since)
        recent = self._feeds[feed] = feed.recent = Recent()
        asked = recent.asked
        try:
            reading = await self._broker.read(feed.name, since)
        except BaseException:
            self._let_go(feed, recent)
            raise
        finally:
            recent.asked = None
            if asked is not None:
                asked.set_result(None)
        if reading.whole:
            recent.begin(since, reading)
            recent.used_at = self._monotonic()
        if not recent.is_useful or feed.recent is not recent:
            self._let_go(feed, recent)
        return reading

    def _forget(self, feed: Feed) -> None:
        recent = self._feeds.get(feed)
        if recent is not None and recent.asked is None:
            self._let_go(feed, recent)

    def _let_go(self, feed: Feed, recent: Recent) -> None:
        if self._feeds.get(feed) is recent:
            del self._feeds[feed]
        if feed.recent is recent:
            feed.recent = None
