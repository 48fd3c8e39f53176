"""What presence costs a Redis: commands, and microseconds of its CPU. Run it beside a Redis of its own, which it empties.

redis-server --port 7399 --save '' & python benchmarks/redis_presence.py redis://127.0.0.1:7399/0
"""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

from hubbub.brokers.redis import RedisPresence
from hubbub.hub.presence import Lease
from hubbub.types import SessionId, UserId


class Meter:
    """Prints what a step cost."""

    def __init__(self, store: RedisPresence) -> None:
        self._servers = store.servers

    async def _facts(self) -> dict[str, float]:
        info = (await self._servers.ask(0, "INFO", "cpu", "stats", "memory")).decode()
        pairs = (line.split(":", 1) for line in info.splitlines() if ":" in line)
        return {name: float(value) for name, value in pairs if value.replace(".", "", 1).isdecimal()}

    async def measure(self, what: str, number: int, step: Callable[[], Awaitable[Any]]) -> None:
        before = await self._facts()
        own, began = time.process_time(), time.perf_counter()
        await step()
        took, own = time.perf_counter() - began, time.process_time() - own
        used = {name: value - before.get(name, 0.0) for name, value in (await self._facts()).items()}
        cpu = used["used_cpu_user_main_thread"] + used["used_cpu_sys_main_thread"]
        # Those inside of scripts are counted too; one is the question itself, and canaries go past once a second.
        print(
            f"{what}: {used['total_commands_processed'] - 1:.0f} commands, Redis {cpu * 1e6 / number:.2f} µs each, "
            f"the node {own * 1e6 / number:.2f} µs each, {took * 1000:.0f} ms in all, "
            f"{used['used_memory'] / 1024:+.0f} KiB"
        )


async def main(url: str) -> None:
    async with RedisPresence(url) as store:
        await store.servers.ask(0, "FLUSHALL")
        meter = Meter(store)
        joins = [Lease("room:a", UserId(f"user{n:05}"), SessionId(f"{n:022}")) for n in range(10_000)]

        async def join(leases: list[Lease]) -> None:
            for start in range(0, len(leases), 50):
                await asyncio.gather(*(store.enter(lease, 30) for lease in leases[start : start + 50]))

        await join(joins[:100])
        await meter.measure("1,000 joins, 50 at once", 1000, lambda: join(joins[100:1100]))
        await meter.measure("8,900 joins more", 8900, lambda: join(joins[1100:]))
        await meter.measure("renewing 10,000 leases", 10_000, lambda: store.renew(joins, 30))
        asked = [lease.user_id for lease in joins[::20]]

        async def ask() -> None:
            for _ in range(100):
                await store.present("room:a", asked)

        await meter.measure("100 × who of 500", 100, ask)

        async def sweep() -> None:
            for _ in range(1000):
                await store.expire()

        await meter.measure("1,000 sweeps that find nothing", 1000, sweep)

        async def leave() -> None:
            for start in range(0, 1000, 50):
                part = joins[start : start + 50]
                await store.told(await asyncio.gather(*(store.leave(lease) for lease in part)))

        await meter.measure("1,000 leaves, 50 at once, acknowledged", 1000, leave)
        await store.renew(joins[1000:], -1)

        async def expire() -> None:
            while changes := await store.expire():
                await store.told(changes)

        await meter.measure("9,000 that end, acknowledged", 9000, expire)


asyncio.run(main(sys.argv[1]))
