"""One connection to an application under uvicorn, without a network: its transport leads to the test."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn
from uvicorn.server import ServerState
from websockets.client import ClientProtocol
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.http11 import Response
from websockets.uri import parse_uri

from hubbub.endpoints.websocket import SOCKET
from hubbub.uvicorn import BoundedHTTP, DirectWebSocket

Scope = Any
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
"""RFC 6455 section 1.3."""

USUAL = {
    "Host": "localhost",
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": KEY,
}


def head(*lines: str, method: str = "GET", target: str = "/ws/a?x=1", **changed: str | None) -> bytes:
    """Write a handshake with more lines, and headers changed or, with `None`, left out."""
    fields = {**USUAL, **{name.replace("_", "-"): value for name, value in changed.items()}}
    held = [f"{name}: {value}" for name, value in fields.items() if value is not None]
    return "\r\n".join([f"{method} {target} HTTP/1.1", *held, *lines, "", ""]).encode("latin-1")


class Transport(asyncio.Transport):
    """Leads to the test."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 5000), "sockname": ("127.0.0.1", 8000)})
        self.written = b""
        self.closed = False
        self._protocol: Any = None

    def write(self, data: Any) -> None:
        assert not self.closed  # uvloop raises too
        self.written += data

    def get_write_buffer_size(self) -> int:
        return 0

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            asyncio.get_running_loop().call_soon(self._lost)

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

    def _lost(self) -> None:
        self._protocol.connection_lost(None)


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

    def write(self, frame: bytes) -> None:
        self.transport.write(frame)

    def data_received(self, data: bytes) -> None:
        self.received += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True


class Server:
    """One connection to an application under uvicorn."""

    def __init__(
        self, app: Any, *, deflate: bool = False, http: type[Any] = BoundedHTTP, **options: Any
    ) -> None:
        config = uvicorn.Config(
            app, **{"http": http, "ws": DirectWebSocket, "lifespan": "off", "log_config": None, **options}
        )
        config.load()
        self.state = ServerState()
        self.state.default_headers = [(b"server", b"of the test")]
        self.transport = Transport()
        factories = [ClientPerMessageDeflateFactory()] if deflate else None
        self.client = ClientProtocol(parse_uri("ws://localhost/ws/a?x=1"), extensions=factories)
        protocol = http(config=config, server_state=self.state, app_state={})
        self.transport.set_protocol(protocol)
        protocol.connection_made(self.transport)

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

    def say_goodbye(self, code: int = 1000) -> None:
        self.client.send_close(code)
        self.receive(b"".join(self.client.data_to_send()))

    def lose(self) -> None:
        """Lose the connection as when the peer is gone."""
        self.transport.closed = True
        self.protocol.connection_lost(ConnectionResetError())

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

    @property
    def status(self) -> int:
        """The status of what was written."""
        return int(self.transport.written.split()[1])

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left that uvicorn would wait for when it stops."""
        return not self.state.connections and not self.state.tasks


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
