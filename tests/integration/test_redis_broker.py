"""The broker on Redis: the suite, on every arrangement that the documentation names."""

import asyncio

import pytest
from ageing import age
from redis_cluster import Cluster
from redis_sentinels import Sentinel
from redis_servers import RedisServer
from redis_stage import hearing, until

from hubbub.brokers.redis import RedisBroker
from hubbub.hub.broker import Broker, Retention
from hubbub.hub.publications import Draft, Position
from hubbub.testing import FakeClock
from hubbub.testing.conformance import BrokerSuite


class OnRedis(BrokerSuite):
    url: str
    servers: tuple[RedisServer, ...]

    def broker(self, clock: FakeClock) -> Broker:
        return RedisBroker(self.url)

    async def pass_time(self, clock: FakeClock, seconds: float) -> None:
        await age(seconds, *self.servers)


class TestSingle(OnRedis):
    @pytest.fixture(autouse=True)
    async def server(self, single: RedisServer) -> None:
        await single.cli("FLUSHALL")
        self.url, self.servers = await single.limited_url(), (single,)


class TestSentinel(OnRedis):
    @pytest.fixture(autouse=True)
    async def server(self, watched: Sentinel) -> None:
        await watched.primary.cli("FLUSHALL")
        self.url, self.servers = watched.url, (watched.primary,)


class TestCluster(OnRedis):
    @pytest.fixture(autouse=True)
    async def server(self, three: Cluster) -> None:
        for node in three.nodes:
            await node.cli("FLUSHALL")
        self.url, self.servers = three.url, tuple(three.nodes)


async def test_what_has_aged_away_leaves_a_stream_that_goes_on(redis: RedisServer):
    """Not only when somebody reads it: whoever keeps a day of history does not keep a year of it."""
    brief = Retention(1000, 10.0)
    async with RedisBroker(redis.url) as broker:
        for number in range(150):
            await broker.publish(draft(number), brief)
        await age(11, redis)
        for number in range(64):
            new = await broker.publish(draft(number), brief)
        assert int(await redis.cli("XLEN", "hubbub:{c:room:a}:s")) <= 65
        reading = await broker.read("room:a", Position(new.epoch, 150))
        assert (reading.whole, len(reading.publications)) == (True, 64)
        assert not (await broker.read("room:a", Position(new.epoch, 149))).whole


async def test_a_publication_is_one_command(redis: RedisServer):
    async with RedisBroker(redis.url) as broker:
        await broker.subscribe("room:a")
        await redis.cli("CONFIG", "RESETSTAT")
        await asyncio.gather(*(broker.publish(draft(number), Retention(100, 60.0)) for number in range(50)))
        calls = await redis.facts("INFO", "commandstats")
    assert calls["cmdstat_evalsha"].startswith("calls=50,")


def draft(number: int) -> Draft:
    return Draft("room:a", "message", b"%d" % number, f"id-{number}", 1.0)


async def test_a_channel_that_moved_is_read_again(three: Cluster):
    """What was published on the way to the other server was heard by nobody; no later publication need show it."""
    async with hearing(three.url, "room:a") as (broker, arrivals):
        slot = broker.servers.keys.of("room:a").slot
        source = await three.owner(slot)
        await three.move_slot(slot, next(node for node in three.nodes if node is not source))
        await until(lambda: "room:a" in arrivals.mended)
        assert arrivals.interruptions == ["moved"]
        await until(lambda: broker.problem is None)
