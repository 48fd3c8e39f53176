"""The broker of one process: streams in memory. Its restart is a new epoch for every channel."""

import logging
import secrets
from collections import OrderedDict, deque
from collections.abc import Collection, Sequence
from itertools import islice
from types import TracebackType
from typing import Literal, Self

from hubbub.brokers.memory_keys import SeenKeys
from hubbub.clock import Clock, SystemClock
from hubbub.hub.broker import KEY_TTL, Reading, Receiver, Retention
from hubbub.hub.publications import EPHEMERAL, MESSAGE, Draft, Position, Publication
from hubbub.types import Epoch

logger = logging.getLogger(__name__)

OVERHEAD = 512
"""Bytes that a kept publication takes beside its data."""
LOOK_EVERY = 0.001
"""Seconds between two looks at streams that may be over; at thousands of messages a second not each one looks."""

NO_EPOCH = Epoch("")


class Stream:
    """One channel's kept publications, and where it stands."""

    __slots__ = ("kept", "last_id", "published_at", "retention", "size", "top", "trimmed_id")

    def __init__(self, top: int) -> None:
        self.top = top
        self.last_id: str | None = None
        self.trimmed_id: str | None = None
        """The id just before the first one kept, by which a reader who stopped there is known."""
        self.kept: deque[Publication] = deque()
        self.size = 0
        """Bytes that are kept."""
        self.retention = Retention(0, 0.0)
        self.published_at = 0.0

    def append(self, publication: Publication, retention: Retention, now: float) -> None:
        """Keep one more, and let go of what the retention no longer covers."""
        self.kept.append(publication)
        self.size += len(publication.data) + OVERHEAD
        self.top = publication.offset
        self.last_id = publication.id
        self.retention = retention
        self.published_at = publication.time
        self.trim(now)

    def trim(self, now: float) -> None:
        """Let go of what the retention no longer covers. The epoch and the top stay."""
        kept, size = self.kept, self.retention.size
        oldest = now - self.retention.ttl
        while kept and (len(kept) > size or kept[0].time <= oldest):
            self.drop_oldest()

    def drop_oldest(self) -> None:
        """Let go of the oldest one that is kept."""
        publication = self.kept.popleft()
        self.size -= len(publication.data) + OVERHEAD
        self.trimmed_id = publication.id

    def since(self, position: Position) -> tuple[Publication, ...] | None:
        """Return everything after a position of this epoch, or `None` if that cannot be whole."""
        first = self.kept[0].offset if self.kept else self.top + 1
        if not first - 1 <= position.offset <= self.top:
            return None
        if position.id is not None and position.id != self._id_at(position.offset, first):
            return None
        return tuple(islice(self.kept, position.offset + 1 - first, None))

    def _id_at(self, offset: int, first: int) -> str | None:
        if offset == self.top:
            return self.last_id
        return self.trimmed_id if offset == first - 1 else self.kept[offset - first].id


