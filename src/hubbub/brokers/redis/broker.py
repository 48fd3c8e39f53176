"""The broker of many nodes: streams in Redis, and sharded pub/sub between the nodes."""

import asyncio
from collections.abc import Awaitable, Collection, Sequence
from types import TracebackType
from typing import Any, Self

import msgspec
from redis.exceptions import RedisError

from hubbub.brokers.redis.address import Address
from hubbub.brokers.redis.complaints import Complaints
from hubbub.brokers.redis.errors import NotSent, Unanswered
from hubbub.brokers.redis.keys import ChannelKeys
from hubbub.brokers.redis.life import new_epoch
from hubbub.brokers.redis.scripts import Script
from hubbub.brokers.redis.servers import Servers
from hubbub.brokers.redis.wire import pack, unpack
from hubbub.exceptions import ConfigurationError, PublishError, PublishUncertain, TooLarge, Unavailable
from hubbub.hub.broker import KEY_TTL, Reading, Receiver, Retention
from hubbub.hub.publications import MESSAGE, NOWHERE, Draft, Position, Publication
from hubbub.types import Epoch

AT_ONCE = 500
"""Keys that are forgotten in one step."""
MAX_BYTES = 1024 * 1024
"""What one publication may be, sent to every node: far larger ones have brought clusters down."""
LONGEST_TTL = 10 * 365 * 86400.0
KEPT_ALIVE = 180.0
"""Seconds after which the place of a channel with readers is told not to expire yet."""
EMPTY_TTL, META_TTL = 600_000, 86_400_000
"""Milliseconds that the place is kept of a channel in which nobody has published yet (see `read.lua`), or somebody has."""

PUBLISH, READ, FORGET = Script("publish"), Script("read"), Script("forget")


