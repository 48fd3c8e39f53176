"""uvicorn's part without a network: from the head of a handshake to a socket that somebody else has.

What is shown over real sockets stands in `tests/integration/test_lost_connections.py` and `test_slow_receivers.py`.
"""

import asyncio
import contextlib
import gc
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import uvicorn
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.client import ClientProtocol
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.frames import Frame
from websockets.http11 import Response
from websockets.uri import parse_uri

from hubbub.endpoints.websocket import SOCKET
from hubbub.uvicorn import BoundedHTTP, DirectWebSocket, KeepaliveWebSocket
from hubbub.uvicorn.direct import EARLY_BYTES
from hubbub.uvicorn.opening import Opening

Scope = Any
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]


def test_every_override_replaces_something_of_uvicorns():
    own = {name for name, value in vars(KeepaliveWebSocket).items() if callable(value)}
    assert own == {
        "__init__",
        "start_keepalive",
        "data_received",
        "keepalive_timeout",
        "handle_ping",
        "shutdown",
    }
    assert own <= set(vars(WebSocketsSansIOProtocol))


class Transport(asyncio.Transport):
    """Leads to the test."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 5000), "sockname": ("127.0.0.1", 8000)})
        self.written = b""
        self.closed = False
        self._protocol: Any = None

    def write(self, data: Any) -> None:
        assert not self.closed
        self.written += data

    def get_write_buffer_size(self) -> int:
        return 0

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            asyncio.get_running_loop().call_soon(self._protocol.connection_lost, None)

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol


class Link(asyncio.Protocol):
    """Stands for the hub's."""

    def __init__(self, window_bits: int | None) -> None:
        self.window_bits = window_bits
        self.received = b""
        self.lost = False

    def taken(self, transport: asyncio.Transport, peers: Any) -> None:
        self.transport = transport
        transport.set_protocol(self)
        peers.add(self)

    def data_received(self, data: bytes) -> None:
        self.received += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True


class Server:
    """One connection to an application under uvicorn."""

    def __init__(self, app: Any, *, deflate: bool = False, **options: Any) -> None:
        config = uvicorn.Config(
            app, http=BoundedHTTP, ws=DirectWebSocket, lifespan="off", log_config=None, **options
        )
        config.load()
        self.state = ServerState()
        self.state.default_headers = [(b"server", b"of the test")]
        self.transport = Transport()
        factories = [ClientPerMessageDeflateFactory()] if deflate else None
        self.client = ClientProtocol(parse_uri("ws://localhost/ws/a?x=1"), extensions=factories)
        http = BoundedHTTP(config=config, server_state=self.state, app_state={})
        self.transport.set_protocol(http)
        http.connection_made(self.transport)

    @property
    def protocol(self) -> Any:
        return self.transport.get_protocol()

    def shake_hands(self, **headers: str) -> None:
        request = self.client.connect()
        for name, value in headers.items():
            request.headers[name.replace("_", "-")] = value
        self.client.send_request(request)
        self.receive(b"".join(self.client.data_to_send()))

    def receive(self, data: bytes) -> None:
        self.protocol.data_received(data)

    def send(self, text: str) -> None:
        self.client.send_text(text.encode())
        self.receive(b"".join(self.client.data_to_send()))

    async def settle(self) -> None:
        for _ in range(10):
            await asyncio.sleep(0)

    def events(self) -> list[Any]:
        """Let the client read what was written."""
        data, self.transport.written = self.transport.written, b""
        self.client.receive_data(data)
        return list(self.client.events_received())

    def response(self) -> Response:
        (response,) = self.events()
        assert isinstance(response, Response)
        return response


class Taker:
    """An application that takes the socket, and ends when it is told to."""

    def __init__(self, subprotocol: str | None = None) -> None:
        self.go_on = asyncio.Event()
        self.link: Any = None
        self.scope: Any = None
        self._subprotocol = subprotocol

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert (await receive())["type"] == "websocket.connect"
        self.scope = dict(scope)
        self.link = scope["extensions"][SOCKET](Link, self._subprotocol)
        await self.go_on.wait()
        with contextlib.suppress(OSError):  # ClientDisconnected
            await send({"type": "websocket.send", "text": "not this way"})


@pytest.fixture
async def taker() -> AsyncIterator[Taker]:
    taker = Taker()
    yield taker
    taker.go_on.set()
    await asyncio.sleep(0)


