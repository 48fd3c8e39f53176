"""Which outlet is in use, under each way to run a server; and that an application's own WebSockets are as they were."""

import asyncio
import datetime as dt
import ipaddress
import ssl
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from members import connected, fresh
from raw_socket import Opcode, RawSocket, frame, raw
from serving import FOLDER, SECRET, Serving, application, bearer, eventually, hubbub_serve, process
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

DIRECT = ("--ws", "hubbub.uvicorn:DirectWebSocket")
BIG = "häppchen 語 🦜 " * 1_500  # 51 KB as JSON


async def outlet(serving: Serving) -> str:
    """Ask `/readyz` which outlet is in use: once somebody has connected, the one that they really have."""
    return str((await serving.get("/readyz")).json()["outlet"])


async def talk(serving: Serving) -> None:
    """Have two members say something small, something large and a lot, and hear each other."""
    room = fresh("room")
    contents = ["hi", BIG, *(f"{number} of many" for number in range(20))]
    async with (
        asyncio.timeout(30),
        connected(serving, fresh("ada"), f"/ws/{room}") as ada,
        connected(serving, fresh("bob"), f"/ws/{room}", compression="deflate") as bob,
    ):
        for each in (ada, bob):
            await each.expect("joined")
        for speaker in (ada, bob):
            for content in contents:
                await speaker.say(room, content)
            for listener in (ada, bob):
                heard = [(await listener.expect("message"))["content"] for _ in contents]
                assert heard == contents


async def test_hubbub_serve_uses_it_and_says_so(tmp_path):
    """A release of uvicorn that closes this way is not to pass unnoticed: after the first connection it is known from that."""
    with hubbub_serve(tmp_path) as serving:
        assert await outlet(serving) == "direct"
        await talk(serving)
        assert await outlet(serving) == "direct"
        (line,) = [line for line in serving.said.splitlines() if "Outlet:" in line]
        assert "Outlet: direct" in line
        assert '"level": "info"' in line
        assert serving.complaints() == []


async def test_on_a_uvicorn_that_does_not_hand_over_everything_works_and_the_log_says_what_to_do(tmp_path):
    command = [sys.executable, str(FOLDER / "apps" / "later_uvicorn.py"), "serve", "--port", "{port}"]
    settings = {"HUBBUB_SECRET_KEY": SECRET, "HUBBUB_DATA_DIR": str(tmp_path / "data")}
    with process(command, tmp_path, settings) as serving:
        assert await outlet(serving) == "queued"
        await talk(serving)
        assert await outlet(serving) == "queued"
        (line,) = [line for line in serving.said.splitlines() if "Outlet:" in line]
        assert "Outlet: queued" in line
        assert '"level": "warning"' in line
        assert "uvicorn kept the socket" in line
        assert serving.complaints() == []


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (DIRECT, "direct"),
        ((*DIRECT, "--http", "h11"), "direct"),
        ((*DIRECT, "--loop", "asyncio"), "direct"),
        ((*DIRECT, "--http", "h11", "--loop", "asyncio"), "direct"),
        ((*DIRECT, "--http", "hubbub.uvicorn:BoundedHTTP"), "direct"),
        ((*DIRECT, "--no-proxy-headers", "--no-server-header", "--no-date-header"), "direct"),
        ((*DIRECT, "--ws-per-message-deflate", "false"), "direct"),
        ((), "queued"),
        (("--ws", "websockets-sansio"), "queued"),
        (("--ws", "wsproto"), "queued"),
    ],
    ids=" ".join,
)
async def test_under_ones_own_uvicorn(tmp_path, options, expected):
    with application("mixed", tmp_path, *options) as serving:
        assert (await outlet(serving)).startswith("unknown")
        await talk(serving)
        assert await outlet(serving) == expected
        assert serving.complaints() == []


