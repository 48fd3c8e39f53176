"""A node knows when it is deaf: found within 5 s, told, and over only when every channel is up to date."""

import asyncio
import logging
import os
import time

import pytest
from proxy import RedisProxy
from redis_faults import SUBSCRIPTIONS, kill_clients
from redis_servers import RedisServer
from redis_stage import until

from hubbub.brokers.redis import RedisBroker
from hubbub.testing.conformance.recovery import CHANNEL, Scene
from hubbub.testing.conformance.transcript import Transcript

FOUND = 5.0
BLACKOUT = float(os.environ.get("HUBBUB_BLACKOUT_SECONDS", "4"))
"""The contract says 60."""


class Fault:
    """What makes a node deaf, and what ends that."""

    def __init__(self, redis: RedisServer, proxy: RedisProxy, node: str) -> None:
        self.redis = redis
        self.proxy = proxy
        self.name = f"hubbub-{node}-{SUBSCRIPTIONS}"

    async def killed(self) -> None:
        assert await kill_clients([self.redis], use=SUBSCRIPTIONS)

    async def paused(self) -> None:
        self.redis.pause()

    async def paused_end(self) -> None:
        self.redis.resume()

    async def half_open(self) -> None:
        self.proxy.half_open()

    async def listener_half_open(self) -> None:
        """Of the two links, which were opened at once, the one is found that the server knows as the listener's."""
        for line in (await self.redis.cli("CLIENT", "LIST")).splitlines():
            facts = dict(fact.split("=", 1) for fact in line.split())
            if facts["name"] == self.name:
                port = int(facts["addr"].rpartition(":")[2])
        (link,) = (
            link
            for link in self.proxy.links
            if link.server.transport is not None
            and link.server.transport.get_extra_info("sockname")[1] == port
        )
        link.half_open()

    async def blacked_out(self) -> None:
        await self.proxy.black_out()

    async def blacked_out_end(self) -> None:
        await asyncio.sleep(BLACKOUT)  # the time is the fault
        await self.proxy.accept()


@pytest.mark.parametrize("name", ["killed", "paused", "half_open", "listener_half_open", "blacked_out"])
async def test_deafness_is_found_told_and_repaired(redis, name, caplog):
    caplog.set_level(logging.WARNING)
    async with RedisProxy(*redis.address) as proxy:
        scene = Scene(RedisBroker(proxy.url))
        fault = Fault(redis, proxy, scene.broker.inner.servers.node)
        other = RedisBroker(redis.url)
        async with scene.hub.lifespan(scene.app), other:
            since = await scene.say("first")
            async with scene.client(since) as client:
                transcript = Transcript(since)
                transcript.read(await client.expect("subscribed"))
                began = time.monotonic()
                await getattr(fault, name)()
                await until(lambda: scene.broker.problem is not None, within=FOUND, every=0.001)
                assert time.monotonic() - began < FOUND
                assert scene.broker.problem
                assert sum(scene.hub.statistics.interruptions.values()) >= 1
                assert [record for record in caplog.records if "hubbub.brokers.redis" in record.name]

                unheard = len(scene.published)
                if name != "paused":
                    scene.broker.inner, own = other, scene.broker.inner
                    for number in range(20):  # by somebody who is not deaf
                        await scene.say(f"unheard {number}")
                        if own.problem is not None:  # else it was quicker, and hears the rest
                            unheard = len(scene.published)
                    scene.broker.inner = own
                await getattr(fault, f"{name}_end", lambda: asyncio.sleep(0))()
                await scene.get_well()
                for _ in range(10):
                    await asyncio.sleep(0)  # what was found goes out at the end of a turn
                for message in client.waiting():
                    transcript.read(message)
                transcript.check(scene.published[:unheard], may_be_told=False)
                assert transcript.has_reached(scene.published[unheard - 1][1]), "well, and not up to date"
                await scene.say("end")
                await scene.check(client, transcript, may_be_told=False)


async def test_a_lost_message_is_found_within_ten_seconds(redis):
    async with RedisProxy(*redis.address) as proxy:
        scene = Scene(RedisBroker(proxy.url))
        async with scene.hub.lifespan(scene.app):
            since = await scene.say("first")
            async with scene.client(since) as client:
                await client.expect("subscribed")
                lost = proxy.drop_smessage(CHANNEL.encode())
                await scene.say("lost")
                await lost
                assert (await client.expect("message", within=10.5))["content"] == "lost"
                assert scene.hub.statistics.mended == 1
                assert scene.hub.statistics.interruptions == {}


async def test_commands_that_fall_silent_while_the_listener_comes_back_are_found(redis):
    """What the listener waits for is read over the other connection, which dies half-open just then."""
    async with RedisProxy(*redis.address) as proxy:
        scene = Scene(RedisBroker(proxy.url))
        async with scene.hub.lifespan(scene.app):
            since = await scene.say("first")
            async with scene.client(since) as client:
                await client.expect("subscribed")
                wanted = proxy.drop_next(lambda reply: reply.startswith(b"*7\r\n"))
                assert await kill_clients([redis], use=SUBSCRIPTIONS)
                await wanted
                proxy.half_open()
                await until(lambda: scene.broker.problem is None, within=12.0)
                await scene.say("end")
                assert (await client.expect("message"))["content"] == "end"
