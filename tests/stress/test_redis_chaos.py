"""Clients come and go on two nodes while everything between them and Redis breaks, at random; seeded, self-checking.

Redis appends each change and loses nothing, so that no client may miss anything or be told that it does.
"""

import asyncio
import contextlib
import os
import random
from pathlib import Path
from typing import Any

from proxy import RedisProxy
from redis_faults import kill_clients, pause
from redis_servers import RedisServer, redis_server

from hubbub.brokers.redis import RedisBroker
from hubbub.hub.publications import Position
from hubbub.testing import Closed
from hubbub.testing.conformance.recovery import CHANNEL, Scene
from hubbub.testing.conformance.transcript import Transcript

SECONDS = float(os.environ.get("HUBBUB_STRESS_SECONDS", "12"))
CLIENTS = 12


class Chaos:
    """Two nodes, each behind a proxy of its own, and what is done to them."""

    def __init__(self, seed: int, redis: RedisServer, proxies: list[RedisProxy]) -> None:
        self.random = random.Random(seed)
        self.redis = redis
        self.proxies = proxies
        self.scenes = [Scene(RedisBroker(proxy.url)) for proxy in proxies]
        self.published: list[tuple[str, Position]] = []
        self.is_over = asyncio.Event()
        self.visits = 0

    async def publish(self) -> None:
        number = 0
        while not self.is_over.is_set():
            scene = self.random.choice(self.scenes)
            self.published.append((f"{number}", await scene.say(f"{number}")))
            number += 1
            await asyncio.sleep(self.random.random() * 0.02)

    async def hurt(self) -> None:
        while not self.is_over.is_set():
            await asyncio.sleep(self.random.random() * 1.5)
            proxy = self.random.choice(self.proxies)
            match self.random.randrange(9):
                case 0:
                    proxy.cut()
                case 1 | 2:
                    self.random.choice(proxy.links or [None]) and self.random.choice(proxy.links).cut()
                case 3:
                    self.random.choice(proxy.links or [None]) and self.random.choice(proxy.links).half_open()
                case 4:
                    proxy.drop_smessage(CHANNEL.encode())
                case 5:
                    await kill_clients([self.redis], use="subscriptions")
                case 6:
                    await self.redis.restart()
                case 7:
                    await pause(self.redis, self.random.random() * 2)
                case 8:
                    proxy.stall()
                    await asyncio.sleep(self.random.random())
                    proxy.flow()

    async def visit(self) -> None:
        """Come, go and come back from where one was, until it is over; then get to the end."""
        transcript = Transcript()
        while not (self.is_over.is_set() and transcript.has_reached(self.published[-1][1])):
            scene = self.random.choice(self.scenes)
            async with scene.client(transcript.come_back()) as client:
                self.visits += 1
                stay = 5.0 if self.is_over.is_set() else self.random.random() * 3
                with contextlib.suppress(TimeoutError, Closed):
                    async with asyncio.timeout(stay):
                        while self.read(transcript, await client.receive(stay)):
                            pass
                for message in client.waiting():
                    self.read(transcript, message)
            assert self.visits < 100_000
        transcript.check(self.published, may_be_told=False)

    def read(self, transcript: Transcript, message: Any) -> bool:
        """Take a message; return whether to stay for more."""
        if message["type"] == "error":
            assert message["code"] == "unavailable", message
            return False
        transcript.read(message)
        return not (self.is_over.is_set() and transcript.has_reached(self.published[-1][1]))


async def test_nothing_is_missed_whatever_breaks(tmp_path: Path) -> None:
    seed = int(os.environ.get("HUBBUB_STRESS_SEED", random.randrange(2**31)))
    print(f"HUBBUB_STRESS_SEED={seed}")
    async with (
        redis_server(tmp_path, appendonly="always") as redis,
        RedisProxy(*redis.address) as first,
        RedisProxy(*redis.address) as second,
    ):
        chaos = Chaos(seed, redis, [first, second])
        one, other = chaos.scenes
        async with one.hub.lifespan(one.app), other.hub.lifespan(other.app), asyncio.TaskGroup() as tasks:
            chaos.published.append(("start", await one.say("start")))
            for _ in range(CLIENTS):
                tasks.create_task(chaos.visit())
            working = [tasks.create_task(chaos.publish()), tasks.create_task(chaos.hurt())]
            await asyncio.sleep(SECONDS)
            chaos.is_over.set()
            await asyncio.wait(working)
            for proxy in chaos.proxies:
                proxy.flow()
            chaos.published.append(("end", await one.say("end")))
        assert len(chaos.published) > 20
        assert chaos.visits > CLIENTS
