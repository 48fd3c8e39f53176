"""A WebSocket protocol for uvicorn that gives its socket away: to Hubbub, or to uvicorn's own.

It reads the opening handshake and calls the application with an offer in the scope. Hubbub's endpoint takes it, and a
link stands in the place of this object: nothing else was made for the connection. Any other endpoint gets a WebSocket
as from uvicorn, whose protocol is made when it is first needed; so is one for a handshake that is unusual or wrong.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, cast

from starlette.types import Message
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.utils import ClientDisconnected, get_local_addr, get_remote_addr, is_ssl
from uvicorn.server import ServerState

from hubbub.authentication.redaction import redact
from hubbub.endpoints.direct import Link
from hubbub.endpoints.websocket import SOCKET
from hubbub.uvicorn.keepalive import KeepaliveWebSocket
from hubbub.uvicorn.negotiation import negotiate
from hubbub.uvicorn.opening import Opening, read_opening

EARLY_BYTES = 65_536
"""What a client may send before its handshake is answered; RFC 6455 section 4.1 tells it to wait."""

logger = logging.getLogger(__name__)


class DirectWebSocket(asyncio.Protocol):
    """One connection, from its upgrade until somebody has its socket.

    Args:
        config: uvicorn's.
        server_state: its connections and tasks.
        app_state: what the lifespan left for requests.
    """

    __slots__ = (
        "_app_state",
        "_client",
        "_config",
        "_connected",
        "_early",
        "_gone",
        "_head",
        "_opening",
        "_ordinary",
        "_server",
        "_state",
        "_task",
        "_transport",
    )

    _transport: asyncio.Transport

    def __init__(self, config: Config, server_state: ServerState, app_state: dict[str, Any]) -> None:
        self._config = config
        self._state = server_state
        self._app_state = app_state
        self._head = b""
        self._opening: Opening | None = None
        self._early = b""
        self._task: asyncio.Task[None] | None = None
        self._connected = False
        """Whether the application was told of the connection."""
        self._gone = False
        """Whether the socket was given to a link, or is lost."""
        self._ordinary: KeepaliveWebSocket | None = None

    # What uvicorn and the transport call.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Stand beside the HTTP protocol, which hands the request's head on and then makes room."""
        self._transport = transport
        self._state.connections.add(self)  # type: ignore[arg-type]  # uvicorn lists its own classes
        http = transport.get_protocol()
        if isinstance(http, HttpToolsProtocol):
            # It and its parser hold each other: several KiB for each connection, until the collector came by.
            del http.parser
            self._server, self._client = http.server, http.client
        else:
            self._server, self._client = get_local_addr(transport), get_remote_addr(transport)

    def data_received(self, data: bytes) -> None:
        """Read the head, and keep what comes before the handshake is answered."""
        if self._ordinary is not None:
            self._ordinary.data_received(data)
        elif not self._head:
            self._head = data
            self._begin()
        elif not self._gone:
            self._early += data
            if len(self._early) > EARLY_BYTES:
                self._refuse(b"400 Bad Request")

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the application, in whatever way it learns of it."""
        self._state.connections.discard(self)
        self._gone = True
        if self._ordinary is not None:
            self._ordinary.connection_lost(exc)

    def shutdown(self) -> None:
        """Give up a handshake that was not answered yet; uvicorn calls this when it stops."""
        self._refuse(b"503 Service Unavailable")

    # What the application calls.

    def take_over(self, make_link: Callable[[int | None], Link], subprotocol: str | None) -> Link | None:
        """Accept the connection and hand its socket to a link.

        Args:
            make_link: makes it, for the window that permessage-deflate agreed on.
            subprotocol: which one of the client's is spoken.

        Returns:
            The link; `None` where the socket cannot be given away any more, and ASGI is the way to go on.

        Raises:
            ClientDisconnected: there is no socket any more.
        """
        opening = self._opening
        if opening is None or self._ordinary is not None:
            return None
        if self._gone or self._transport.is_closing():
            raise ClientDisconnected
        extensions, window_bits = (
            negotiate(opening.offers)
            if self._config.ws_per_message_deflate and opening.offers
            else (None, None)
        )
        self._gone = True
        if logger.isEnabledFor(logging.DEBUG):
            logger.debug("%s is accepted", redact(opening.target.decode()))
        self._state.connections.discard(self)
        link = make_link(window_bits)
        link.taken(self._transport, self._state.connections)
        # Through the link, so that it leaves in one write with what the session is told first.
        link.write(opening.answer(self._state.default_headers, subprotocol, extensions))
        if self._early:
            link.data_received(self._early)
        return link

    async def receive(self) -> Message:
        """Be the `receive` of an application that does not take the socket."""
        if not self._connected:
            self._connected = True
            return {"type": "websocket.connect"}
        if self._gone:
            return {"type": "websocket.disconnect", "code": 1006}
        return cast("Message", await self._stand_aside().receive())

    async def send(self, message: Message) -> None:
        """Be the `send` of an application that does not take the socket."""
        if self._gone:
            raise ClientDisconnected
        event: Any = message
        await self._stand_aside().send(event)

    # The rest.

    def _begin(self) -> None:
        opening = self._opening = read_opening(self._head)
        if opening is None:
            self._stand_aside()
            return
        app: Any = self._config.loaded_app
        # Not by the loop's factory: an eager one would run it before uvicorn has put this object in its place.
        self._task = asyncio.Task(
            app(self._scope(opening), self.receive, self.send), loop=asyncio.get_running_loop()
        )
        self._state.tasks.add(self._task)
        self._task.add_done_callback(self._ended)

    def _scope(self, opening: Opening) -> dict[str, Any]:
        transport, root_path = self._transport, self._config.root_path
        return {
            "type": "websocket",
            "asgi": {"version": self._config.asgi_version, "spec_version": "2.4"},
            "http_version": "1.1",
            "scheme": "wss" if is_ssl(transport) else "ws",
            "server": self._server,
            "client": self._client,
            "root_path": root_path,
            "path": root_path + opening.path,
            "raw_path": root_path.encode("ascii") + opening.raw_path,
            "query_string": opening.query_string,
            "headers": opening.headers,
            "subprotocols": opening.subprotocols,
            "state": self._app_state.copy(),
            "extensions": {"websocket.http.response": {}, SOCKET: self.take_over},
        }

    def _stand_aside(self) -> KeepaliveWebSocket:
        """Make uvicorn's protocol, in whose hands the connection is from here on."""
        ordinary = self._ordinary
        if ordinary is None:
            ordinary = self._ordinary = KeepaliveWebSocket(self._config, self._state, self._app_state)
            self._state.connections.discard(self)
            # Before the application can write so much that the transport says so.
            if self._task is not None:
                ordinary.app = self._running
                self._transport.set_protocol(ordinary)
            else:  # the HTTP protocol is about to put this object in its place
                asyncio.get_running_loop().call_soon(self._make_room, ordinary)
            ordinary.connection_made(self._transport)
            ordinary.data_received(self._head)
            if not ordinary.handshake_initiated:  # it could not read the head, and said nothing
                self._refuse(b"400 Bad Request")
            if self._task is not None and not ordinary.queue.empty():
                ordinary.queue.get_nowait()  # the application was told of the connection
            if self._early:
                ordinary.data_received(self._early)
            self._head = self._early = b""
        return ordinary

    def _make_room(self, ordinary: KeepaliveWebSocket) -> None:
        if not self._transport.is_closing():
            self._transport.set_protocol(ordinary)

    async def _running(self, *_: Any) -> None:
        """Stand for the application in uvicorn's protocol: it runs already, and raises what it raises there."""
        if self._task is not None:
            await asyncio.shield(self._task)

    def _refuse(self, status: bytes) -> None:
        """Answer the handshake in the application's stead, and close."""
        self._gone = True
        self._transport.write(b"HTTP/1.1 %s\r\ncontent-length: 0\r\nconnection: close\r\n\r\n" % status)
        self._transport.close()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._state.tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if self._ordinary is not None:
            return
        if self._gone:
            if task.cancelled():
                self._transport.close()
            elif error is not None and not isinstance(error, ClientDisconnected):
                logger.error("Exception in ASGI application", exc_info=error)
                self._transport.close()
        elif task.cancelled():
            self._refuse(b"500 Internal Server Error")
        else:  # it neither took the socket nor answered: uvicorn's protocol says so, and logs why
            self._stand_aside()
