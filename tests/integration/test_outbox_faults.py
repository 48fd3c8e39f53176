"""Relays that stop and go on, several at once; a broker that goes away, a database that does, an answer that is lost."""

import asyncio
import os
import signal
import sqlite3
import sys
from contextlib import AsyncExitStack, asynccontextmanager, closing
from functools import partial
from pathlib import Path

import outbox_stage
import pytest
from proxy import RedisProxy
from redis_servers import redis_server
from serving import eventually

from hubbub.database import migrate

LEASE = 0.6
START = 60.0
"""Seconds that a process has to be there."""
PROGRAM = Path(__file__).parent / "apps" / "outbox_relay.py"

app = partial(outbox_stage.app, lease=LEASE)


@pytest.fixture
async def url(database_url):
    await migrate(database_url)
    return database_url


@asynccontextmanager
async def relay_process(url, redis):
    """Run a node of its own until the block is left."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        str(PROGRAM),
        env={**os.environ, "DATABASE": url, "REDIS": redis.url, "LEASE": str(LEASE)},
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield child
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()


async def stop(process, url):
    """Stop a process without a word; on SQLite not within a transaction, where it would keep the file for itself."""

    def is_stopped():
        os.kill(process.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)
        if url.startswith("postgresql"):
            return True
        try:
            with closing(sqlite3.connect(url.removeprefix("sqlite:///"), timeout=0)) as file:
                file.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            os.kill(process.pid, signal.SIGCONT)
            return False
        return True

    await eventually(is_stopped, every=0.01)


def texts(first, last):
    return [str(number) for number in range(first, last)]


async def say_one_by_one(node, first, last):
    for text in texts(first, last):
        await node.say(text)


@pytest.mark.parametrize("beside", [1, 2])
async def test_a_leader_that_is_stopped_and_goes_on_doubles_nothing(url, redis, beside):
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(relay_process(url, redis))
        async with asyncio.timeout(START):
            assert await first.stdout.readline() == b"relaying\n"
        for _ in range(beside - 1):
            await stack.enter_async_context(relay_process(url, redis))
        own = await stack.enter_async_context(app(url, redis.url))
        await say_one_by_one(own, 0, 20)
        publishing = asyncio.create_task(say_one_by_one(own, 20, 120))
        await eventually(own.heard)
        await stop(first, url)
        await publishing
        await own.hears(*texts(0, 120), within=40)
        os.kill(first.pid, signal.SIGCONT)
        await say_one_by_one(own, 120, 150)
        await own.hears(*texts(0, 150), within=40)


async def test_a_leader_that_is_killed_is_followed_within_its_lease(url, redis):
    async with app(url, redis.url) as own, relay_process(url, redis) as other:
        await own.hub._keeping._relay.__aexit__(None, None, None)
        async with asyncio.timeout(START):
            assert await other.stdout.readline() == b"relaying\n"
        await own.hub._keeping._relay.__aenter__()
        other.kill()
        await own.say("1")
        began = asyncio.get_running_loop().time()
        await own.hears("1")
        assert asyncio.get_running_loop().time() - began < LEASE + 2.0


async def test_while_the_broker_is_away_what_is_committed_waits_and_keeps_its_order(url, tmp_path, caplog):
    async with (
        redis_server(tmp_path, appendonly="always") as redis,
        app(url, redis.url) as own,
    ):
        await own.say("0")
        await own.hears("0")
        publishing = asyncio.create_task(say_one_by_one(own, 1, 60))
        await redis.kill()
        await publishing
        await eventually(lambda: "waits to be published" in caplog.text)
        await redis.start()
        await own.hears(*texts(0, 60), within=40)
        publishing = asyncio.create_task(say_one_by_one(own, 60, 90))
        redis.pause()
        await publishing
        redis.resume()
        await own.hears(*texts(0, 90), within=40)
    told = [record for record in caplog.records if "waits to be published" in record.message]
    assert 1 <= len(told) <= 3


async def test_an_answer_that_is_lost_publishes_once(url, redis):
    async with RedisProxy(*redis.address) as proxy, app(url, proxy.url) as own:
        await own.say("0")
        await own.hears("0")

        def answers_a_publication(reply):
            if not reply.startswith(b"*4\r\n$18\r\n"):
                return False
            proxy.cut()  # else later answers would be taken for this one
            return True

        lost = proxy.drop_next(answers_a_publication)
        await own.say("1", "2", "3")
        assert await lost
        await own.hears(*texts(0, 4), within=40)


async def test_a_database_that_is_restarted_loses_nothing(postgres, redis):
    url = postgres.url()
    await migrate(url)
    async with app(url, redis.url) as own:
        await own.say(*texts(0, 3))
        await own.hears(*texts(0, 3))
        redis.pause()
        await own.say(*texts(3, 6))
        await postgres.restart()
        redis.resume()
        await own.engine.dispose()

        async def answers():
            try:
                return await own.rows() >= 0
            except Exception:
                return False

        await eventually(answers, within=40)
        await own.hears(*texts(0, 6), within=40)
        await postgres.cut_clients("postgres")
        await own.engine.dispose()
        await own.say("6")
        await own.hears(*texts(0, 7), within=40)
