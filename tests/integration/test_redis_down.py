"""A Redis that is not there, is full, forgets single keys, is written to by others, or does not let us in."""

import asyncio
import re
import time
from pathlib import Path

import pytest
from proxy import RedisProxy
from redis_faults import well
from redis_servers import redis_server
from redis_stage import KEPT, hearing, say, until

from hubbub.brokers.redis import RedisBroker, RedisPresence, servers
from hubbub.brokers.redis.dialing import RIGHTS
from hubbub.exceptions import ConfigurationError, PublishError, PublishUncertain, TooLarge, Unavailable
from hubbub.hub.presence import Lease
from hubbub.hub.publications import Draft, Kind, Position
from hubbub.testing.conformance.recovery import Scene
from hubbub.testing.conformance.transcript import Transcript
from hubbub.types import SessionId, UserId

SECRET = "hunter2hunter2"
START = 10.0


async def test_while_redis_is_down_sessions_stay_and_are_told(redis):
    scene = Scene(RedisBroker(redis.url))
    async with scene.hub.lifespan(scene.app):
        since = await scene.say("first")
        async with scene.client(since) as client:
            transcript = Transcript(since)
            transcript.read(await client.expect("subscribed"))
            await redis.cli("SAVE")
            await redis.kill()
            with pytest.raises(PublishError) as refused:
                await scene.hub.publish("room:conformance", "message", {"content": "no"})
            assert "Redis" in str(refused.value)
            await client.send({"type": "history", "channel": "room:conformance", "limit": 5, "ref": 1})
            assert (await client.expect("error"))["code"] == "unavailable"
            await client.send({"type": "subscribe", "channel": "room:other", "ref": 2})
            assert (await client.expect("error", within=8.0))["code"] == "unavailable"
            await client.send({"type": "ping"})
            await client.expect("pong")
            await redis.start()
            await scene.say("second")
            await scene.check(client, transcript, may_be_told=False)


@pytest.mark.parametrize("fault", ["kill", "pause"])
async def test_leaving_while_redis_is_away_takes_no_time(redis, fault):
    scene = Scene(RedisBroker(redis.url))
    before = asyncio.all_tasks()
    async with scene.hub.lifespan(scene.app), scene.client() as client:
        await client.expect("subscribed")
        if fault == "kill":
            await redis.kill()
        else:
            redis.pause()
        await until(lambda: scene.broker.problem is not None)
        began = time.monotonic()
    assert time.monotonic() - began < 2.5
    assert asyncio.all_tasks() == before


async def test_an_answer_that_is_lost_is_uncertain_and_the_same_key_tells(redis):
    async with RedisProxy(*redis.address) as proxy, hearing(proxy.url) as (broker, _):
        first = await say(broker, "room:a", key="1")
        lost = proxy.drop_next(lambda reply: reply.startswith(b"*4\r\n$18\r\n"))
        lost.add_done_callback(lambda _: proxy.half_open())
        with pytest.raises(PublishUncertain):
            await say(broker, "room:a", key="2")
        await well(broker)
        second = await say(broker, "room:a", key="2")
        assert second.offset == first.offset + 1
        assert (await broker.read("room:a")).top == second


async def test_what_nobody_can_have_taken_is_an_error(redis):
    broker = RedisBroker(redis.url, max_bytes=100)
    async with broker:
        with pytest.raises(TooLarge, match="100"):
            await say(broker, "room:a", "x" * 100)
        await redis.kill()
        await until(lambda: not broker.servers._shards[0].lane.is_connected)
        began = time.monotonic()
        for kind in (Kind.MESSAGE, Kind.EPHEMERAL):
            with pytest.raises(PublishError) as refused:
                await broker.publish(Draft("room:a", "message", b"1", "i", 1.0, kind), KEPT)
            assert not isinstance(refused.value, PublishUncertain)
        asking = (broker.read("room:a"), broker.history("room:a", limit=1), broker.positions(["room:a"]))
        for answer in await asyncio.gather(*asking, return_exceptions=True):
            assert isinstance(answer, Unavailable)
        assert time.monotonic() - began < 4.0


async def test_a_full_redis_refuses_in_its_own_words(redis):
    async with hearing(redis.url, "room:a") as (broker, arrivals):
        first = await say(broker, "room:a")
        await redis.cli("CONFIG", "SET", "maxmemory", 1)
        await until(lambda: "used memory > 'maxmemory'" in (broker.problem or ""))
        with pytest.raises(PublishError, match="used memory > 'maxmemory'") as refused:
            await say(broker, "room:a")
        assert not isinstance(refused.value, PublishUncertain)
        assert (await broker.read("room:a", first)).whole
        await redis.cli("CONFIG", "SET", "maxmemory", 0)
        assert (await say(broker, "room:a")).offset == first.offset + 1
        assert len(await arrivals.count(2)) == 2


