"""How servers are entered, shared and left, and what strangers on the same Redis can do.

Beside `hubbub.brokers.redis.servers` these are the tests of `hubbub.brokers.redis.shard` and `hubbub.brokers.redis.broker`.
"""

import asyncio

import pytest
from fastapi import FastAPI
from redis_cluster import cluster
from redis_faults import kill_clients, well
from redis_servers import redis_server
from redis_stage import hearing, say, until

from hubbub.brokers.memory_presence import MemoryPresence
from hubbub.brokers.redis import Address, RedisBroker
from hubbub.brokers.redis.errors import NotSent
from hubbub.brokers.redis.keys import Keys
from hubbub.brokers.redis.servers import Servers
from hubbub.endpoints.facade import Hub
from hubbub.exceptions import ConfigurationError, Unavailable
from hubbub.testing.conformance.broker import Arrivals
from hubbub.testing.conformance.recovery import Scene

ODD = ["room:a", "}", "{}", "{", "a}b", "{a}", "{a}{b}", "}{", "ü}ä", "room:{x}", "a b", ":"]


async def test_slots_are_what_a_server_says_for_odd_names(tmp_path):
    async with redis_server(tmp_path, "cluster-enabled yes") as node:
        for name in ODD:
            keys = Keys("hubbub").of(name)
            for each in (keys.channel, keys.meta, keys.stream, keys.idempotency("k}{")):
                assert int(await node.cli("CLUSTER", "KEYSLOT", each)) == keys.slot, each


async def test_odd_names_work_in_a_cluster(tmp_path):
    async with cluster(tmp_path) as run, hearing(run.url, *ODD) as (broker, arrivals):
        for name in ODD:
            assert (await say(broker, name, key="k")).offset == 1
        arrived = await arrivals.count(len(ODD))
        assert sorted(each.channel for each in arrived) == sorted(ODD)

        slot = broker.servers.keys.of("}{").slot
        old = await run.owner(slot)
        await run.move_slot(slot, next(node for node in run.nodes if node is not old))
        await until(lambda: arrivals.mended)
        await well(broker)
        assert "}{" in arrivals.mended, "what was published between the two servers was not read"
        assert set(arrivals.interruptions) == {"moved"}
        assert (await say(broker, "}{")).offset == 2
        assert (await arrivals.count(len(ODD) + 1))[-1].channel == "}{"


async def test_servers_are_entered_by_two_and_left_by_the_last(redis):
    servers = Servers(Address.parse(redis.url))
    before = asyncio.all_tasks()

    async def enter() -> str | None:
        await servers.__aenter__()
        return servers.problem

    assert await asyncio.gather(enter(), enter()) == [None, None], "the second did not wait for the first"
    await servers.__aexit__(None, None, None)
    assert servers.problem is None
    await servers.__aexit__(None, None, None)
    assert servers.problem is not None
    assert asyncio.all_tasks() == before


async def test_a_start_that_failed_can_be_tried_again(redis):
    await redis.cli("CONFIG", "SET", "requirepass", "right")
    servers = Servers(Address.parse(redis.url))
    before = asyncio.all_tasks()
    for _ in range(2):
        with pytest.raises(NotSent):
            await servers.__aenter__()
        assert asyncio.all_tasks() == before
    servers = Servers(Address.parse(f"redis://:right@127.0.0.1:{redis.port}"))
    async with servers:
        assert servers.problem is None


async def test_a_start_that_is_cancelled_leaves_nothing(redis):
    redis.pause()
    before = asyncio.all_tasks()
    servers = Servers(Address.parse(redis.url))
    starting = asyncio.create_task(servers.__aenter__())
    await asyncio.sleep(0.05)
    starting.cancel()
    await asyncio.wait([starting])
    assert starting.cancelled()
    assert asyncio.all_tasks() == before
    redis.resume()
    async with servers:
        assert servers.problem is None


