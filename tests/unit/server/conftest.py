"""What the server's unit tests share: settings that no environment touches, and the application without a socket."""

import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx2
import pytest
from fastapi import FastAPI

from hubbub import TokenIssuer
from hubbub.server.app import create_app
from hubbub.server.schema import FILE, migrate_schema
from hubbub.server.settings import Settings
from hubbub.testing import Client, connect

SECRET = "5e" * 32
URL = "http://hubbub.test"

Running = Callable[..., AbstractAsyncContextManager[httpx2.AsyncClient]]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory of the test, with no `.env`, no `hubbub.toml` and no settings around it."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.upper().startswith("HUBBUB_")]:
        monkeypatch.delenv(name)
    return tmp_path


@pytest.fixture
def issuer() -> TokenIssuer:
    return TokenIssuer(SECRET)


@pytest.fixture
def bearer(issuer: TokenIssuer) -> Callable[..., dict[str, str]]:
    """A factory of headers: ``bearer("ada", "admin")``."""

    def headers(user: str, *scopes: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {issuer.issue(user, ttl=60, scopes=scopes)}"}

    return headers


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with all tables, to be copied: migrating takes longer than most tests."""
    folder = tmp_path_factory.mktemp("migrated")
    migrate_schema(Settings(data_dir=folder))
    return folder / FILE


@pytest.fixture
def server_folder(folder: Path, migrated: Path) -> Path:
    """The folder that a server finds its data in."""
    data = folder / Settings().data_dir
    data.mkdir(mode=0o700)
    shutil.copy(migrated, data / FILE)
    return data


@asynccontextmanager
async def serving(app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    """Run an application's lifespan, and speak to it."""
    transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url=URL) as client,
    ):
        yield client


@pytest.fixture
def running(server_folder: Path) -> Running:
    """A factory of running servers: ``async with running(allowed_origins=(…)) as client``."""
    return lambda **settings: serving(create_app(Settings(**{"secret_key": SECRET, **settings})))


@pytest.fixture
async def client(running: Running) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of a server with the default settings."""
    async with running() as client:
        yield client


class House:
    """A running server with people in it: its HTTP API, and clients that are connected."""

    def __init__(self, app: FastAPI, http: httpx2.AsyncClient, issuer: TokenIssuer) -> None:
        self.app = app
        self.http = http
        self._issuer = issuer
        self.stack = AsyncExitStack()

    def token(self, user: str) -> str:
        return self._issuer.issue(user, ttl=60)

    async def enter(self, user: str, path: str = "/ws", *, token: str | None = None) -> Client:
        """Connect, and wait until that is done."""
        client = await self.stack.enter_async_context(
            connect(self.app, path, token=token or self.token(user))
        )
        client.welcome = await client.expect("welcome")  # type: ignore[attr-defined]
        if path != "/ws":
            await client.expect("joined")
        return client


@pytest.fixture
async def house(issuer: TokenIssuer, server_folder: Path) -> AsyncIterator[House]:
    """A server with the default settings, and the way in."""
    app = create_app(Settings(secret_key=SECRET))
    async with serving(app) as http:
        house = House(app, http, issuer)
        async with house.stack:
            yield house