async def test_with_the_hubs_sockets_first(tmp_path):
    with application("mixed", tmp_path, *DIRECT, SOCKETS_FIRST="yes") as serving:
        await talk(serving)
        assert await outlet(serving) == "direct"
        async with connect(to(serving, "/own/echo"), proxy=None) as socket:
            await socket.send("still the application's")
            assert await socket.recv() == "still the application's"
        assert serving.complaints() == []


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a key and a certificate that it signed itself, for this machine."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "hubbub tests")])
    now = dt.datetime.now(dt.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + signed.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
async def test_over_tls(tmp_path, certificate, loop):
    options = (*DIRECT, "--loop", loop, "--ssl-certfile", str(certificate), "--ssl-keyfile", str(certificate))
    trusted = ssl.create_default_context(cafile=certificate)
    with application("mixed", tmp_path, *options, tls=trusted) as serving:
        await talk(serving)
        assert await outlet(serving) == "direct"
        # Somebody who does not read: what is congested is the transport above TLS.
        room = fresh("room")
        async with (
            connected(serving, fresh("ada"), f"/ws/{room}") as ada,
            connected(serving, fresh("bob"), f"/ws/{room}") as bob,
        ):
            for each in (ada, bob):
                await each.expect("joined")
            bob.connection.transport.pause_reading()
            for number in range(40):
                await ada.say(room, f"{number} {BIG}")
                await ada.expect("message")
            bob.connection.transport.resume_reading()
            heard = [(await bob.expect("message"))["content"].partition(" ")[0] for _ in range(40)]
            assert heard == [str(number) for number in range(40)]
        async with connect(to(serving, "/own/echo"), ssl=trusted, proxy=None) as socket:
            await socket.send(BIG)
            assert await socket.recv() == BIG
        assert serving.complaints() == []


async def test_when_uvicorn_stops_everybody_is_told(tmp_path):
    with application("mixed", tmp_path, *DIRECT) as serving:
        async with (
            connected(serving, fresh("ada"), f"/ws/{fresh('room')}") as ada,
            connected(serving, None, welcome=False) as nobody_yet,
            opened(serving, "/own/echo") as own,
        ):
            await ada.expect("joined")
            stopping = asyncio.create_task(serving.terminate())
            told = (1012, "The server is restarting")
            assert await ada.expect_close() == told
            assert await nobody_yet.expect_close() == told
            with pytest.raises(ConnectionClosed) as closed:
                await own.recv()
            assert closed.value.rcvd is not None
            assert (closed.value.rcvd.code, closed.value.rcvd.reason) == told
            assert await stopping < 10
        assert serving.complaints() == []


# An application's own WebSockets: as under uvicorn's own protocol, which the same is asked of.


@pytest.fixture(scope="module", params=[DIRECT, ("--ws", "websockets-sansio")], ids=" ".join)
def own(request, tmp_path_factory) -> Iterator[Serving]:
    with application("mixed", tmp_path_factory.mktemp("own"), *request.param) as serving:
        yield serving
        assert serving.is_alive


def to(serving: Serving, path: str) -> str:
    return f"{serving.url.replace('http', 'ws', 1)}{path}"


@asynccontextmanager
async def opened(serving: Serving, path: str, **options: Any) -> AsyncIterator[ClientConnection]:
    async with (
        asyncio.timeout(20),
        connect(to(serving, path), proxy=None, max_size=None, **options) as socket,
    ):
        yield socket


@pytest.mark.parametrize("compression", ["deflate", None])
async def test_messages_of_every_kind_come_back(own, compression):
    large, noise = "語 large " * 100_000, bytes(range(256)) * 4_096
    async with opened(own, "/own/echo", compression=compression) as socket:
        agreed = socket.response.headers.get("Sec-WebSocket-Extensions", "")
        assert ("permessage-deflate" in agreed) == (compression is not None)
        for message in ("", "hi", "häppchen 語 🦜", b"", b"\x00\xff", large, noise):
            await socket.send(message)
            assert await socket.recv() == message
        for number in range(100):
            await socket.send(str(number))
        assert [await socket.recv() for _ in range(100)] == [str(number) for number in range(100)]
        await socket.send(["in ", "three ", "fragments"])
        assert await socket.recv() == "in three fragments"


async def test_what_the_application_accepts_with(own):
    async with opened(own, "/own/echo", subprotocols=["second", "first"]) as socket:
        assert socket.subprotocol == "second"
        assert socket.response.headers["X-Own"] == "yes"
        assert "Date" in socket.response.headers
        assert socket.response.headers["Server"] == "uvicorn"


async def test_pings_are_answered(own):
    async with opened(own, "/own/echo") as socket:
        assert await (await socket.ping(b"there?")) >= 0


@pytest.mark.parametrize("code", [1000, 1011, 3000, 4999])
async def test_the_application_closes(own, code):
    async with opened(own, f"/own/close?code={code}") as socket:
        assert await socket.recv() == "before"
        with pytest.raises(ConnectionClosed) as closed:
            await socket.recv()
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (code, "as you wished")


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        ((1000, "bye"), [1000, "bye"]),
        ((4321,), [4321, ""]),
        (None, [1005, None]),
    ],
    ids=["with a reason", "with a code", "without a word"],
)
async def test_the_client_closes(own, end, expected):
    name = fresh("client")
    async with opened(own, f"/own/echo?name={name}") as socket:
        await socket.send("hi")
        await socket.recv()
        if end is None:
            socket.transport.abort()
        else:
            await socket.close(*end)

    async def code() -> Any:
        return (await own.get(f"/own/ended/{name}")).json()

    assert await eventually(code) == expected


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/own/reject", 403),
        ("/own/deny", 418),
        ("/own/silent", 500),
        ("/own/raises", 500),
        ("/own/nothing-here", 403),
    ],
)
async def test_the_application_refuses(own, path, status):
    with pytest.raises(InvalidStatus) as refused:
        async with opened(own, path):
            pass
    response = refused.value.response
    assert response.status_code == status
    if status == 418:
        assert (response.body, response.headers["X-Own"]) == (b'{"why":"tea"}', "yes")


