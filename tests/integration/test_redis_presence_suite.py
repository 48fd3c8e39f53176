"""The presence store on Redis: the suite, on every arrangement that the documentation names."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from ageing import age
from redis_cluster import Cluster, cluster
from redis_sentinels import Sentinel, sentinel
from redis_servers import RedisServer, redis_server

from hubbub.brokers.redis.presence import RedisPresence
from hubbub.hub.presence import PresenceStore
from hubbub.testing import FakeClock
from hubbub.testing.conformance import PresenceSuite

MODULE = {"scope": "module", "loop_scope": "module"}


@pytest_asyncio.fixture(**MODULE)
async def single(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RedisServer]:
    async with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest_asyncio.fixture(**MODULE)
async def watched(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Sentinel]:
    async with sentinel(tmp_path_factory.mktemp("sentinels")) as run:
        yield run


@pytest_asyncio.fixture(**MODULE)
async def three(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    async with cluster(tmp_path_factory.mktemp("cluster")) as run:
        yield run


class OnRedis(PresenceSuite):
    shared = True
    url: str
    servers: tuple[RedisServer, ...]

    def store(self, clock: FakeClock) -> PresenceStore:
        return RedisPresence(self.url)

    async def pass_time(self, clock: FakeClock, seconds: float) -> None:
        await age(seconds, *self.servers)


class TestSingle(OnRedis):
    @pytest.fixture(autouse=True)
    async def server(self, single: RedisServer) -> None:
        await single.cli("FLUSHALL")
        self.url, self.servers = single.url, (single,)


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
