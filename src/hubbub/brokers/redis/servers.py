"""All the servers of one Redis: which of them a command goes to, and what becomes of it when they change places."""

import asyncio
import logging
import secrets
import time
from collections.abc import Collection, Iterable
from types import TracebackType
from typing import Any, Self

from redis.exceptions import (
    AskError,
    ClusterDownError,
    MasterDownError,
    MovedError,
    NoScriptError,
    ReadOnlyError,
    TryAgainError,
)

from hubbub.brokers.redis.address import Address, Arrangement, Server
from hubbub.brokers.redis.dialing import Dialer, Primary
from hubbub.brokers.redis.errors import Moved, NotSent, Refused
from hubbub.brokers.redis.keys import Keys
from hubbub.brokers.redis.lane import PATIENCE
from hubbub.brokers.redis.line import Argument
from hubbub.brokers.redis.listener import CONFIRMATION
from hubbub.brokers.redis.others import Peers
from hubbub.brokers.redis.scripts import Script
from hubbub.brokers.redis.seen import Seen
from hubbub.brokers.redis.shard import Recipient, Shard
from hubbub.exceptions import ConfigurationError

logger = logging.getLogger(__name__)

START = 8.0
"""Seconds that Redis has to be there when a node starts."""
LOOK = {Arrangement.CLUSTER: 5.0, Arrangement.SENTINEL: 2.0}
"""Seconds between two looks at who takes writes; it is looked at as well when something seems to have moved. Behind
sentinels a primary that was replaced may still take writes, which are lost when it learns of that."""
AGAIN = 0.1
"""Seconds before a command that came at a bad moment is sent again."""

WRONG_PLACE = (MovedError, ReadOnlyError)
BAD_MOMENT = (ClusterDownError, MasterDownError, TryAgainError)


class Deaf:
    """Takes what arrives while nobody wants it."""

    def arrived(self, channel: bytes, payload: bytes) -> None:
        """Drop it."""

    def interrupted(self, reason: str) -> None:
        """Miss nothing."""

    async def resume(self, channels: Collection[bytes]) -> None:
        """Read nothing."""