class MemoryBroker:
    """Delivers at once, in the call to `publish`. See `hubbub.hub.broker.Broker` for what it promises.

    Args:
        clock: what time it is, for retention.
        max_bytes: what all streams together may keep. Above it the oldest publications go, from one stream after the
            other, whatever the namespaces' retention says; a warning is logged.

    A stream that is empty and was not published to for twice its `ttl` is forgotten; the channel's next stream goes
    on above every offset that was ever forgotten, so that an old position is told from a new one.
    """

    immediate: Literal[True] = True
    problem: None = None

    def __init__(self, clock: Clock | None = None, max_bytes: int = 512 * 1024 * 1024) -> None:
        self._clock = clock or SystemClock()
        self._max_bytes = max_bytes
        self._size = 0
        self._warned = False
        self._epoch = Epoch(secrets.token_hex(8))
        self._streams: OrderedDict[str, Stream] = OrderedDict()
        """In the order in which `_forget_streams` looks at them."""
        self._looked_at = 0.0
        self._floor = 0
        """No stream that was forgotten stood higher."""
        self._subscribed: dict[str, int] = {}
        """Which channels are delivered, and where one without a stream begins."""
        self._seen = SeenKeys()
        self._receiver: Receiver | None = None

    def deliver_to(self, receiver: Receiver) -> None:
        """Name who takes what is published."""
        self._receiver = receiver

    async def publish(
        self,
        draft: Draft,
        retention: Retention,
        idempotency_key: str | None = None,
        key_ttl: float = KEY_TTL,
    ) -> Position:
        """Store and deliver a publication."""
        now = self._clock.time()
        if idempotency_key is not None:
            seen = self._seen.find((draft.channel, idempotency_key), now)
            if seen is not None:
                return seen
        if draft.kind is MESSAGE and retention.keeps:
            publication = self._store(draft, retention, now)
        else:
            publication = Publication.placed(draft, NO_EPOCH, 0)
        position = publication.position
        if idempotency_key is not None and draft.kind is not EPHEMERAL:
            self._seen.keep((draft.channel, idempotency_key), position, now, key_ttl)
        if self._receiver is not None and draft.channel in self._subscribed:
            self._receiver.receive(publication)
        return position

    async def forget(self, channel: str, keys: Collection[str]) -> None:
        """Keep idempotency keys no longer than usual."""
        self._seen.shorten([(channel, key) for key in keys], self._clock.time())

    async def subscribe(self, channel: str) -> None:
        """Begin to deliver a channel."""
        # A channel with readers stands where it stood when they came, while others are forgotten.
        self._subscribed.setdefault(channel, self._floor)

    async def unsubscribe(self, channel: str) -> None:
        """Stop delivering a channel."""
        self._subscribed.pop(channel, None)

    async def read(self, channel: str, since: Position | None = None) -> Reading:
        """Read the top and, with `since`, everything after it."""
        if since is None:
            return Reading(self._top(channel, self._streams.get(channel)))
        stream = self._trimmed(channel)
        top = self._top(channel, stream)
        if since.epoch != self._epoch:
            return Reading(top, whole=False)
        missed = (stream or Stream(top.offset)).since(since)
        return Reading(top, whole=False) if missed is None else Reading(top, missed)

    async def history(self, channel: str, *, limit: int, before: int | None = None) -> Reading:
        """Read the newest `limit` publications below `before`."""
        stream = self._trimmed(channel)
        top = self._top(channel, stream)
        if stream is None or limit <= 0 or not stream.kept:
            return Reading(top)
        first = stream.kept[0].offset
        end = len(stream.kept) if before is None else min(len(stream.kept), max(0, before - first))
        return Reading(top, tuple(islice(stream.kept, max(0, end - limit), end)))

    async def positions(self, channels: Sequence[str]) -> list[Position]:
        """Read the tops of streams."""
        return [self._top(channel, self._streams.get(channel)) for channel in channels]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._subscribed.clear()

    def _store(self, draft: Draft, retention: Retention, now: float) -> Publication:
        stream = self._streams.get(draft.channel)
        is_new = stream is None
        if stream is None:
            stream = self._streams[draft.channel] = Stream(self._start(draft.channel))
        publication = Publication.placed(draft, self._epoch, stream.top + 1)
        before = stream.size
        stream.append(publication, retention, now)
        self._size += stream.size - before
        if is_new or not self._looked_at <= now < self._looked_at + LOOK_EVERY:
            self._forget_streams(now)
        if self._size > self._max_bytes:
            self._make_room()
        return publication

    def _trimmed(self, channel: str) -> Stream | None:
        stream = self._streams.get(channel)
        if stream is not None:
            self._trim(stream, self._clock.time())
        return stream

    def _trim(self, stream: Stream, now: float) -> None:
        before = stream.size
        stream.trim(now)
        self._size += stream.size - before

    def _make_room(self) -> None:
        while self._size > self._max_bytes:
            if not self._warned:
                self._warned = True
                logger.warning(
                    "The streams hold %d bytes, which is the bound: the oldest publications are let go before their "
                    "time. Keep less history, or give MemoryBroker a larger max_bytes.",
                    self._max_bytes,
                )
            channel, stream = next(iter(self._streams.items()))
            if stream.kept:
                self._size -= stream.size
                stream.drop_oldest()
                self._size += stream.size
            self._streams.move_to_end(channel)

    def _start(self, channel: str) -> int:
        return self._subscribed.get(channel, self._floor)

    def _top(self, channel: str, stream: Stream | None) -> Position:
        if stream is None:
            return Position(self._epoch, self._start(channel))
        return Position(self._epoch, stream.top, stream.last_id)

    def _forget_streams(self, now: float) -> None:
        # Two go round faster than new streams come, for each of which there is a look.
        self._looked_at = now
        for _ in range(min(2, len(self._streams))):
            channel, stream = next(iter(self._streams.items()))
            self._trim(stream, now)
            idle = now >= stream.published_at + 2 * stream.retention.ttl
            if idle and not stream.kept and channel not in self._subscribed:
                self._floor = max(self._floor, stream.top)
                del self._streams[channel]
            else:
                self._streams.move_to_end(channel)
