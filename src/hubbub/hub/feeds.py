"""The feeds of this node: which channels it listens to, and what arrives for them."""

import asyncio
from collections.abc import Collection
from typing import Protocol

from hubbub.hub.background import Background
from hubbub.hub.broker import Broker
from hubbub.hub.channels import EVERYONE
from hubbub.hub.everyone import Everyone
from hubbub.hub.fanout import Feed
from hubbub.hub.mending import Mender
from hubbub.hub.namespaces import Namespace
from hubbub.hub.publications import Publication
from hubbub.hub.statistics import Statistics
from hubbub.hub.turn import Turn


class Reserved(Protocol):
    """Receives a channel of the nodes' own, which no client can name."""

    def receive(self, publication: Publication) -> None:
        """Take a publication; neither blocking nor raising."""
        ...

    async def mend(self) -> None:
        """Read what may have been missed.

        Raises:
            Unavailable: the broker cannot be reached.
        """
        ...


class Feeds:
    """Holds a feed for each channel with local receivers, and the broker's subscription that goes with it.

    Args:
        broker: where publications come from; this becomes its receiver.
        background: runs the unsubscribing.
        statistics: counts what arrives.
        turn: ends the feeds' batches.
    """

    def __init__(
        self,
        broker: Broker,
        background: Background,
        statistics: Statistics,
        turn: Turn,
    ) -> None:
        self._broker = broker
        self._background = background
        self._statistics = statistics
        self._turn = turn
        self._mender = Mender(broker, background, statistics)
        self._feeds: dict[str, Feed] = {}
        self._everyone: Everyone | None = None
        self._reserved: dict[str, Reserved] = {}
        self._changing: dict[str, asyncio.Future[None] | None] = {}
        """Channels whose subscription at the broker is being changed, and what tells those who wait for that."""
        broker.deliver_to(self)

    async def listen(self, everyone: Everyone) -> None:
        """Begin to receive what is for everyone."""
        self._everyone = everyone
        await self._broker.subscribe(EVERYONE)

    async def reserve(self, channel: str, receiver: Reserved) -> None:
        """Begin to receive a channel for somebody else than sessions."""
        self._reserved[channel] = receiver
        await self._broker.subscribe(channel)

    def receive(self, publication: Publication) -> None:
        """Deliver what came from the broker."""
        feed = self._feeds.get(publication.channel)
        if feed is not None:
            self._statistics.publications += 1
            feed.deliver(publication)
        elif publication.channel == EVERYONE and self._everyone is not None:
            self._statistics.publications += 1
            self._everyone.deliver(publication)
        elif (receiver := self._reserved.get(publication.channel)) is not None:
            receiver.receive(publication)

    def interrupted(self, reason: str) -> None:
        """Count a break in what the broker delivers."""
        self._statistics.count(self._statistics.interruptions, reason)

    async def mend(self, channels: Collection[str]) -> None:
        """Read what the broker may not have delivered, and give it out; to those first who may close sessions."""
        for receiver in {self._reserved[channel] for channel in channels if channel in self._reserved}:
            await receiver.mend()
        await self._mender.mend([self._feeds[channel] for channel in channels if channel in self._feeds])

    async def look(self) -> None:
        """Find out whether something that nobody noticed is missing."""
        await self._mender.look([feed for feed in self._feeds.values() if feed.listening])

    async def acquire(self, channel: str, namespace: Namespace) -> Feed:
        """Take hold of a channel's feed; when this returns, the broker delivers it here.

        Every `acquire` that returned needs one `release`.
        """
        feed = self._feeds.get(channel)
        if feed is None:
            feed = self._feeds[channel] = Feed(channel, namespace, self._turn, self._mender.notice)
        feed.holders += 1
        if not feed.listening:
            try:
                await self._begin_change(channel)
                try:
                    if not feed.listening:
                        await self._broker.subscribe(channel)
                        feed.listening = True
                finally:
                    self._end_change(channel)
            except BaseException:
                self.release(feed)
                raise
        return feed

    def release(self, feed: Feed) -> None:
        """Let go of a feed; the last one to do so ends the broker's subscription."""
        feed.holders -= 1
        if not feed.holders:
            self._background.start(self._retire(feed))  # whoever leaves may come back in this turn

    async def _retire(self, feed: Feed) -> None:
        if self._feeds.get(feed.name) is not feed:
            return  # somebody came and left again before this began, and it was retired for them
        await self._begin_change(feed.name)
        try:
            if feed.holders or self._feeds.get(feed.name) is not feed:
                return
            if feed.listening:
                feed.listening = False
                feed.forget_position()
                await self._broker.unsubscribe(feed.name)
            if not feed.holders:  # whoever took hold meanwhile waits for this change, and subscribes again
                del self._feeds[feed.name]
        finally:
            self._end_change(feed.name)

    async def _begin_change(self, channel: str) -> None:
        """Change one channel's subscription at a time: a subscribe that overtook an unsubscribe would leave it deaf."""
        while channel in self._changing:
            changed = self._changing[channel]
            if changed is None:
                changed = self._changing[channel] = asyncio.get_running_loop().create_future()
            await asyncio.wait([changed])
        self._changing[channel] = None

    def _end_change(self, channel: str) -> None:
        changed = self._changing.pop(channel)
        if changed is not None:
            changed.set_result(None)

    def __len__(self) -> int:
        return len(self._feeds)
