"""The feeds of this node: which channels it listens to, and what arrives for them."""

import asyncio
from collections.abc import Callable

from hubbub.hub.background import Background
from hubbub.hub.broker import Broker
from hubbub.hub.fanout import Feed
from hubbub.hub.namespaces import Namespace
from hubbub.hub.publications import Publication
from hubbub.hub.session import Session
from hubbub.hub.statistics import Statistics


class Feeds:
    """Holds a feed for each channel with local receivers, and the broker's subscription that goes with it.

    Args:
        broker: where publications come from; this becomes its receiver.
        background: runs the unsubscribing.
        statistics: counts deliveries.
        overflow: called for each session that fell too far behind, after the delivery that showed it.
    """

    def __init__(
        self,
        broker: Broker,
        background: Background,
        statistics: Statistics,
        overflow: Callable[[Session], None],
    ) -> None:
        self._broker = broker
        self._background = background
        self._statistics = statistics
        self._overflow = overflow
        self._overflown: list[Session] = []
        self._feeds: dict[str, Feed] = {}
        self._listening: set[str] = set()
        self._changing: dict[str, asyncio.Lock] = {}
        broker.deliver_to(self.receive)

    def receive(self, publication: Publication) -> None:
        """Deliver what came from the broker."""
        feed = self._feeds.get(publication.channel)
        if feed is None:
            return
        self._statistics.publications += 1
        self._statistics.deliveries += feed.deliver(publication)
        while self._overflown:
            self._overflow(self._overflown.pop())

    async def acquire(self, channel: str, namespace: Namespace) -> Feed:
        """Take hold of a channel's feed; when this returns, the broker delivers it here.

        Every `acquire` that returned needs one `release`.
        """
        feed = self._feeds.get(channel)
        if feed is None:
            feed = self._feeds[channel] = Feed(channel, namespace, self._overflown)
            self._changing[channel] = asyncio.Lock()
        feed.holders += 1
        try:
            async with self._changing[channel]:
                if channel not in self._listening:
                    await self._broker.subscribe(channel)
                    self._listening.add(channel)
        except BaseException:
            self.release(feed)
            raise
        return feed

    def release(self, feed: Feed) -> None:
        """Let go of a feed; the last one to do so ends the broker's subscription."""
        feed.holders -= 1
        if not feed.holders:
            self._background.start(self._retire(feed))

    async def _retire(self, feed: Feed) -> None:
        if self._feeds.get(feed.name) is not feed:
            return  # somebody came and left again before this began, and it was retired for them
        # One change at a time for each channel: a subscribe that overtook an unsubscribe would leave it deaf.
        async with self._changing[feed.name]:
            if feed.holders or self._feeds.get(feed.name) is not feed:
                return
            if feed.name in self._listening:
                self._listening.discard(feed.name)
                feed.forget_position()
                await self._broker.unsubscribe(feed.name)
            if not feed.holders:  # whoever took hold meanwhile waits for the lock, and subscribes again
                del self._feeds[feed.name], self._changing[feed.name]

    def __len__(self) -> int:
        return len(self._feeds)