async def test_the_application_fails_after_it_accepted(own):
    async with opened(own, "/own/raises?late=true") as socket:
        assert await socket.recv() == "before"
        with pytest.raises(ConnectionClosed):
            await socket.recv()
    assert "of the application" in own.said


async def test_a_client_that_does_not_read_holds_the_application_up(own):
    """It sends from the very first turn on, so that nothing says “stop” if the wrong object is asked to."""
    before = own.memory()
    mallory = await RawSocket.connect(own.port, receive_buffer=4096)
    try:
        assert (await mallory.upgrade(own.port, "/own/flood?messages=2000")).status == 101  # 128 MiB
        async with opened(own, "/own/echo") as socket:
            for _ in range(20):
                await socket.send("still there?")
                assert await socket.recv() == "still there?"
        assert own.memory() - before < 40_000
    finally:
        mallory.cut()


async def test_frames_that_come_with_the_handshake_or_before_it_is_answered(own):
    """Without `BoundedHTTP` uvicorn drops what comes in one piece with the head; what comes behind it is not lost."""
    async with raw(own.port, "/own/echo") as socket:
        await socket.send(frame(Opcode.TEXT, b"a") + frame(Opcode.TEXT, b"b"))
        assert [(await socket.receive()).payload for _ in range(2)] == [b"a", b"b"]


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"Sec-WebSocket-Version": "8"}, 400),
        ({"Sec-WebSocket-Key": "AAAA"}, 400),
        ({"Sec-WebSocket-Extensions": "@@@"}, 400),
        ({"Sec-WebSocket-Protocol": "a b"}, 400),
    ],
)
@pytest.mark.parametrize("path", ["/own/echo", "/ws"])
async def test_a_handshake_that_is_wrong(own, path, changed, status):
    socket = await RawSocket.connect(own.port)
    try:
        assert (await socket.upgrade(own.port, path, {**bearer("ada"), **changed})).status == status
        await socket.expect_end()
    finally:
        socket.close()
    assert "never retrieved" not in own.said
