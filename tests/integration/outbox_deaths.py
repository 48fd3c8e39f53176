"""A crowd of nodes that die, one after the other or side by side, and what must be true when the last has ended."""

import asyncio
import json
import os
import random
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from outbox_stage import engine
from redis_servers import RedisServer
from sqlalchemy import Column, Integer, MetaData, Table, Text, func, select, text

from hubbub.brokers.redis import RedisBroker
from hubbub.database import migrate
from hubbub.database.outbox.tables import outbox

PROGRAM = Path(__file__).parent / "apps" / "outbox_node.py"
DEADLINE = 60.0
POINTS = (
    "before inserting",
    "inserted",
    "before committing",
    "committed",
    "leading",
    "rows are read",
    "before a row is published",
    "a row is sent",
    "a row is published",
    "all are published",
    "before marking",
    "while marking",
    "marked",
    "forgotten of one channel",
    "forgotten",
    "giving up",
    "given up",
)
ONCE = {"leading", "giving up", "given up"}
"""Points that a node passes once."""
CHANNELS = ("topic:a", "topic:b", "topic:c")
ledger = Table(
    "ledger",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("channel", Text),
    Column("said", Text),
)


class Deaths:
    """Has nodes die."""

    def __init__(self, child: asyncio.subprocess.Process, url: str, redis: RedisServer) -> None:
        self.child = child
        self.url = url
        self.redis = redis
        self.killed: Counter[str] = Counter()

    async def run(self, *nodes: dict[str, Any]) -> None:
        """Run nodes at the same time, to their ends."""
        assert self.child.stdin is not None
        assert self.child.stdout is not None
        self.child.stdin.write(json.dumps(nodes).encode() + b"\n")
        async with asyncio.timeout(DEADLINE):
            ended = json.loads(await self.child.stdout.readline())
        assert set(ended) <= {0, -9}, ended
        for node in nodes:
            self.killed[node["point"]] += -9 in ended

    async def die(self, point: str, dice: random.Random) -> None:
        """Have a node die at a point, at times beside another one that lives on and may be the one that relays."""
        before = self.killed[point]
        nodes = [node(dice, point, 1 if point in ONCE else dice.choice((1, 1, 2, 5)))]
        if dice.random() < 0.3:
            nodes.append(node(dice, transactions=6))
        await self.run(*nodes)
        if self.killed[point] == before:
            await self.run(node(dice, point))

    async def die_at_any_moment(self, dice: random.Random) -> None:
        await self.run({**node(dice, "any moment", transactions=60), "after": dice.uniform(0.1, 0.8)})

    async def check(self) -> int:
        """End what is left, and compare the streams with what was committed; return how much that was."""
        await self.run(node(random.Random(0), transactions=0))
        own = engine(self.url)
        committed = select(ledger.c.channel, ledger.c.said)
        is_postgres = self.url.startswith("postgresql")
        order = text("pg_xact_commit_timestamp(ledger.xmin), id") if is_postgres else text("id")
        async with own.connect() as connection:
            rows = (await connection.execute(committed.order_by(order))).all()
            assert (await connection.execute(select(func.count()).select_from(outbox))).scalar() == 0
        await own.dispose()
        async with RedisBroker(self.redis.url) as broker:
            for channel in CHANNELS:
                stream = (await broker.history(channel, limit=1_000_000)).publications
                assert [each.value() for each in stream] == [
                    row.said for row in rows if row.channel == channel
                ]
        return len(rows)


def node(dice: random.Random, point: str = "none", nth: int = 1, transactions: int = 15) -> dict[str, Any]:
    return {"point": point, "nth": nth, "seed": dice.randrange(2**31), "transactions": transactions}


@asynccontextmanager
async def deaths(url: str, redis: RedisServer) -> AsyncIterator[Deaths]:
    await migrate(url)
    own = engine(url)
    async with own.begin() as connection:
        await connection.run_sync(ledger.metadata.create_all)
    await own.dispose()
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        str(PROGRAM),
        env={**os.environ, "DATABASE": url, "REDIS": redis.url},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield Deaths(child, url, redis)
    finally:
        assert child.stdin is not None
        child.stdin.close()
        if child.returncode is None:
            child.kill()
        await child.wait()
