"""The head of a request, over real sockets."""

import asyncio
import contextlib
import gc
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from hubbub.server.app import create_app
from hubbub.server.listening import listen
from hubbub.server.protocols import Protocols
from hubbub.server.schema import migrate_schema
from hubbub.server.settings import Settings
from hubbub.server.stopping import Server
from hubbub.server.worker import configuration
from hubbub.uvicorn import BoundedHTTP, DirectWebSocket, bounded_http
from hubbub.uvicorn.bounded_http import HEAD_BYTES, LINE_BYTES, LINES

PROTOCOLS = Protocols("direct", BoundedHTTP, DirectWebSocket)

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Connect = Callable[[], AbstractAsyncContextManager[Streams]]


@pytest.fixture
async def connect(tmp_path: Path) -> AsyncIterator[Connect]:
    """A factory of connections to a server that runs."""
    settings = Settings(secret_key="00" * 32, data_dir=tmp_path)
    await asyncio.to_thread(migrate_schema, settings)
    ready = asyncio.Event()
    with listen("127.0.0.1", 0, settings) as listener:
        port = listener.getsockname()[1]
        app = create_app(settings)
        server = Server(configuration(app, settings, PROTOCOLS), app.state.hub, ready.set)
        running = asyncio.create_task(server.serve([listener]))

        @asynccontextmanager
        async def connected() -> AsyncIterator[Streams]:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            async with asyncio.timeout(10):
                yield reader, writer
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

        await ready.wait()
        yield connected
        server.should_exit = True
        await running


def request(*lines: str, path: str = "/healthz", body: str = "") -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: x", *lines, "", body]).encode()


async def status(reader: asyncio.StreamReader) -> int:
    """Read one response; return its status."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    await reader.readexactly(int(head.partition("content-length: ")[2].partition("\r")[0]))
    return int(head.split()[1])


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (request(), 200),
        (request(f"X: {'x' * (LINE_BYTES - 1)}"), 200),
        (request(f"X: {'x' * LINE_BYTES}"), 431),
        (request(f"{'x' * LINE_BYTES}: x"), 431),
        (request(*[f"X-{number}: x" for number in range(LINES - 1)]), 200),
        (request(*[f"X-{number}: x" for number in range(LINES)]), 431),
        (request(path=f"/healthz?{'x' * (LINE_BYTES - 9)}"), 200),
        (request(path=f"/healthz?{'x' * LINE_BYTES}"), 431),
        (request(f"X: {'x' * LINE_BYTES}", "Upgrade: websocket", "Connection: Upgrade", path="/ws"), 431),
        (b"NONSENSE\r\n\r\n", 400),
    ],
)
async def test_a_head_is_taken_up_to_its_bounds(connect, sent, expected):
    async with connect() as (reader, writer):
        writer.write(sent)
        assert await status(reader) == expected
        if expected != 200:
            assert await reader.read() == b""


async def test_a_refusal_is_a_problem_document(connect):
    async with connect() as (reader, writer):
        writer.write(request(f"X: {'x' * LINE_BYTES}"))
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        assert b"\r\ncontent-type: application/problem+json\r\n" in head
        assert json.loads(body) == {
            "type": "about:blank",
            "title": "Request Header Fields Too Large",
            "status": 431,
            "detail": "The request line or the headers are too large.",
        }


@pytest.mark.parametrize("piece", [b"X: y\r\n", b"x"])
async def test_a_head_without_end_is_cut_off(connect, piece):
    async with connect() as (reader, writer):
        writer.write(b"GET /healthz HTTP/1.1\r\nX: ")
        sent = 0
        with contextlib.suppress(ConnectionError):
            while not reader.at_eof() and sent < 100 * HEAD_BYTES:
                writer.write(piece * 1000)
                await writer.drain()
                sent += 1000 * len(piece)
        assert sent < 100 * HEAD_BYTES


async def test_several_requests_of_one_connection_are_counted_each_for_itself(connect):
    large = request(*[f"X-{number}: {'x' * 1000}" for number in range(40)])
    async with connect() as (reader, writer):
        for _ in range(5):
            writer.write(large)
            assert await status(reader) == 200
        writer.write(large * 3)
        for _ in range(3):
            assert await status(reader) == 200


async def test_a_body_is_no_head(connect):
    body = "x" * 300_000
    async with connect() as (reader, writer):
        writer.write(request(f"Content-Length: {len(body)}", body=body))
        assert await status(reader) == 200
        writer.write(request())
        assert await status(reader) == 200


async def test_what_stands_behind_a_body_is_not_kept(connect):
    chunked = request("Transfer-Encoding: chunked", body="1\r\nx\r\n0\r\n")
    async with connect() as (reader, writer):
        writer.write(chunked + b"X: y\r\n" * 1000 + b"\r\n")
        assert await status(reader) == 200
        writer.write(request())
        assert await status(reader) == 200


@pytest.mark.parametrize(
    "sent",
    [b"", b"\r\n\r\n", b"GET /healthz HTTP/1.1\r\nHost: ", request() + b"GET /healthz"],
)
async def test_a_head_that_does_not_come_is_not_waited_for(connect, monkeypatch, sent):
    monkeypatch.setattr(bounded_http, "HEAD_SECONDS", 0.1)
    async with connect() as (reader, writer):
        writer.write(sent)
        if sent.startswith(request()):
            assert await status(reader) == 200
        assert await reader.read() == b""


async def test_a_connection_that_is_over_is_no_garbage(connect):
    """What refers to itself would stay until the collector comes by, which on a server is seldom."""

    def alive() -> int:
        return sum(isinstance(each, BoundedHTTP) for each in gc.get_objects())

    async with connect() as (reader, writer):
        writer.write(request())
        await status(reader)
    gc.collect()
    gc.disable()
    try:
        before = alive()
        for _ in range(5):
            async with connect() as (reader, writer):
                writer.write(request("Connection: close"))
                await status(reader)
                assert await reader.read() == b""
        assert alive() <= before + 1  # of the last one the server has yet to hear
    finally:
        gc.enable()
