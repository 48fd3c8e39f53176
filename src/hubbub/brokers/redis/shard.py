"""One server that takes writes, and all that this node has with it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from functools import partial
from typing import Protocol

from redis.asyncio import Connection

from hubbub.brokers.redis.address import Arrangement, Server
from hubbub.brokers.redis.dialing import Dialer, Primary
from hubbub.brokers.redis.keys import Keys
from hubbub.brokers.redis.lane import Lane
from hubbub.brokers.redis.life import CLUSTERED, STANDALONE, Life
from hubbub.brokers.redis.listener import Listener
from hubbub.brokers.redis.others import Peers
from hubbub.brokers.redis.seen import Seen
from hubbub.brokers.redis.slots import tag_in
from hubbub.brokers.redis.vigil import Vigil

logger = logging.getLogger(__name__)


class Recipient(Protocol):
    """Who takes what arrives from servers."""

    def arrived(self, channel: bytes, payload: bytes) -> None:
        """Take a message; must not raise."""
        ...

    def interrupted(self, reason: str) -> None:
        """Learn that messages may be missed from now on."""
        ...

    async def resume(self, channels: Collection[bytes]) -> None:
        """Read what was missed of channels that are subscribed to again."""
        ...


class Shard:
    """The connections to one primary, the watch over them, and the server's lives.

    Args:
        primary: which server, with which slots.
        find: asks for the primary's address anew; it moves where sentinels or a cluster say so.
        dialer: opens connections.
        keys: names.
        seen: what this node saw of the streams.
        peers: the other nodes.
        node: this node's id.
        recipient: takes what arrives.
        moved: is told of channels that this server no longer carries.
        monotonic: tells seconds that never run backwards.
    """

    def __init__(
        self,
        primary: Primary,
        find: Callable[[Primary], Awaitable[Primary]],
        dialer: Dialer,
        keys: Keys,
        seen: Seen,
        peers: Peers,
        node: str,
        recipient: Recipient,
        moved: Callable[[bytes], None],
        monotonic: Callable[[], float],
    ) -> None:
        self.primary = primary
        self._find = find
        self._dialer = dialer
        self._recipient = recipient
        tag = tag_in(primary.home)
        self._moved_elsewhere = moved
        self._canary = keys.of_server(tag, "canary").encode()
        self._life = Life(
            keys.of_server(tag, "life"),
            CLUSTERED if dialer.address.arrangement is Arrangement.CLUSTER else STANDALONE,
            keys,
            seen,
            partial(self._carries, keys),
            peers,
            monotonic,
        )
        self.lane = Lane(partial(self._dial, "commands"), self._greet)
        self.listener = Listener(
            partial(self._dial, "subscriptions"),
            self._arrived,
            self._moved,
            partial(recipient.interrupted, "connection"),
            self._resume,
        )
        self.listener.channels.add(self._canary)
        self._vigil = Vigil(
            node,
            keys.of_server(tag, "written"),
            self.lane,
            self.listener,
            peers,
            lambda: self._life.compared,
            partial(recipient.interrupted, "deaf"),
        )
        self._watcher: asyncio.Task[None] | None = None
        self._at: Server | None = None
        """Which server was connected to last."""

    @property
    def channels(self) -> set[bytes]:
        """What is subscribed to here, in a set of its own."""
        return self.listener.channels - {self._canary}

    @property
    def problem(self) -> str | None:
        """What is wrong with it, or `None`."""
        return self.lane.problem or self.listener.problem or self._vigil.refusal

    async def ready(self) -> None:
        """Wait until it can be published to and heard."""
        await self.lane.ready()
        await self.listener.ready()

    def fail(self, reason: str) -> None:
        """Give both connections up and open others, to the server that is found then."""
        self.lane.fail(reason)
        self.listener.fail(reason)

    def is_at_another(self, primary: Primary) -> bool:
        """Whether there are connections, to another server than this one."""
        return self._at is not None and self._at != primary.server

    def start(self) -> None:
        """Begin to connect; `stop` ends it."""
        self.lane.start()
        self.listener.start()
        self._watcher = asyncio.create_task(self._vigil.watch(self._canary), name="hubbub redis canary")

    async def stop(self) -> None:
        """Say goodbye, and end everything."""
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.wait([self._watcher])
        await self._vigil.say_goodbye(self._canary)
        await self.listener.stop()
        await self.lane.stop()

    async def _dial(self, use: str) -> Connection:
        self.primary = await self._find(self.primary)
        connection = await self._dialer.dial(self.primary.server, use)
        self._at = self.primary.server
        return connection

    async def _greet(self) -> None:
        await self._life.begin(self.lane)
        await self._vigil.try_writing(self._canary)

    def _carries(self, keys: Keys, channel: str) -> bool:
        slot = keys.of(channel).slot
        return any(first <= slot <= last for first, last in self.primary.slots)

    def _arrived(self, channel: bytes, payload: bytes) -> None:
        if channel == self._canary:
            self._vigil.heard(payload)
        else:
            self._recipient.arrived(channel, payload)

    def _moved(self, channel: bytes) -> None:
        if (
            channel != self._canary
        ):  # else the slot that names this shard is another's: there will be another shard
            self._moved_elsewhere(channel)

    async def _resume(self, channels: Collection[bytes]) -> None:
        await self._recipient.resume([channel for channel in channels if channel != self._canary])