class TestTakingOver:
    async def test_the_link_has_the_socket_and_nobody_else(self, taker):
        server = Server(taker)
        server.shake_hands()
        await server.settle()
        assert server.protocol is taker.link
        assert server.state.connections == {taker.link}
        assert taker.link.window_bits is None
        assert server.response().status_code == 101
        server.send("hi")
        assert len(taker.link.received) == 2 + 4 + 2  # as it was sent

    async def test_the_end_of_the_applications_task_does_not_close_it(self, taker, caplog):
        server = Server(taker)
        server.shake_hands()
        await server.settle()
        taker.go_on.set()
        with caplog.at_level(logging.WARNING):
            await asyncio.gather(*server.state.tasks)
            await server.settle()
        assert (server.transport.closed, taker.link.lost) == (False, False)
        assert server.state.tasks == set()
        assert b"not this way" not in server.transport.written
        assert caplog.records == []

    async def test_an_application_that_fails_afterwards_is_logged_and_closed(self, caplog):
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            scope["extensions"][SOCKET](Link, None)
            raise ValueError("of the application")

        server = Server(app)
        server.shake_hands()
        with caplog.at_level(logging.ERROR):
            await server.settle()
        assert server.transport.closed
        assert "of the application" in caplog.text
        assert server.response().status_code == 101

    async def test_nothing_of_the_handshake_is_kept(self, taker):
        def left() -> list[str]:
            kinds = (DirectWebSocket, BoundedHTTP, Opening, WebSocketsSansIOProtocol, asyncio.Task)
            alive = [each for each in gc.get_objects() if isinstance(each, kinds)]
            return [type(each).__name__ for each in alive if each is not asyncio.current_task()]

        gc.collect()
        before = left()
        gc.disable()
        try:
            server = Server(taker)
            server.shake_hands(authorization="Bearer secret")
            await server.settle()
            taker.go_on.set()
            await server.settle()
            taker.scope = None
            assert server.state.connections == {taker.link}
            assert left() == before
        finally:
            gc.enable()

    async def test_the_scope_is_as_uvicorns(self, taker):
        server = Server(taker, root_path="/root")
        server.shake_hands(origin="https://example.org", x_empty="")
        await server.settle()
        scope = taker.scope
        assert (scope["type"], scope["scheme"], scope["http_version"]) == ("websocket", "ws", "1.1")
        assert (scope["path"], scope["root_path"], scope["query_string"]) == ("/root/ws/a", "/root", b"x=1")
        assert (scope["client"], scope["server"]) == (("127.0.0.1", 5000), ("127.0.0.1", 8000))
        assert (b"origin", b"https://example.org") in scope["headers"]
        assert (b"x-empty", b"") in scope["headers"]
        assert scope["subprotocols"] == []

    async def test_the_answer_has_the_subprotocol_and_the_default_headers(self):
        taker = Taker(subprotocol="hubbub")
        server = Server(taker)
        server.shake_hands(sec_websocket_protocol="other, hubbub")
        await server.settle()
        assert taker.scope["subprotocols"] == ["other", "hubbub"]
        assert b"sec-websocket-protocol: hubbub\r\n" in server.transport.written.lower()
        assert b"server: of the test\r\n" in server.transport.written
        taker.go_on.set()
        await server.settle()

    @pytest.mark.parametrize("is_on", [True, False])
    async def test_compression_is_agreed_on_where_it_is_on(self, taker, is_on):
        server = Server(taker, deflate=True, ws_per_message_deflate=is_on)
        server.shake_hands()
        await server.settle()
        answer = server.response().headers.get("Sec-WebSocket-Extensions", "")
        assert taker.link.window_bits == (12 if is_on else None)
        assert ("server_no_context_takeover" in answer) == is_on
        assert ("client_no_context_takeover" in answer) == is_on

    async def test_what_comes_too_early_is_kept_for_the_link(self):
        ready = asyncio.Event()
        links: list[Link] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await ready.wait()
            links.append(scope["extensions"][SOCKET](Link, None))

        server = Server(app)
        server.shake_hands()
        server.receive(b"early, ")
        server.receive(b"earlier")
        ready.set()
        await server.settle()
        server.receive(b", and now")
        assert links[0].received == b"early, earlier, and now"

    async def test_too_much_that_comes_too_early_closes_it(self):
        ready = asyncio.Event()
        offers: list[Any] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await ready.wait()
            offers.append(scope["extensions"][SOCKET](Link, None))

        server = Server(app)
        server.shake_hands()
        server.receive(b"x" * EARLY_BYTES)
        assert not server.transport.closed
        server.receive(b"x")
        assert server.transport.closed
        ready.set()
        await server.settle()
        assert offers == [None]
        assert server.state.connections == set()

    async def test_one_that_is_lost_before(self):
        ready = asyncio.Event()
        seen: list[Any] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            assert (await receive())["type"] == "websocket.connect"
            await ready.wait()
            seen.append(scope["extensions"][SOCKET](Link, None))
            seen.append(await receive())

        server = Server(app)
        server.shake_hands()
        await server.settle()
        server.protocol.connection_lost(None)
        ready.set()
        await server.settle()
        assert seen == [None, {"type": "websocket.disconnect", "code": 1006}]
        assert (server.state.connections, server.state.tasks) == (set(), set())
        assert server.transport.written == b""

    async def test_shutdown_before(self):
        ready = asyncio.Event()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await ready.wait()
            assert scope["extensions"][SOCKET](Link, None) is None

        server = Server(app)
        server.shake_hands()
        await server.settle()
        server.protocol.shutdown()
        assert server.transport.closed
        ready.set()
        await server.settle()


