"""One server that takes writes, and all that this node has with it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from contextlib import AsyncExitStack
from functools import partial
from types import TracebackType
from typing import Protocol, Self

from redis.asyncio import Connection

from hubbub.brokers.redis.dialing import Dialer, Primary
from hubbub.brokers.redis.keys import Keys
from hubbub.brokers.redis.lane import Lane
from hubbub.brokers.redis.life import Life
from hubbub.brokers.redis.listener import Listener
from hubbub.brokers.redis.peers import Peers
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
        alone: whether it is the only server.
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
        *,
        alone: bool,
    ) -> None:
        self.primary = primary
        self._find = find
        self._dialer = dialer
        self._recipient = recipient
        tag = tag_in(primary.slots[0][0])
        self._moved_elsewhere = moved
        self._canary = keys.of_server(tag, "canary").encode()
        self._life = Life(
            keys.of_server(tag, "life"),
            keys,
            seen,
            partial(self._carries, keys),
            peers,
            monotonic,
            alone=alone,
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
            self.lane,
            self.listener,
            peers,
            lambda: self._life.compared,
            partial(recipient.interrupted, "deaf"),
        )
        self._exit = AsyncExitStack()

    @property
    def channels(self) -> set[bytes]:
        """What is subscribed to here."""
        return self.listener.channels - {self._canary}

    @property
    def problem(self) -> str | None:
        """What is wrong with it, or `None`."""
        return self.lane.problem or self.listener.problem

    async def ready(self) -> None:
        """Wait until it can be published to and heard."""
        await self.lane.ready()
        await self.listener.ready()

    async def __aenter__(self) -> Self:
        await self._exit.enter_async_context(self.lane)
        await self._exit.enter_async_context(self.listener)
        watcher = asyncio.create_task(self._vigil.watch(self._canary), name="hubbub redis canary")
        self._exit.push_async_callback(self._stop, watcher)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._exit.aclose()

    async def _stop(self, watcher: asyncio.Task[None]) -> None:
        watcher.cancel()
        await asyncio.wait([watcher])
        await self._vigil.say_goodbye(self._canary)

    async def _dial(self, use: str) -> Connection:
        self.primary = await self._find(self.primary)
        return await self._dialer.dial(self.primary.server, use)

    async def _greet(self) -> None:
        await self._life.begin(self.lane)

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
            channel == self._canary
        ):  # the slot that names this shard is another's: there will be another shard
            self.listener.give_up(channel)
        else:
            self._moved_elsewhere(channel)

    async def _resume(self, channels: Collection[bytes]) -> None:
        await self._recipient.resume([channel for channel in channels if channel != self._canary])
