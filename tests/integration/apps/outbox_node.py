"""Nodes that publish in transactions and relay, each of which is killed at a moment that it is told.

A line on standard input is a list of nodes that run at the same time; when all have ended, a line on standard output tells how.
They are forked from this process, which has imported everything, so that hundreds of deaths take a minute.

What each transaction published it has also written into a table of its own, `ledger`, in the same transaction: what is
there was committed.
"""

import asyncio
import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

from sqlalchemy import Column, Integer, MetaData, Table, Text, func, insert, select
from sqlalchemy.ext.asyncio import create_async_engine

from hubbub import History, Hub
from hubbub.brokers.redis import RedisBroker
from hubbub.database import Database, keeping
from hubbub.database.outbox import batch, relay
from hubbub.database.outbox.leadership import Leadership
from hubbub.database.outbox.tables import outbox
from hubbub.database.waking import Waker

LEASE = 0.4
CHANNELS = ("topic:a", "topic:b", "topic:c")
LIMIT = 20.0
ledger = Table(
    "ledger",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("channel", Text),
    Column("said", Text),
)


class Fate:
    """Kills this process when it passes a point for the n-th time."""

    def __init__(self, point: str, nth: int) -> None:
        self.point = point
        self.left = nth

    def at(self, point: str) -> None:
        if point == self.point:
            self.left -= 1
            if self.left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def around(
        self, owner: Any, name: str, before: str, after: str, counts: Callable[[Any], Any] = bool
    ) -> None:
        """Have a step die before it begins, or when it has ended (with a result that counts)."""
        step = getattr(owner, name)

        async def stepping(*arguments: Any, **options: Any) -> Any:
            self.at(before)
            result = await step(*arguments, **options)
            if counts(result):
                self.at(after)
            return result

        setattr(owner, name, stepping)


def doom(fate: Fate) -> None:
    """Put the points into this process."""
    fate.around(keeping, "write", "before inserting", "inserted", counts=lambda _: True)
    fate.around(Leadership, "take", "-", "leading")
    fate.around(Leadership, "give_up", "giving up", "given up", counts=lambda _: True)
    fate.around(batch, "read", "-", "rows are read")
    fate.around(batch, "publish", "-", "all are published")
    fate.around(batch, "holds", "-", "while marking")
    fate.around(batch, "mark", "before marking", "marked")
    fate.around(batch, "forget", "-", "forgotten", counts=lambda _: True)
    fate.around(RedisBroker, "forget", "-", "forgotten of one channel", counts=lambda _: True)
    wake, publish = Waker.wake, RedisBroker.publish

    def woken(self: Waker, topic: str) -> None:
        fate.at("committed")
        wake(self, topic)

    async def published(self: RedisBroker, draft: Any, *others: Any) -> Any:
        if not draft.channel.startswith("topic:"):
            return await publish(self, draft, *others)
        fate.at("before a row is published")
        publishing = asyncio.ensure_future(publish(self, draft, *others))
        for _ in range(3):
            await asyncio.sleep(0)
        fate.at("a row is sent")
        result = await publishing
        fate.at("a row is published")
        return result

    Waker.wake = woken  # type: ignore[method-assign]
    RedisBroker.publish = published  # type: ignore[method-assign]


async def transact(hub: Hub, engine: Any, dice: random.Random, fate: Fate) -> None:
    async with engine.connect() as connection:
        for number in range(dice.randint(1, 4)):
            said = f"{os.getpid()}-{time.monotonic_ns()}-{number}"
            channel = dice.choice(CHANNELS)
            await hub.publish(channel, "said", said, transaction=connection)
            await connection.execute(insert(ledger).values(channel=channel, said=said))
            await asyncio.sleep(0)
        if dice.random() < 0.25:
            await connection.rollback()
            return
        fate.at("before committing")
        await connection.commit()


async def live(fate: Fate, seed: int, transactions: int) -> None:
    database = Database(os.environ["DATABASE"], lease=LEASE)
    hub = Hub(database=database, broker=os.environ["REDIS"], allow_anonymous=True)
    hub.namespace("topic", history=History(size=1_000_000))
    engine = create_async_engine(database.address.url)

    async def work(dice: random.Random, count: int) -> None:
        for _ in range(count):
            await transact(hub, engine, dice, fate)

    async with database, hub.lifespan(None):
        await asyncio.gather(*(work(random.Random(f"{seed}{n}"), transactions // 3) for n in range(3)))
        while True:
            async with engine.connect() as connection:
                if not (await connection.execute(select(func.count()).select_from(outbox))).scalar():
                    break
            await asyncio.sleep(0.02)
    await engine.dispose()


def be(node: dict[str, Any]) -> None:
    """Be a node, to its end."""
    fate = Fate(node["point"], node["nth"])
    doom(fate)
    try:
        asyncio.run(asyncio.wait_for(live(fate, node["seed"], node["transactions"]), LIMIT))
    except BaseException as error:
        sys.stderr.write(f"{error!r}, because of {error.__cause__!r}\n")
        os._exit(1)
    os._exit(0)


def main() -> None:
    relay.LOOK = 0.1
    for line in sys.stdin:
        running: dict[int, float] = {}
        for node in json.loads(line):
            pid = os.fork()
            if not pid:
                be(node)
            running[pid] = time.monotonic() + node.get("after", 3600)
        ended = []
        while running:
            for pid, end in list(running.items()):
                if time.monotonic() >= end:
                    os.kill(pid, signal.SIGKILL)
                    running[pid] = end + 3600
                found, status = os.waitpid(pid, os.WNOHANG)
                if found:
                    ended.append(os.waitstatus_to_exitcode(status))
                    del running[pid]
            time.sleep(0.002)
        sys.stdout.write(json.dumps(ended) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
