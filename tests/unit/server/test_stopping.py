"""A stop, step by step: in this process, with real sockets."""

import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from starlette.responses import StreamingResponse
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from hubbub import TokenIssuer
from hubbub.server.app import create_app
from hubbub.server.listening import listen
from hubbub.server.protocols import Protocols
from hubbub.server.serving import local_address
from hubbub.server.settings import Settings
from hubbub.server.stopping import Server, has_terminal
from hubbub.server.worker import configuration
from hubbub.uvicorn import BoundedHTTP, DirectWebSocket

from .conftest import SECRET

pytestmark = pytest.mark.usefixtures("server_folder")

PROTOCOLS = Protocols("direct", BoundedHTTP, DirectWebSocket)
DEADLINE = 20.0


@dataclass
class Served:
    """A server that runs in a task."""

    app: FastAPI
    server: Server
    running: "asyncio.Task[None]"
    url: str

    @property
    def has_ended(self) -> bool:
        return self.running.done()

    def client(self) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(base_url=self.url, trust_env=False, timeout=DEADLINE)

    @asynccontextmanager
    async def member(self, user: str = "ada") -> AsyncIterator[ClientConnection]:
        headers = {"Authorization": f"Bearer {TokenIssuer(SECRET).issue(user, ttl=60)}"}
        url = self.url.replace("http", "ws") + "/ws/general"
        async with connect(url, additional_headers=headers, proxy=None, ping_interval=None) as connection:
            await expect(connection, "joined")
            yield connection


async def expect(connection: ClientConnection, kind: str) -> dict[str, Any]:
    async with asyncio.timeout(DEADLINE):
        while True:
            message: dict[str, Any] = json.loads(await connection.recv())
            if message["type"] == kind:
                return message


async def expect_close(connection: ClientConnection) -> int | None:
    async with asyncio.timeout(DEADLINE):
        try:
            while True:
                await connection.recv()
        except ConnectionClosed as closed:
            return None if closed.rcvd is None else closed.rcvd.code


Endpoint = Callable[..., Awaitable[Any]]


@asynccontextmanager
async def served(*routes: tuple[str, Endpoint], **options: Any) -> AsyncIterator[Served]:
    """Run a server with further routes; at the end of the test it must have ended, or is stopped."""
    settings = Settings(**{"secret_key": SECRET, **options})
    app = create_app(settings)
    for path, endpoint in routes:
        app.add_api_route(path, endpoint)
    ready = asyncio.Event()
    with listen("127.0.0.1", 0, settings) as listener:
        server = Server(configuration(app, settings, PROTOCOLS), app.state.hub, ready.set)
        running = asyncio.create_task(server.serve([listener]))
        try:
            async with asyncio.timeout(DEADLINE):
                await ready.wait()
            yield Served(app, server, running, local_address("127.0.0.1", listener))
        finally:
            for _ in range(2):
                server.stop()
            async with asyncio.timeout(DEADLINE):
                await running


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_the_server_and_not_the_process(number):
    before = signal.getsignal(number)
    async with served() as server:
        async with server.client() as client:
            response = await client.get("/readyz")
            assert response.status_code == 200
            assert "server" not in response.headers
        signal.raise_signal(number)
        async with asyncio.timeout(DEADLINE):
            await server.running
    assert signal.getsignal(number) is before


async def test_the_order_of_a_stop():
    async with served() as server, server.client() as kept, server.member() as ada:
        assert (await kept.get("/readyz")).status_code == 200
        server.server.stop()
        told = await expect(ada, "reconnect")
        assert 0 < told["after"] < 1
        # Who is connected is served, learns that the server drains, and that the next request goes elsewhere.
        response = await kept.get("/readyz")
        assert (response.status_code, response.json()["status"]) == (503, "draining")
        assert response.headers["connection"] == "close"
        with pytest.raises(httpx2.ConnectError):
            await kept.get("/readyz")
        # Everything goes on until the Close.
        await ada.send('{"type":"message","content":"still here"}')
        assert (await expect(ada, "message"))["content"] == "still here"
        assert not server.has_ended
        assert await expect_close(ada) == 1012
        async with asyncio.timeout(DEADLINE):
            await server.running


