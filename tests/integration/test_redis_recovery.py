"""The broker on Redis under faults: what the suite for recovery does to it, on every arrangement."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from proxy import RedisProxy
from redis_faults import COMMANDS, SUBSCRIPTIONS, kill_clients, pause
from redis_servers import RedisServer, redis_server

from hubbub.brokers.redis import RedisBroker
from hubbub.hub.broker import Broker
from hubbub.testing.conformance import RecoverySuite
from hubbub.testing.conformance.recovery import CHANNEL

PAUSE = 3.0
BLACKOUT = 4.0
MODULE = {"scope": "module", "loop_scope": "module"}


@pytest_asyncio.fixture(**MODULE)
async def durable(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RedisServer]:
    async with redis_server(tmp_path_factory.mktemp("durable"), appendonly="always") as server:
        yield server


@pytest_asyncio.fixture(**MODULE)
async def forgetful(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RedisServer]:
    async with redis_server(tmp_path_factory.mktemp("forgetful")) as server:
        yield server


class Faulty(RecoverySuite):
    url: str
    servers: tuple[RedisServer, ...]

    def broker(self) -> Broker:
        return RedisBroker(self.url)

    async def fault_listener_killed(self) -> None:
        assert await kill_clients(self.servers, use=SUBSCRIPTIONS)

    async def fault_commands_killed(self) -> None:
        assert await kill_clients(self.servers, use=COMMANDS)

    async def fault_all_clients_killed(self) -> None:
        assert await kill_clients(self.servers) >= 2


class TestSingle(Faulty):
    @pytest.fixture(autouse=True)
    async def server(self, durable: RedisServer) -> None:
        await durable.cli("FLUSHALL")
        self.url, self.servers, self.redis = durable.url, (durable,), durable

    async def fault_paused(self) -> None:
        await pause(self.redis, PAUSE)

    async def fault_killed_and_restarted(self) -> None:
        await self.redis.restart()

    async def loss_flushed(self) -> None:
        await self.redis.cli("FLUSHALL")

    async def loss_restarted_without_data(self) -> None:
        await self.redis.restart(keep_data=False)


class TestSingleWithSnapshots(Faulty):
    """The server comes back with what it had before the last publications."""

    fault_listener_killed = fault_commands_killed = fault_all_clients_killed = None

    @pytest.fixture(autouse=True)
    async def server(self, forgetful: RedisServer) -> None:
        await forgetful.cli("FLUSHALL")
        self.url, self.servers, self.redis = forgetful.url, (forgetful,), forgetful

    async def say_and_forget(self, number: int) -> None:
        await self.redis.cli("SAVE")
        async with RedisBroker(self.url) as other:
            assert other.problem is None
        for each in range(number):
            await self.scene.say(f"forgotten {each}")
        await self.redis.restart()

    async def loss_of_one(self) -> None:
        await self.say_and_forget(1)

    async def loss_of_many(self) -> None:
        await self.say_and_forget(10)


class TestBehindProxy(Faulty):
    fault_listener_killed = fault_commands_killed = fault_all_clients_killed = None

    @pytest.fixture(autouse=True)
    async def server(self, durable: RedisServer) -> AsyncIterator[None]:
        await durable.cli("FLUSHALL")
        async with RedisProxy(*durable.address) as proxy:
            self.url, self.proxy = proxy.url, proxy
            yield

    async def fault_links_cut(self) -> None:
        self.proxy.cut()

    async def fault_half_open(self) -> None:
        self.proxy.half_open()

    async def silent_loss_of_a_message(self) -> None:
        lost = self.proxy.drop_smessage(CHANNEL.encode())
        await self.scene.say("lost on the way")
        await lost

    async def fault_blacked_out(self) -> None:
        import asyncio

        await self.proxy.black_out()
        await asyncio.sleep(BLACKOUT)
        await self.proxy.accept()