class RedisBroker:
    """Carries and keeps publications in Redis 7. See `hubbub.hub.broker.Broker` for what it promises.

    One server, Sentinel or Cluster: see `Address` for what a URL may say.

    Args:
        redis: a URL, or servers that are shared with a `RedisPresence`.
        max_bytes: the largest publication; larger ones are refused before they are sent.

    Raises:
        ConfigurationError: the URL is none.
    """

    def __init__(self, redis: str | Servers, max_bytes: int = MAX_BYTES) -> None:
        self.servers = Servers(Address.parse(redis)) if isinstance(redis, str) else redis
        self._max_bytes = max_bytes
        self._receiver: Receiver | None = None
        self._complaints = Complaints()
        self._subscribed: dict[bytes, tuple[str, ChannelKeys]] = {}
        self._kept_alive: dict[str, float] = {}

    @property
    def problem(self) -> str | None:
        """Why publications may be missed or refused at the moment, or `None`."""
        return self.servers.problem

    def deliver_to(self, receiver: Receiver) -> None:
        """Name who takes what arrives.

        Raises:
            ConfigurationError: another broker uses these servers.
        """
        self.servers.deliver_to(self)
        self._receiver = receiver

    async def publish(
        self,
        draft: Draft,
        retention: Retention,
        idempotency_key: str | None = None,
        key_ttl: float = KEY_TTL,
    ) -> Position:
        """Store and send a publication."""
        payload = pack(draft)
        if len(payload) > self._max_bytes:
            raise TooLarge(
                f"A publication of {len(payload)} bytes is over {self._max_bytes}, the most that is sent."
            )
        keys = self.servers.keys.of(draft.channel)
        is_kept = draft.kind is MESSAGE and retention.keeps
        if not is_kept and idempotency_key is None:
            await self._taken(self.servers.ask(keys.slot, "SPUBLISH", keys.channel, b":0:" + payload))
            return Position(Epoch(""), 0, draft.id)
        names: list[bytes] = [keys.meta, keys.stream]
        if idempotency_key is not None:
            names.append(keys.idempotency(idempotency_key))
        size = retention.size if is_kept else 0
        ttl = max(1, int(min(retention.ttl, LONGEST_TTL) * 1000))
        arguments = (payload, draft.id, size, ttl, new_epoch(), int(key_ttl * 1000), keys.channel)
        epoch, offset, publication_id, is_new = await self._taken(
            self.servers.run(PUBLISH, keys.slot, names, arguments)
        )
        position = Position(Epoch(epoch.decode()), offset, publication_id.decode())
        if offset and is_new:
            self.servers.seen.note(draft.channel, position.epoch, offset, publication_id.decode())
        return position

    async def forget(self, channel: str, keys: Collection[str]) -> None:
        """Keep idempotency keys no longer than usual."""
        names = self.servers.keys.of(channel)
        known = list(keys)
        for first in range(0, len(known), AT_ONCE):
            some = [names.idempotency(key) for key in known[first : first + AT_ONCE]]
            try:
                await self.servers.run(FORGET, names.slot, some, (int(KEY_TTL * 1000),))
            except (NotSent, Unanswered, RedisError) as error:
                raise Unavailable(
                    f"Idempotency keys are kept for longer than they need be: {error}"
                ) from error

    async def subscribe(self, channel: str) -> None:
        """Begin to hear a channel."""
        keys = self.servers.keys.of(channel)
        self._subscribed[keys.channel] = channel, keys
        try:
            await self.servers.subscribe(keys.channel, keys.slot)
        except BaseException as error:
            self._subscribed.pop(keys.channel, None)
            if isinstance(error, NotSent):
                raise self._unreadable(error) from error
            raise

    async def unsubscribe(self, channel: str) -> None:
        """Stop hearing a channel."""
        keys = self.servers.keys.of(channel)
        self._subscribed.pop(keys.channel, None)
        self._kept_alive.pop(channel, None)
        self.servers.unsubscribe(keys.channel)

    async def read(self, channel: str, since: Position | None = None) -> Reading:
        """Read the top and, with `since`, everything after it."""
        if since is None:
            return await self._read(channel, "before", 0, 0, "")
        return await self._read(channel, "since", since.epoch, since.offset, since.id or "")

    async def history(self, channel: str, *, limit: int, before: int | None = None) -> Reading:
        """Read the newest `limit` publications below `before`."""
        if before is not None and before <= 1:
            limit = 0
        return await self._read(channel, "before", before or 0, limit, "")

    async def positions(self, channels: Sequence[str]) -> list[Position]:
        """Read the tops of streams."""
        now = asyncio.get_running_loop().time()
        answers = await asyncio.gather(*(self._position(channel, now) for channel in channels))
        return list(answers)

    async def __aenter__(self) -> Self:
        try:
            await self.servers.__aenter__()
        except NotSent as error:
            raise ConfigurationError(str(error)) from error
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.servers.__aexit__(exc_type, exc, traceback)
        self._subscribed.clear()
        self._kept_alive.clear()

    def arrived(self, channel: bytes, payload: bytes) -> None:
        """Take what a server sent, and hand it to the hub."""
        known = self._subscribed.get(channel)
        if known is None or self._receiver is None:
            return
        name = known[0]
        try:
            epoch, offset, body = payload.split(b":", 2)
            publication = unpack(name, epoch.decode(), int(offset), body)
        except (msgspec.DecodeError, ValueError) as error:
            about = f"A publication of {name!r} cannot be read; is another version of Hubbub on this Redis?"
            self._complaints.complain(about, error)
            return
        if publication.offset:
            self.servers.seen.note(name, publication.epoch, publication.offset, publication.id)
        self._receiver.receive(publication)

    def interrupted(self, reason: str) -> None:
        """Tell the hub that something may be missed."""
        if self._receiver is not None:
            self._receiver.interrupted(reason)

    async def resume(self, channels: Collection[bytes]) -> None:
        """Have the hub read what was missed."""
        if self._receiver is None:
            return
        names = [self._subscribed[channel][0] for channel in channels if channel in self._subscribed]
        try:
            await self._receiver.mend(names)
        except Unavailable as error:
            raise NotSent(str(error)) from error

    async def _taken(self, asking: Awaitable[Any]) -> Any:
        """Wait for the answer to a publication, and raise what its publisher is promised."""
        try:
            return await asking
        except Unanswered as error:
            raise PublishUncertain(str(error)) from error
        except (NotSent, RedisError) as error:
            if isinstance(error, RedisError):
                self._complaints.complain("Redis refused a publication", error)
            raise PublishError(str(error)) from error

    async def _read(self, channel: str, way: str, first: str | int, second: int, third: str) -> Reading:
        keys = self.servers.keys.of(channel)
        try:
            epoch, top, last_id, began, whole, start, payloads = await self.servers.run(
                READ, keys.slot, (keys.meta, keys.stream), (way, first, second, third, new_epoch())
            )
        except (NotSent, Unanswered, RedisError) as error:
            raise self._unreadable(error) from error
        epoch = Epoch(epoch.decode())
        position = Position(epoch, top, last_id.decode() or None)
        if position.offset and position.id is not None:
            self.servers.seen.note(channel, epoch, top, position.id)
        publications = tuple(
            self._unpacked(channel, epoch, offset, payload) for offset, payload in enumerate(payloads, start)
        )
        return Reading(position, publications, bool(whole), began)

    def _unreadable(self, error: Exception) -> Unavailable:
        """Say so to clients, who are not to know what stands behind the server; and the rest to operators."""
        if isinstance(error, RedisError):
            self._complaints.complain("Redis refused to have a stream read", error)
        return Unavailable("The streams cannot be reached at the moment: try again.")

    def _unpacked(self, channel: str, epoch: Epoch, offset: int, payload: bytes) -> Publication:
        try:
            return unpack(channel, epoch, offset, payload)
        except (msgspec.DecodeError, ValueError) as error:
            self._complaints.complain(f"{channel!r} holds what this version cannot read", error)
            raise Unavailable("The stream holds what this server cannot read.") from error

    async def _position(self, channel: str, now: float) -> Position:
        keys = self.servers.keys.of(channel)
        try:
            if (
                keys.channel in self._subscribed
                and now - self._kept_alive.setdefault(channel, now) > KEPT_ALIVE
            ):
                # Nobody publishes, and somebody is there: the place they stand at shall not be forgotten.
                self._kept_alive[channel] = now
                is_empty = await self.servers.ask(keys.slot, "HGET", keys.meta, "top") == b"0"
                ttl = EMPTY_TTL if is_empty else META_TTL
                await self.servers.ask(keys.slot, "PEXPIRE", keys.meta, ttl, "GT")
            epoch, top, last_id = await self.servers.ask(keys.slot, "HMGET", keys.meta, "epoch", "top", "id")
        except (NotSent, Unanswered, RedisError) as error:
            if str(error).startswith("WRONGTYPE"):
                return NOWHERE
            raise self._unreadable(error) from error
        if epoch is None or top is None or not top.isdigit():
            return NOWHERE
        return Position(Epoch(epoch.decode()), int(top), last_id.decode() if last_id else None)
