"""Several nodes on a Redis that loses a part of what it was told: nobody takes its word before all have compared."""

import asyncio
import time

import pytest
from proxy import RedisProxy
from redis_faults import well
from redis_sentinels import NAME, sentinel
from redis_stage import hearing, say, until

from hubbub.brokers.redis import RedisBroker
from hubbub.brokers.redis.life import WAIT
from hubbub.exceptions import PublishError
from hubbub.hub.publications import Position

ROOMS = ["room:0", "room:1", "room:2"]


async def persist(broker: RedisBroker, channel: str) -> Position:
    """Publish until it is taken."""
    async with asyncio.timeout(20):
        while True:
            try:
                return await say(broker, channel)
            except PublishError:
                await asyncio.sleep(0.005)


async def fill(redis, *channels: str) -> str:
    """Publish to channels, of which the server will remember three publications each; the one who did so leaves."""
    async with RedisBroker(redis.url) as broker:
        for channel in channels:
            for _ in range(3):
                position = await say(broker, channel)
        await redis.cli("SAVE")
        for channel in channels:
            for _ in range(2):
                await say(broker, channel)
    return position.epoch


async def know_each_other(*brokers: RedisBroker) -> None:
    """Wait until each has heard a canary of every other one, so that it waits for them."""
    ids = {broker.servers.node for broker in brokers}
    await until(
        lambda: all({*broker.servers._peers._heard} >= ids - {broker.servers.node} for broker in brokers)
    )


async def test_what_any_node_saw_begins_a_new_epoch_before_anybody_publishes(redis):
    async with (
        hearing(redis.url, "room:0") as (first, at_first),
        hearing(redis.url, "room:1") as (second, at_second),
        hearing(redis.url, "room:2") as (third, at_third),
    ):
        brokers = [first, second, third]
        await fill(redis, *ROOMS)
        seen = [(await arrivals.count(5))[-1] for arrivals in (at_first, at_second, at_third)]
        await know_each_other(*brokers)
        await redis.restart()
        positions = await asyncio.gather(
            *(persist(broker, ROOMS[(at + 1) % 3]) for at, broker in enumerate(brokers))
        )
        for at, position in enumerate(positions):
            old = seen[(at + 1) % 3]
            assert position.epoch != old.epoch, "it went where another node had seen something else"
            assert position.offset == 4
            assert not (await brokers[at].read(old.channel, old.position)).whole
            assert (await brokers[at].read(old.channel)).began == 3
        await well(*brokers)
        assert at_first.interruptions


@pytest.mark.parametrize("is_evicted", [False, True])
async def test_a_node_that_was_away_is_not_waited_for_for_ever_and_finds_it_later(redis, is_evicted):
    async with (
        RedisProxy(*redis.address) as proxy,
        hearing(redis.url) as (here, _),
        hearing(proxy.url, "room:0") as (away, at_away),
    ):
        await fill(redis, "room:0")
        old = (await at_away.count(5))[-1]
        await know_each_other(here, away)
        if is_evicted:
            for key in (await redis.cli("KEYS", "*:life")).split():
                await redis.cli("DEL", key)
            await redis.cli("SAVE")  # with everything, and without the marker
        proxy.stall()
        await redis.restart()
        began = time.monotonic()
        position = await persist(here, "room:0")
        assert WAIT - 0.5 < time.monotonic() - began < WAIT + 2
        if not is_evicted:
            assert (position.epoch, position.offset) == (old.epoch, 4)
            await persist(here, "room:0")
        await until(lambda: away.problem is not None)
        proxy.flow()
        await well(here, away)
        reading = await here.read("room:0", old.position)
        assert reading.whole is is_evicted
        assert (reading.top.epoch == old.epoch) is is_evicted
        assert at_away.mended == ["room:0"]


async def test_a_node_that_is_new_after_the_loss_lets_the_others_compare_first(redis):
    async with hearing(redis.url, "room:0") as (broker, arrivals):
        await fill(redis, "room:0")
        old = (await arrivals.count(5))[-1]
        await redis.restart()
        began = time.monotonic()
        async with RedisBroker(redis.url) as fresh:
            assert time.monotonic() - began < WAIT + 1
            position = await say(fresh, "room:0")
            assert position.epoch != old.epoch
        await well(broker)


async def test_an_older_epoch_that_comes_back_is_a_loss(redis):
    async with hearing(redis.url, "room:0") as (broker, arrivals):
        first = await say(broker, "room:0")
        await redis.cli("SAVE")
        await asyncio.sleep(1.0)  # epochs of one second have no order
        await redis.cli("DEL", broker.servers.keys.of("room:0").meta)
        second = await say(broker, "room:0")
        assert second.epoch > first.epoch
        await arrivals.count(2)
        await redis.restart()
        await until(lambda: broker.problem is not None)
        await well(broker)
        third = await say(broker, "room:0")
        assert third.epoch not in {first.epoch, second.epoch}


async def test_a_primary_that_comes_back_from_a_pause_takes_nothing_with_it(tmp_path):
    async with sentinel(tmp_path, down_after=300) as watched, hearing(watched.url, "room:0") as (broker, _):
        taken: list[Position] = []

        async def publish() -> None:
            while True:
                taken.append(await persist(broker, "room:0"))

        publishing = asyncio.create_task(publish())
        await until(lambda: len(taken) > 20)
        await watched.failover("pause")
        watched.replica.resume()
        seen = len(taken)
        await until(lambda: len(taken) > seen + 500)
        await watched.replica.catch_up(watched.primary)
        await well(broker)
        seen = len(taken)
        await until(lambda: len(taken) > seen + 20)
        publishing.cancel()
        await asyncio.wait([publishing])
        reading = await broker.history("room:0", limit=100_000)
        held = {publication.position for publication in reading.publications}
        lost = [each for each in taken[-900:] if each.epoch == reading.top.epoch and each not in held]
        assert not lost, f"{len(lost)} were taken, are gone, and nobody is told: {lost[:3]}"


async def test_a_primary_that_sentinels_have_replaced_is_left_though_it_still_takes_writes(tmp_path):
    async with sentinel(tmp_path) as watched, hearing(watched.url, "room:0") as (broker, arrivals):
        await say(broker, "room:0")
        await watched.replica.catch_up(watched.primary)
        for each in watched.sentinels:
            await each.cli("SENTINEL", "REMOVE", NAME)
        await watched.replica.cli("REPLICAOF", "NO", "ONE")
        for each in watched.sentinels:
            await each.cli("SENTINEL", "MONITOR", NAME, *watched.replica.address, 2)
        await until(lambda: broker.problem is not None, within=4.0)
        await well(broker)
        assert (await say(broker, "room:0")).offset == 2
        assert (await watched.replica.cli("HGET", broker.servers.keys.of("room:0").meta, "top")) == "2"
        assert len(await arrivals.count(2)) == 2