class Servers:
    """A Redis as the address has it. An async context manager that may be entered by several, and ends with the last.

    Args:
        address: where it is.
        node: this node's id, unique among all that share the Redis.
    """

    def __init__(self, address: Address, node: str | None = None) -> None:
        self.address = address
        self.keys = Keys(address.names)
        self.node = node or secrets.token_hex(8)
        self.seen = Seen()
        self.recipient: Recipient = Deaf()
        self._peers = Peers(time.monotonic)
        self._dialer = Dialer(address, f"hubbub-{self.node}")
        self._alone = address.arrangement is not Arrangement.CLUSTER
        self._entering = asyncio.Lock()
        self._shards: list[Shard] = []
        self._wanted: set[bytes] = set()
        self._moving: dict[bytes, asyncio.Task[None]] = {}
        self._looking: asyncio.Task[None] | None = None
        self._looker: asyncio.Task[None] | None = None
        self._leaving: set[asyncio.Task[None]] = set()
        """Shards that are no more, while they end."""
        self._problem: str | None = "not connected yet"
        self._users = 0
        self._runs = False

    @property
    def problem(self) -> str | None:
        """What is wrong with any of them, or `None`."""
        if self._problem is not None:
            return self._problem
        if self._moving:
            return f"{len(self._moving)} channels are moving"
        return next((shard.problem for shard in self._shards if shard.problem is not None), None)

    def deliver_to(self, recipient: Recipient) -> None:
        """Name who takes what arrives.

        Raises:
            ConfigurationError: somebody else does; each hub needs servers of its own.
        """
        if self.recipient is not recipient and not isinstance(self.recipient, Deaf):
            raise ConfigurationError(
                "These Redis servers serve another broker: give each hub Servers of its own."
            )
        self.recipient = recipient

    async def ask(self, slot: int, *command: Argument) -> Any:
        """Have a command carried out by the server that has a slot.

        One that came to the wrong server, or at a bad moment, was not carried out, and is sent again for a second.

        Raises:
            NotSent: it was not carried out.
            Unanswered: it may have been.
            redis.exceptions.ResponseError: the server refused it.
        """
        until = time.monotonic() + PATIENCE
        while True:
            shard = self._of(slot)
            try:
                return await shard.lane.ask(*command)
            except (*WRONG_PLACE, *BAD_MOMENT) as error:
                if isinstance(error, ReadOnlyError):
                    shard.lane.fail("this server became a replica")
                problem = str(error)
            except AskError as error:  # in the middle of a move; of this key only
                return await self._ask_at(Server(error.host, error.port), command)
            if time.monotonic() >= until:
                raise NotSent(f"Redis did not take a command: {problem}")
            await self._look()
            await asyncio.sleep(AGAIN)

    async def run(
        self, script: Script, slot: int, keys: Collection[Argument], arguments: Collection[Argument]
    ) -> Any:
        """Run a script on the server that has a slot; raises as `ask` does."""
        try:
            return await self.ask(slot, "EVALSHA", script.sha, len(keys), *keys, *arguments)
        except (
            NoScriptError
        ):  # which may be said by another server than has the slot, so that loading it would not do
            return await self.ask(slot, "EVAL", script.source, len(keys), *keys, *arguments)

    async def subscribe(self, channel: bytes, slot: int) -> None:
        """Hear a channel; raises `NotSent` where that cannot be had."""
        self._wanted.add(channel)
        until = time.monotonic() + CONFIRMATION
        try:
            while True:
                try:
                    await self._of(slot).listener.subscribe(channel)
                    break
                except Moved:
                    if time.monotonic() >= until:
                        raise
                    await self._look()
                    await asyncio.sleep(AGAIN)
        except BaseException:
            self._wanted.discard(channel)
            raise

    def unsubscribe(self, channel: bytes) -> None:
        """Hear a channel no longer."""
        self._wanted.discard(channel)
        for shard in self._shards:
            if channel in shard.listener.channels:
                shard.listener.unsubscribe(channel)

    async def __aenter__(self) -> Self:
        async with self._entering:  # whoever comes second finds it started
            if not self._users:
                await self._begin()
            self._users += 1
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        async with self._entering:
            self._users -= 1
            if not self._users:
                await self._stop()

    async def _begin(self) -> None:
        self._runs = True
        try:
            async with asyncio.timeout(START):
                await self._start()
        except TimeoutError:
            problem = self.problem
            await self._stop()
            raise NotSent(f"{self.address} cannot be used: {problem}") from None
        except BaseException:
            await self._stop()
            raise

    async def _start(self) -> None:
        while True:
            try:
                self._lay_out(await self._dialer.primaries())
                break
            except Refused:
                raise
            except NotSent as error:
                self._problem = str(error)
                await asyncio.sleep(AGAIN)
        self._problem = None
        for shard in self._shards:
            await shard.ready()
        if self.address.arrangement is not Arrangement.SINGLE:
            self._looker = asyncio.create_task(self._look_again_and_again(), name="hubbub redis topology")

    async def _stop(self) -> None:
        self._runs = False
        self._problem = "not connected yet"
        self._wanted.clear()
        tasks = [task for task in (self._looker, self._looking, *self._moving.values()) if task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        shards, self._shards = self._shards, []
        self._part_from(shards)
        while self._leaving:
            await asyncio.wait(self._leaving)

    def _of(self, slot: int) -> Shard:
        for shard in self._shards:
            if self._alone or any(first <= slot <= last for first, last in shard.primary.slots):
                return shard
        raise NotSent(f"Redis cannot be reached: no server has slot {slot}")

    async def _ask_at(self, server: Server, command: tuple[Argument, ...]) -> Any:
        for shard in self._shards:
            if shard.primary.server == server:
                shard.lane.tell("ASKING").add_done_callback(asyncio.Future.exception)
                return await shard.lane.tell(*command)
        await self._look()
        raise NotSent(f"Redis did not take a command: {server} is about to have it")

    async def _find(self, primary: Primary) -> Primary:
        """Tell where a primary is now; in a cluster another one has its slots then, and this one goes."""
        if self.address.arrangement is Arrangement.SENTINEL:
            (primary,) = await self._dialer.primaries()
        elif not self._alone:
            self._look_soon()
        return primary

    async def _look_again_and_again(self) -> None:
        while True:
            await asyncio.sleep(LOOK[self.address.arrangement])
            if self._alone:
                await self._look_at_sentinels()
            else:
                await self._look()

    async def _look_at_sentinels(self) -> None:
        try:
            (primary,) = await self._dialer.primaries()
        except NotSent as error:
            logger.warning("%s", error)
            return
        for shard in self._shards:
            if shard.is_at_another(primary):
                shard.fail("the sentinels name another primary")

    def _look_soon(self) -> asyncio.Task[None]:
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look_once(), name="hubbub redis topology")
        return self._looking

    async def _look(self) -> None:
        if not self._alone and self._runs:
            await asyncio.wait([self._look_soon()])

    async def _look_once(self) -> None:
        try:
            self._lay_out(await self._dialer.primaries())
        except NotSent as error:
            self._problem = str(error)
        except Exception:
            logger.exception("The cluster could not be looked at")
        else:
            self._problem = None

    def _lay_out(self, primaries: list[Primary]) -> None:
        """Have a shard for each primary; what was heard on one that is no more is heard on another."""
        known = {(shard.primary.server, shard.primary.home): shard for shard in self._shards}
        shards = []
        for primary in primaries:
            shard = known.pop((primary.server, primary.home), None)
            if shard is None:
                shard = self._shard(primary)
                shard.start()
            shard.primary = primary
            shards.append(shard)
        self._shards = shards
        for old in known.values():
            for channel in old.channels:
                self._moved(channel)
        self._part_from(known.values())

    def _part_from(self, shards: Iterable[Shard]) -> None:
        for shard in shards:
            task = asyncio.create_task(shard.stop(), name="hubbub redis leaves")
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)

    def _shard(self, primary: Primary) -> Shard:
        return Shard(
            primary,
            self._find,
            self._dialer,
            self.keys,
            self.seen,
            self._peers,
            self.node,
            self,
            self._moved,
            time.monotonic,
        )

    def arrived(self, channel: bytes, payload: bytes) -> None:
        """Hand on what a server sent."""
        self.recipient.arrived(channel, payload)

    def interrupted(self, reason: str) -> None:
        """Hand on that something may be missed."""
        if self._runs:
            self.recipient.interrupted(reason)

    async def resume(self, channels: Collection[bytes]) -> None:
        """Have read what was missed."""
        await self.recipient.resume(channels)

    def _moved(self, channel: bytes) -> None:
        if channel not in self._moving and self._runs:
            self._moving[channel] = asyncio.create_task(self._follow(channel), name="hubbub redis moves")

    async def _follow(self, channel: bytes) -> None:
        """Hear a channel on the server that has it now."""
        slot = self.keys.of(self.keys.channel(channel)).slot
        try:
            self.interrupted("moved")
            while channel in self._wanted:
                await self._look()
                try:
                    shard = self._of(slot)
                    self._leave_others(channel, shard)
                    await shard.listener.subscribe(channel)
                    await self.recipient.resume([channel])
                    if shard in self._shards and channel in shard.listener.channels:  # else it moved again
                        break
                except NotSent as error:
                    logger.info("A channel that moved cannot be heard yet: %s", error)
                    await asyncio.sleep(AGAIN)
        except Exception:
            logger.exception("A channel that moved could not be followed")
        finally:
            del self._moving[channel]

    def _leave_others(self, channel: bytes, shard: Shard) -> None:
        for other in self._shards:
            if other is not shard and channel in other.listener.channels:
                other.listener.give_up(channel)