class TestTheOrdinaryWay:
    """Whoever does not take the socket gets a WebSocket as from uvicorn."""

    async def test_both_ways(self):
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            assert (await receive())["type"] == "websocket.connect"
            await send({"type": "websocket.accept"})
            while (message := await receive())["type"] == "websocket.receive":
                await send({"type": "websocket.send", "text": message["text"] * 2})

        server = Server(app, ws_per_message_deflate=False)
        server.shake_hands()
        await server.settle()
        assert server.response().status_code == 101
        assert isinstance(server.protocol, KeepaliveWebSocket)
        assert server.state.connections == {server.protocol}
        for text in ("one", "two"):
            server.send(text)
            await server.settle()
            assert [frame.data for frame in server.events()] == [text.encode() * 2]
        server.client.send_close(1000)
        server.receive(b"".join(server.client.data_to_send()))
        await server.settle()
        assert server.transport.closed
        await server.settle()
        assert (server.state.connections, server.state.tasks) == (set(), set())

    async def test_what_came_early_is_received(self):
        ready = asyncio.Event()
        received: list[str] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            await ready.wait()
            await send({"type": "websocket.accept"})
            received.append((await receive())["text"])
            await ready.wait()

        server = Server(app)
        server.shake_hands()
        server.receive(Frame(1, b"early").serialize(mask=True))
        ready.set()
        await server.settle()
        assert received == ["early"]

    async def test_nothing_follows_a_close(self):
        """RFC 6455 section 5.5.1 forbids only data frames; the contract says: nothing."""

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.close", "code": 4008, "reason": "Too slow"})
            while (await receive())["type"] != "websocket.disconnect":
                pass

        server = Server(app)
        server.shake_hands()
        await server.settle()
        response, close = server.events()
        assert (response.status_code, close.opcode) == (101, 8)
        server.receive(Frame(9, b"ping").serialize(mask=True))
        assert server.transport.written == b""
        server.receive(Frame(8, b"\x0f\xa8").serialize(mask=True))
        await server.settle()
        assert server.transport.closed

    async def test_refused(self):
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            await send({"type": "websocket.close", "code": 4003, "reason": "no"})

        server = Server(app)
        server.shake_hands()
        await server.settle()
        assert server.response().status_code == 403
        assert server.transport.closed

    @pytest.mark.parametrize("fails", [True, False])
    async def test_an_application_that_does_not_answer(self, fails, caplog):
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            if fails:
                raise ValueError("of the application")

        server = Server(app)
        server.shake_hands()
        with caplog.at_level(logging.ERROR):
            await server.settle()
        assert server.response().status_code == 500
        assert ("of the application" if fails else "without completing handshake") in caplog.text
        assert server.transport.closed

    @pytest.mark.parametrize("headers", [{"sec_websocket_version": "12"}, {"sec_websocket_key": "c2hvcnQ="}])
    async def test_a_handshake_that_is_wrong_is_told_so(self, taker, headers):
        server = Server(taker)
        request = server.client.connect()
        for name, value in headers.items():
            del request.headers[name.replace("_", "-")]
            request.headers[name.replace("_", "-")] = value
        server.receive(request.serialize())
        await server.settle()
        assert server.transport.written.startswith(b"HTTP/1.1 400 ")
        assert taker.link is None
        assert server.transport.closed