FOREIGN = {
    "meta is a text": [("DEL", "meta"), ("SET", "meta", "x")],
    "meta has no number": [("HSET", "meta", "top", "x")],
    "stream is a list": [("DEL", "stream"), ("RPUSH", "stream", "x")],
    "stream has a later entry": [("XADD", "stream", "*", "p", "x")],
    "stream has entries of others": [
        ("DEL", "stream"),
        *(("XADD", "stream", f"{n}-0", "x", "y") for n in range(1, 4)),
    ],
    "key of the publisher is a list": [("RPUSH", "once", "x")],
}


@pytest.mark.parametrize("commands", FOREIGN.values(), ids=FOREIGN.keys())
@pytest.mark.parametrize("reader_first", [True, False], ids=["read", "published"])
async def test_what_others_wrote_to_our_keys_costs_the_past_and_no_more(redis, commands, reader_first):
    async with hearing(redis.url, "room:a") as (broker, arrivals):
        positions = [await say(broker, "room:a") for _ in range(3)]
        keys = broker.servers.keys.of("room:a")
        names = {"meta": keys.meta, "stream": keys.stream, "once": keys.idempotency("k")}
        for command, key, *rest in commands:
            await redis.cli(command, names[key].decode(), *rest)
        await broker.positions(["room:a"])
        if reader_first:
            await broker.read("room:a", positions[0])
            await broker.history("room:a", limit=9)
        positions += [await say(broker, "room:a", key=key) for key in ("k", None)]
        reading = await broker.read("room:a", positions[0])
        if reading.whole:
            assert [each.id for each in reading.publications] == [each.id for each in positions[1:]]
        new = await say(broker, "room:a")
        since = await broker.read("room:a", reading.top)
        assert (since.whole, [each.id for each in since.publications]) == (True, [new.id])
        assert (await broker.history("room:a", limit=1)).publications == since.publications
        assert await broker.positions(["room:a"]) == [new]
        assert len(await arrivals.count(6)) == 6


async def test_what_others_wrote_to_our_keys_keeps_no_node_away(redis):
    async with hearing(redis.url, "room:a") as (broker, arrivals):
        position = await say(broker, "room:a")
        keys = broker.servers.keys.of("room:a")
        marker = broker.servers._shards[0]._life.marker
        for key in (keys.meta.decode(), marker):
            await redis.cli("DEL", key)
            await redis.cli("RPUSH", key, "x")
        await redis.cli("SAVE")
        await redis.restart()
        await until(lambda: broker.problem is None and arrivals.mended)
        new = await say(broker, "room:a")
        assert new.epoch != position.epoch
        assert (await broker.read("room:a", new)).whole


async def test_presence_that_others_wrote_over_is_made_again(redis, caplog):
    lease = Lease("room:a", UserId("ada"), SessionId("s"))
    async with RedisPresence(redis.url) as presence:
        await presence.enter(lease, 30)
        for key in presence._buckets.of("room:a").keys:
            await redis.cli("DEL", key.decode())
            await redis.cli("SET", key.decode(), "x")
        missing = await presence.renew([lease], 30)
        assert missing == [lease]
        await presence.restore(missing, 30)
        assert (await presence.roster("room:a")).users == ("ada",)
    assert "WRONGTYPE" in caplog.text


async def test_databases_of_one_redis_are_systems_of_their_own(redis):
    one, other = redis.url, redis.url.removesuffix("0") + "1"
    async with hearing(one, "room:a") as (_, here), hearing(other, "room:a") as (broker, there):
        for kind in (Kind.MESSAGE, Kind.EPHEMERAL):
            await broker.publish(Draft("room:a", "message", b"1", "i", 1.0, kind), KEPT)
        await there.count(2)
        assert here.publications == []


