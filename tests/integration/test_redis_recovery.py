"""The broker on Redis under faults: what the suite for recovery does to it, on every arrangement."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from proxy import RedisProxy
from redis_cluster import Cluster, cluster, owners
from redis_faults import COMMANDS, SUBSCRIPTIONS, kill_clients, pause
from redis_sentinels import Sentinel, sentinel
from redis_servers import RedisServer, redis_server

from hubbub.brokers.redis import RedisBroker
from hubbub.exceptions import PublishError
from hubbub.hub.broker import Broker
from hubbub.testing.conformance import RecoverySuite
from hubbub.testing.conformance.recovery import CHANNEL

PAUSE = 3.0
BLACKOUT = 3.0
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
    test_a_quiet_time_ends_nothing = None

    @pytest.fixture(autouse=True)
    async def server(self, forgetful: RedisServer) -> None:
        await forgetful.cli("FLUSHALL")
        self.url, self.servers, self.redis = forgetful.url, (forgetful,), forgetful

    async def say_and_forget(self, number: int) -> None:
        await self.redis.cli("SAVE")
        for each in range(number):
            await self.scene.say(f"forgotten {each}")
        await self.redis.restart()

    async def loss_of_one(self) -> None:
        await self.say_and_forget(1)

    async def loss_of_many(self) -> None:
        await self.say_and_forget(10)


class TestBehindProxy(Faulty):
    fault_listener_killed = fault_commands_killed = fault_all_clients_killed = None
    test_a_quiet_time_ends_nothing = None

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
        await self.proxy.black_out()
        await asyncio.sleep(BLACKOUT)
        await self.proxy.accept()


@pytest_asyncio.fixture(**MODULE)
async def watched(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Sentinel]:
    async with sentinel(tmp_path_factory.mktemp("sentinels"), down_after=500) as run:
        yield run


class TestSentinel(Faulty):
    @pytest.fixture(autouse=True)
    async def server(self, watched: Sentinel) -> AsyncIterator[None]:
        await watched.primary.cli("FLUSHALL")
        await watched.replica.catch_up(watched.primary)
        self.url, self.servers, self.watched = watched.url, (watched.primary,), watched
        first = watched.primary
        yield
        if watched.primary is not first:
            await watched.rejoin()

    async def fault_failover(self) -> None:
        await self.watched.replica.catch_up(self.watched.primary)
        await self.watched.failover()

    async def loss_failover_to_one_that_lags(self) -> None:
        await self.watched.replica.catch_up(self.watched.primary)
        await self.watched.fall_behind()
        for each in range(5):
            await self.scene.say(f"forgotten {each}")
        await self.watched.failover()

    async def loss_paused_primary_comes_back(self) -> None:
        """It still takes what was under way to it, and learns only then that it is the primary no more."""
        await self.watched.replica.catch_up(self.watched.primary)
        await self.watched.failover("pause")
        self.watched.replica.resume()


@pytest_asyncio.fixture(**MODULE)
async def three(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    async with cluster(tmp_path_factory.mktemp("cluster"), replicas=1) as run:
        yield run


class TestCluster(Faulty):
    @pytest.fixture(autouse=True)
    async def server(self, three: Cluster) -> None:
        primaries = {port for _, _, port in await owners(next(node for node in three.all if node.is_alive))}
        self.servers = tuple(node for node in three.all if node.port in primaries)
        for node in self.servers:
            await node.cli("FLUSHALL")
        self.url, self.three = three.url, three
        self.slot = RedisBroker(self.url).servers.keys.of(CHANNEL).slot

    async def elsewhere(self) -> RedisServer:
        owner = await self.three.owner(self.slot)
        return next(node for node in self.servers if node is not owner)

    async def fault_slot_moved(self) -> None:
        await self.three.move_slot(self.slot, await self.elsewhere())

    async def fault_slot_on_its_way(self) -> None:
        """Publications that need no key that is new go on; others are refused until the slot is there."""
        scene, to = self.scene, await self.elsewhere()
        async with self.three.moving(self.slot, to) as source:
            await scene.say("before its keys are moved", is_repeated=False)
            with pytest.raises(PublishError, match="rehashing of slot"):
                await scene.hub.publish(CHANNEL, "message", {"content": "new key"}, idempotency_key="new")
            for key in (await source.cli("CLUSTER", "GETKEYSINSLOT", self.slot, 100)).splitlines():
                await source.cli("MIGRATE", *to.address, "", 0, 5000, "KEYS", key)
            await scene.say("after its keys were moved", is_repeated=False)

    async def fault_slot_moved_there_and_back(self) -> None:
        owner = await self.three.owner(self.slot)
        await self.three.move_slot(self.slot, await self.elsewhere())
        await self.three.move_slot(self.slot, owner)

    async def fault_failover(self) -> None:
        owner = await self.three.owner(self.slot)
        await owner.kill()
        await self.three.become_whole()
        await owner.start()
        await self.three.become_whole()