async def test_with_nobody_there_it_is_quick():
    async with served() as server:
        server.server.stop()
        begun = asyncio.get_running_loop().time()
        async with asyncio.timeout(DEADLINE):
            await server.running
        assert asyncio.get_running_loop().time() - begun < 1


async def test_a_request_that_is_being_answered_is_answered():
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow() -> str:
        begun.set()
        await go_on.wait()
        return "done"

    async with served(("/slow", slow)) as server, server.client() as client, server.member() as ada:
        request = asyncio.create_task(client.get("/slow"))
        await begun.wait()
        server.server.stop()
        assert await expect_close(ada) == 1012
        assert not server.has_ended
        go_on.set()
        response = await request
        assert (response.json(), response.headers["connection"]) == ("done", "close")
        async with asyncio.timeout(DEADLINE):
            await server.running


async def test_a_request_that_never_ends_is_given_up_when_the_time_is_over():
    begun = asyncio.Event()

    async def never() -> None:
        begun.set()
        await asyncio.Event().wait()

    async with served(("/never", never), drain_time=1) as server, server.client() as client:
        request = asyncio.create_task(client.get("/never"))
        await begun.wait()
        server.server.stop()
        stopped_at = asyncio.get_running_loop().time()
        await asyncio.wait([request, server.running], timeout=DEADLINE)
        assert asyncio.get_running_loop().time() - stopped_at < 4
        request.exception()


async def test_a_response_without_an_end_ends_with_the_drain():
    running: dict[str, FastAPI] = {}

    async def endless() -> StreamingResponse:
        async def events() -> AsyncIterator[bytes]:
            yield b"data: first\n\n"
            await running["app"].state.hub.until_draining()
            yield b"data: last\n\n"

        return StreamingResponse(events(), media_type="text/event-stream")

    async with served(("/events", endless)) as server, server.client() as client:
        running["app"] = server.app
        async with client.stream("GET", "/events") as response:
            lines = response.aiter_lines()
            assert await anext(lines) == "data: first"
            server.server.stop()
            assert "data: last" in [line async for line in lines]
        begun = asyncio.get_running_loop().time()
        async with asyncio.timeout(DEADLINE):
            await server.running
        assert asyncio.get_running_loop().time() - begun < 3


async def test_a_second_signal_ends_at_once_and_says_so_to_everybody():
    async with served(drain_time=60) as server, server.member() as ada, server.member("bob") as bob:
        server.server.stop()
        await expect(ada, "reconnect")
        server.server.stop()
        begun = asyncio.get_running_loop().time()
        for each in (ada, bob):
            assert await expect_close(each) == 1012
        async with asyncio.timeout(DEADLINE):
            await server.running
        assert asyncio.get_running_loop().time() - begun < 1


async def test_an_idle_connection_is_kept_for_a_moment_only():
    async with served() as server, server.client() as client:
        assert (await client.get("/healthz")).status_code == 200
        server.server.stop()
        begun = asyncio.get_running_loop().time()
        async with asyncio.timeout(DEADLINE):
            await server.running
        assert asyncio.get_running_loop().time() - begun < 2.5


async def test_hanging_up_changes_nothing(caplog):
    before = signal.getsignal(signal.SIGHUP)
    async with served() as server, server.client() as client:
        with caplog.at_level(logging.INFO):
            signal.raise_signal(signal.SIGHUP)
            async with asyncio.timeout(DEADLINE):
                while "SIGHUP changes nothing" not in caplog.text:
                    assert (await client.get("/readyz")).status_code == 200
    assert signal.getsignal(signal.SIGHUP) is before


async def test_hanging_up_with_the_terminal_is_a_stop(monkeypatch):
    theirs, ours = os.openpty()
    with os.fdopen(ours) as terminal:
        monkeypatch.setattr(sys, "__stdin__", terminal)
        assert has_terminal()
        async with served() as server:
            signal.raise_signal(signal.SIGHUP)
            async with server.client() as client:
                assert (await client.get("/readyz")).status_code == 200
            os.close(theirs)
            assert not has_terminal()
            signal.raise_signal(signal.SIGHUP)
            async with asyncio.timeout(DEADLINE):
                await server.running


def test_without_standard_input_there_is_no_terminal(monkeypatch):
    monkeypatch.setattr(sys, "__stdin__", None)
    assert not has_terminal()