async def test_two_hubs_cannot_share_servers(redis):
    servers = Servers(Address.parse(redis.url))
    RedisBroker(servers).deliver_to(Arrivals())
    with pytest.raises(ConfigurationError, match="Servers of its own"):
        RedisBroker(servers).deliver_to(Arrivals())


async def test_a_hub_that_cannot_start_leaves_nothing_and_can_start_later(redis):
    await redis.cli("ACL", "SETUSER", "default", "-ssubscribe")
    scene = Scene(RedisBroker(redis.url))
    before = asyncio.all_tasks()
    for _ in range(2):
        with pytest.raises(ConfigurationError):
            async with scene.hub.lifespan(scene.app):
                pass
        assert asyncio.all_tasks() == before
    await redis.cli("ACL", "SETUSER", "default", "+ssubscribe")
    async with scene.hub.lifespan(scene.app):
        await scene.say("it runs")
    assert asyncio.all_tasks() == before


async def test_what_strangers_publish_ends_nothing(redis, caplog):
    async with hearing(redis.url, "room:a") as (broker, arrivals):
        keys = broker.servers.keys.of("room:a")
        (canary,) = (await redis.cli("PUBSUB", "SHARDCHANNELS", "*:canary")).split()
        for junk in ("", "junk", ":", "e:x:y", b"\xff:1:\xff", "e:1:junk"):
            await redis.cli("SPUBLISH", keys.channel, junk)
            await redis.cli("SPUBLISH", canary, junk)
        await say(broker, "room:a")
        assert len(await arrivals.count(1)) == 1
        assert arrivals.interruptions == []
        assert broker.problem is None
    assert "cannot be read" in caplog.text


async def test_channels_come_and_go_while_connections_break(redis):
    """Whatever the order, what is wanted at the end is heard, and nothing else is kept."""
    async with hearing(redis.url) as (broker, arrivals):
        listener = broker.servers._shards[0].listener
        names = [f"room:{number}" for number in range(30)]
        for round_ in range(6):
            changes = [broker.subscribe(name) for name in names]
            changing = [asyncio.create_task(each) for each in changes]
            await asyncio.sleep(0)
            if round_ % 2:
                await kill_clients([redis], use="subscriptions")
            for number, task in enumerate(changing):
                if number % 3 == round_ % 3:
                    task.cancel()
            await asyncio.wait(changing)
            for name in names[round_::2]:
                await broker.unsubscribe(name)
                if round_ % 3:
                    await broker.subscribe(name)
                    await broker.unsubscribe(name)
        wanted = names[::4]
        for name in names:
            await broker.unsubscribe(name)
        for name in wanted:
            await broker.subscribe(name)
        await well(broker)
        await until(lambda: not listener._commands)
        assert len(listener.channels) == len(wanted) + 1
        assert len(broker._subscribed) == len(wanted) == len(broker.servers._wanted)
        assert not listener._confirming
        assert not broker.servers._moving
        arrivals.publications.clear()
        for name in names:
            await say(broker, name)
        await say(broker, wanted[-1])
        assert [each.channel for each in await arrivals.count(len(wanted) + 1)] == [*wanted, wanted[-1]]
        heard = (await redis.cli("PUBSUB", "SHARDCHANNELS", "hubbub:*")).split()
        assert len(heard) == len(wanted) + 1


@pytest.mark.parametrize("part", ["presence", "listening"])
async def test_a_hub_whose_start_fails_half_way_leaves_nothing(redis, part):
    class Absent(MemoryPresence):
        async def __aenter__(self):
            raise Unavailable("there is no presence")

    class Silent(RedisBroker):
        async def subscribe(self, channel: str) -> None:
            raise Unavailable("there is nothing to hear")

    broker = Silent(redis.url) if part == "listening" else RedisBroker(redis.url)
    hub = Hub(broker=broker, presence=Absent() if part == "presence" else None)
    before = asyncio.all_tasks()
    with pytest.raises(Unavailable):
        async with hub.lifespan(FastAPI()):
            pass
    assert asyncio.all_tasks() == before
    assert broker.problem is not None
