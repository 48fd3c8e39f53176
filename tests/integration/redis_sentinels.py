"""A Redis with a replica behind three sentinels, who make the replica the primary when the primary is gone."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Literal

from ports import steady_port
from redis_servers import RedisServer, redis_server, soon, started

NAME = "hubbub"
COUNT = 3
QUORUM = 2
OFTEN = 100
"""Milliseconds between what sentinels otherwise do every 10, 2 and 1 s, so that a failover is a matter of theirs."""


class Sentinel:
    """The sentinels, and the two that they watch."""

    def __init__(self, primary: RedisServer, replica: RedisServer, sentinels: list[RedisServer]) -> None:
        self.primary = primary
        self.replica = replica
        self.sentinels = sentinels
        self._is_behind = False

    @property
    def url(self) -> str:
        addresses = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis+sentinel://{addresses}/{NAME}/0"

    async def current_primary(self) -> tuple[str, int]:
        """Return the address that the sentinels agree on; wait until they do."""
        await soon(self._agree)
        return await named(next(each for each in self.sentinels if each.is_alive))

    async def _agree(self) -> bool:
        answers = await asyncio.gather(*(named(each) for each in self.sentinels if each.is_alive))
        return len(set(answers)) == 1

    async def fall_behind(self) -> None:
        """Make the replica miss everything from now on, until `failover` makes it the primary."""
        # What the primary has sent would be read after a pause, so the connection has to end while nobody reads.
        self.replica.pause()
        self._is_behind = True
        await self.primary.cli("CLIENT", "KILL", "TYPE", "replica")

    async def failover(self, fault: Literal["kill", "pause"] = "kill") -> None:
        """Hurt the primary; return when the sentinels have made the other one primary.

        `primary` and `replica` have changed places then. The old primary is left as it is: see `rejoin`.
        """
        old, new = self.primary, self.replica
        if fault == "kill":
            await old.kill()
        else:
            old.pause()
        if self._is_behind:
            new.resume()
            self._is_behind = False

        async def is_done() -> bool:
            role = (await new.facts("INFO", "replication"))["role"]
            return role == "master" and await self._agree() and await self.current_primary() == new.address

        await soon(is_done, seen=lambda: self.sentinels[0].said)
        self.primary, self.replica = new, old

    async def rejoin(self) -> None:
        """Bring the old primary back; return when it is the replica of the new one, and the sentinels know."""
        if self.replica.is_alive:
            self.replica.resume()
        else:
            await self.replica.start()
        await self.replica.catch_up(self.primary)
        await self.know_each_other()

    async def know_each_other(self) -> None:
        """Return when each sentinel is connected with the others, and has seen the replica at work."""
        for sentinel in self.sentinels:
            await soon(lambda sentinel=sentinel: knows_all(sentinel), seen=lambda: self.sentinels[0].said)


async def named(sentinel: RedisServer) -> tuple[str, int]:
    host, port = (await sentinel.cli("SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME)).splitlines()
    return host, int(port)


async def knows_all(sentinel: RedisServer) -> bool:
    others = await sentinel.cli("SENTINEL", "SENTINELS", NAME)
    replicas = await sentinel.cli("SENTINEL", "REPLICAS", NAME)
    is_seen = others.count("\nflags\nsentinel\n") == COUNT - 1 and replicas.count("\nflags\nslave\n") == 1
    return is_seen and "\nmaster-link-status\nok\n" in replicas


@asynccontextmanager
async def sentinel(folder: Path, *settings: str, down_after: int = 1000) -> AsyncIterator[Sentinel]:
    """Run a primary, its replica and three sentinels, of whom two have to agree, until the block is left.

    Args:
        folder: where they make folders of their own.
        settings: further lines of `redis.conf` for the two servers.
        down_after: milliseconds without an answer after which a server is down.
    """
    async with AsyncExitStack() as stack:
        primary = await stack.enter_async_context(redis_server(folder, *settings))
        replica = await stack.enter_async_context(redis_server(folder, *settings, replica_of=primary))
        ids = {steady_port(): secrets.token_hex(20) for _ in range(COUNT)}
        watching = [
            f"sentinel monitor {NAME} 127.0.0.1 {primary.port} {QUORUM}",
            f"sentinel down-after-milliseconds {NAME} {down_after}",
            f"sentinel failover-timeout {NAME} 3000",
            f"sentinel known-replica {NAME} 127.0.0.1 {replica.port}",
        ]
        # They would find each other within seconds; that they have met is what is written here.
        sentinels = [
            RedisServer(
                folder,
                f"sentinel myid {own}",
                *watching,
                *(
                    f"sentinel known-sentinel {NAME} 127.0.0.1 {at} {other}"
                    for at, other in ids.items()
                    if at != port
                ),
                port=port,
                is_sentinel=True,
            )
            for port, own in ids.items()
        ]
        await stack.enter_async_context(started(*sentinels))
        for each in sentinels:
            for period in ("info-period", "publish-period", "ask-period"):
                await each.cli("SENTINEL", "DEBUG", period, OFTEN)
        run = Sentinel(primary, replica, sentinels)
        await run.know_each_other()
        yield run
