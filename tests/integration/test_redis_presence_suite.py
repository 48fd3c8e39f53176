"""The presence store on Redis: the suite, on every arrangement that the documentation names."""

import pytest
from ageing import age
from redis_cluster import Cluster
from redis_sentinels import Sentinel
from redis_servers import RedisServer

from hubbub.brokers.redis.presence import RedisPresence
from hubbub.hub.presence import PresenceStore
from hubbub.testing import FakeClock
from hubbub.testing.conformance import PresenceSuite


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
