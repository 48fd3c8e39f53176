"""What the integration tests share."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
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