async def test_what_is_only_read_is_kept_for_minutes(redis):
    async with hearing(redis.url, "room:read") as (broker, _):
        for channel in ("room:read", "room:written"):
            await broker.read(channel)
        await say(broker, "room:written")
        left = [
            int(await redis.cli("PTTL", f"hubbub:{{c:{name}}}:m")) for name in ("room:read", "room:written")
        ]
        assert left[0] <= 600_000 < left[1]
        await redis.cli("PEXPIRE", "hubbub:{c:room:read}:m", 1000)
        broker._kept_alive["room:read"] = -1e9
        await broker.positions(["room:read"])
        assert 500_000 < int(await redis.cli("PTTL", "hubbub:{c:room:read}:m")) <= 600_000


async def test_no_idempotency_key_is_another_channels_place(redis):
    async with RedisBroker(redis.url) as broker:
        place = await say(broker, "topic:a}:k:foo")
        await say(broker, "topic:a", key="foo}:m")
        assert (await broker.read("topic:a}:k:foo")).top == place


@pytest.mark.parametrize("evicted", ["meta", "stream"])
async def test_a_key_that_is_evicted_alone_gives_no_false_whole(redis, evicted):
    async with hearing(redis.url, "room:a") as (broker, _):
        positions = [await say(broker, "room:a") for _ in range(5)]
        start = Position(positions[0].epoch, 0)

        async def whole(since: Position) -> bool:
            reading = await broker.read("room:a", since)
            assert not reading.whole or len(reading.publications) == reading.top.offset - since.offset
            return reading.whole

        await redis.cli("DEL", getattr(broker.servers.keys.of("room:a"), evicted))
        for publish in (False, True, True):
            if publish:
                await say(broker, "room:a")
            assert [await whole(each) for each in (start, *positions[:4])] == [False] * 5
            assert await whole(positions[4]) is (evicted == "stream")
            assert not await whole(Position(positions[4].epoch, 5, "another"))


async def refused(url: str) -> str:
    """Try to start; return why that cannot be."""
    began = time.monotonic()
    tasks = len(asyncio.all_tasks())
    with pytest.raises(ConfigurationError) as error:
        async with RedisBroker(url):
            pass
    assert time.monotonic() - began < START
    assert SECRET not in f"{error.value}{error.value.__cause__!r}"
    assert len(asyncio.all_tasks()) == tasks
    return str(error.value)


async def test_a_login_that_is_refused_is_said_at_once(redis):
    await redis.cli("CONFIG", "SET", "requirepass", "right")
    began = time.monotonic()
    host = f"127.0.0.1:{redis.port}"
    for login in (f":{SECRET}@", f"nobody:{SECRET}@", ""):
        assert "Check user and password" in await refused(f"redis://{login}{host}")
    assert "DB index" in await refused(f"redis://:right@{host}/99")
    assert time.monotonic() - began < 2.0
    async with RedisBroker(f"redis://:right@{host}") as broker:
        assert broker.problem is None


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ("-info", "'info'"),
        ("-ssubscribe", "'ssubscribe'"),
        ("resetkeys %R~*", "key"),
        ("resetchannels", "channel"),
        ("resetkeys", "key"),
    ],
)
async def test_a_user_without_the_rights_is_told_which_at_once(redis, rules, said):
    await redis.cli("ACL", "SETUSER", "limited", "on", f">{SECRET}", "~*", "&*", "+@all", *rules.split())
    began = time.monotonic()
    why = await refused(f"redis://limited:{SECRET}@127.0.0.1:{redis.port}")
    assert said in why
    assert "+@pubsub" in why
    assert time.monotonic() - began < 2.0


def test_the_message_and_the_documentation_name_the_same_rights():
    documented = (Path(__file__).parents[2] / "docs/redis.md").read_text()
    for rights in re.findall(r"[~+][^(,]*[a-z*]", RIGHTS):
        assert rights in documented


async def test_tls_where_there_is_none_is_said_in_time(redis, monkeypatch):
    monkeypatch.setattr(servers, "START", 3.5)
    assert "does it speak TLS?" in await refused(f"rediss://:{SECRET}@127.0.0.1:{redis.port}")


async def test_another_arrangement_is_said_at_once(redis, tmp_path):
    assert "cluster support disabled" in await refused(f"redis+cluster://127.0.0.1:{redis.port}")
    async with redis_server(tmp_path / "cluster", "cluster-enabled yes") as node:
        assert "redis+cluster://" in await refused(node.url)
    assert "is no sentinel; without" in await refused(f"redis+sentinel://127.0.0.1:{redis.port}/main")


async def test_a_redis_that_is_not_there_is_said_in_time(redis):
    await redis.kill()
    assert f"127.0.0.1:{redis.port}" in await refused(f"redis://:{SECRET}@127.0.0.1:{redis.port}")
