"""A handshake without a network: does this uvicorn hand its sockets over as `DirectWebSocket` expects?"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping, MutableSet
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from hubbub.endpoints.websocket import SOCKET
from hubbub.uvicorn.bounded_http import BoundedHTTP
from hubbub.uvicorn.direct import DirectWebSocket

REQUEST = (
    b"GET /rehearsal HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
ACCEPTED = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
"""The answer to that key (RFC 6455 section 1.3)."""


async def rehearse() -> str | None:
    """Let uvicorn's HTTP protocol read a handshake, and take its socket.

    Returns:
        What went wrong; `None` when everything is as it should be.
    """
    try:
        return await _rehearse()
    except Exception as error:  # noqa: BLE001 (whatever it is, the socket is not to be had)
        return f"{type(error).__name__}: {error}"


async def _rehearse() -> str | None:
    link = Stand()

    async def app(
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[Any]],
        send: Callable[[Any], Awaitable[None]],
    ) -> None:
        await receive()
        offer = scope["extensions"].get(SOCKET)
        if offer is not None:
            offer(lambda _: link, None)
        else:  # so that uvicorn has nothing to complain of
            await send({"type": "websocket.close"})

    config = uvicorn.Config(app, http=BoundedHTTP, ws=DirectWebSocket, lifespan="off", log_config=None)
    config.load()
    state, stage = ServerState(), Stage()
    http = BoundedHTTP(config=config, server_state=state, app_state={})
    stage.set_protocol(http)
    http.connection_made(stage)
    http.data_received(REQUEST)
    await asyncio.gather(*state.tasks)
    if link.transport is not stage or stage.get_protocol() is not link:
        return "uvicorn kept the socket"
    if ACCEPTED not in stage.written or not stage.written.endswith(b"\r\n\r\n"):
        return "the handshake was not answered as it should be"
    if stage.is_closing():
        return "uvicorn closed the socket that it had given away"
    return None


class Stand:
    """Stands for a link."""

    transport: asyncio.Transport | None = None

    def taken(self, transport: asyncio.Transport, peers: MutableSet[Any]) -> None:
        """Begin, in the place of the protocol that shook hands."""
        self.transport = transport
        protocol: Any = self
        transport.set_protocol(protocol)

    def write(self, frame: bytes) -> None:
        """Send at once."""
        if self.transport is not None:
            self.transport.write(frame)


class Stage(asyncio.Transport):
    """A transport that leads nowhere."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self._protocol: Any = None
        self._closing = False

    def set_protocol(self, protocol: Any) -> None:
        """Change who is told what comes."""
        self._protocol = protocol

    def get_protocol(self) -> Any:
        """Return who is told what comes."""
        return self._protocol

    def write(self, data: Any) -> None:
        """Keep what would be sent."""
        self.written += data

    def close(self) -> None:
        """Note that it was closed."""
        self._closing = True

    def is_closing(self) -> bool:
        """Tell whether it was closed."""
        return self._closing
