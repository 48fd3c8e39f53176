"""What the integration tests share."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from postgres_servers import PostgresServer, postgres_server
from redis_cluster import Cluster, cluster
from redis_sentinels import Sentinel, sentinel
from redis_servers import RedisServer, redis_server
from serving import Serving, application, hubbub_serve


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """One `hubbub serve` for all the tests that take the defaults; they use rooms and users of their own."""
    with hubbub_serve(tmp_path_factory.mktemp("server")) as serving:
        yield serving
        assert serving.is_alive
        assert serving.complaints() == []


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """The same for an application of one's own under plain uvicorn."""
    with application("rooms", tmp_path_factory.mktemp("library")) as serving:
        yield serving
        assert serving.is_alive
        assert serving.complaints() == []


@pytest.fixture(params=["server", "library"])
def either(request: pytest.FixtureRequest) -> Serving:
    """Both of them, one after the other."""
    serving: Serving = request.getfixturevalue(request.param)
    return serving


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[RedisServer]:
    """A Redis of the test's own, which keeps nothing; `redis_servers` has those that do."""
    async with redis_server(tmp_path) as server:
        yield server


@pytest.fixture(scope="session")
def shared_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """One PostgreSQL for all the tests that do it no harm."""
    with postgres_server(tmp_path_factory.mktemp("postgres"), "fsync=off") as server:
        server.run()
        yield server


@pytest.fixture
async def postgres(tmp_path: Path) -> AsyncIterator[PostgresServer]:
    """A PostgreSQL of the test's own."""
    with postgres_server(tmp_path) as server:
        await server.start()
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
async def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/hubbub.db"
    server: PostgresServer = request.getfixturevalue("shared_postgres")
    await server.ready()
    return await server.new_database()


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
