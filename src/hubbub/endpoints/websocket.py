"""The WebSocket edge: a plain ASGI endpoint that turns a connection into a session, and reads from it where nobody else does."""

import logging
from collections.abc import Callable

from starlette.types import Message, Receive, Scope, Send

from hubbub.authentication.credentials import selected_subprotocol
from hubbub.codes import CloseCode, ErrorCode
from hubbub.endpoints.admission import Admission, AutoJoin, Disconnected, Turned, no_binary
from hubbub.endpoints.connection import QueuedConnection
from hubbub.endpoints.direct import Link
from hubbub.endpoints.direct_encodings import DirectEncodings
from hubbub.endpoints.encoding import Dialect
from hubbub.endpoints.queued import TextEncoding, Writers
from hubbub.exceptions import Forbidden
from hubbub.hub.commands import Subscribe
from hubbub.hub.node import Node
from hubbub.hub.replies import Failed

logger = logging.getLogger(__name__)


SOCKET = "hubbub.socket"
"""The key among a scope's extensions of a web server's offer to accept a connection and hand its socket over: a
callable that takes what makes the link, and the subprotocol."""


class Encodings:
    """The encodings of a dialect, one for each way out.

    Args:
        dialect: the wire format.
    """

    def __init__(self, dialect: Dialect) -> None:
        self.queued = TextEncoding(dialect)
        self.direct = DirectEncodings(dialect)


class WebSocketEndpoint:
    """One path's connections.

    Args:
        node: called for the running node.
        admission: turns connections into sessions.
        encodings: the wire format.
        writers: runs the queued outlets' writers.
        auto_join: what this path subscribes to.
    """

    def __init__(
        self,
        node: Callable[[], Node],
        admission: Admission,
        encodings: Encodings,
        writers: Writers,
        auto_join: AutoJoin,
    ) -> None:
        self._node = node
        self._admission = admission
        self._encodings = encodings
        self._writers = writers
        self._auto_join = auto_join

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection: to its end, or until its socket has been taken over."""
        node = self._node()
        if (await receive())["type"] != "websocket.connect":
            return
        await self._admission.pace.step()
        try:
            self._admission.doorkeeper.check_origin(scope["headers"])
        except Forbidden as error:
            logger.warning("A handshake was refused: %s", error)
            node.statistics.count(node.statistics.refused_connections, error.code.value)
            await send({"type": "websocket.close", "code": CloseCode.FORBIDDEN, "reason": error.message})
            return
        subprotocol, join = selected_subprotocol(scope["subprotocols"]), self._auto_join(scope)
        offer = (scope.get("extensions") or {}).get(SOCKET)
        link = None if offer is None else offer(self._link, subprotocol)
        if link is not None:
            node.statistics.outlet = "direct"
            await self._admission.admit(node, link, scope, join)
        else:
            node.statistics.outlet = "queued"
            await send({"type": "websocket.accept", "subprotocol": subprotocol})
            connection = Connection(node, self._encodings.queued, self._writers, receive, send)
            await connection.run(self._admission, scope, join)

    def _link(self, window_bits: int | None) -> Link:
        """Make what takes a socket over, for the window that permessage-deflate agreed on."""
        return Link(self._node(), self._encodings.direct.agreed(window_bits), inflate=window_bits is not None)


class Connection(QueuedConnection):
    """One accepted WebSocket on any ASGI server."""

    __slots__ = ("encoding",)

    transport = "websocket"

    def __init__(
        self, node: Node, encoding: TextEncoding, writers: Writers, receive: Receive, send: Send
    ) -> None:
        super().__init__(node, writers, receive, send)
        self.encoding = encoding

    async def run(self, admission: Admission, scope: Scope, join: Subscribe | None) -> None:
        """Be admitted, then read until the client is gone."""
        await self.live(admission.admit(self._node, self, scope, join))

    async def first_text(self) -> str:
        """Wait for the first message."""
        return self._text(await self._receive())

    async def serve(self) -> None:
        """Read until the end."""
        session = self._session
        while session is not None:
            message = await self._receive()
            if message["type"] == "websocket.disconnect":
                self._clean = said_goodbye(message)
                return
            if session.slow and not session.closed:
                await self.until_proceeding()
            if session.closed:
                continue
            try:
                text = self._text(message)
            except Turned as turned:
                session.send(Failed(code=turned.error, message=str(turned)))
                self._node.connections.close(session, turned.code, turned.reason)
                continue
            await self._node.dispatcher.handle(session, text)

    async def turn_away(self, turned: Turned) -> None:
        """Say why, and close."""
        self.write(self.encoding.reply(turned.words()))
        self.close(turned.code, turned.reason)
        await self.drain(timeout=1.0)

    def _text(self, message: Message) -> str:
        if message["type"] == "websocket.disconnect":
            raise Disconnected
        text = message.get("text")
        if text is None:
            raise no_binary()
        bound = self._node.limits.message_bytes
        if bound and len(text) * 4 > bound and (size := len(text.encode(errors="surrogatepass"))) > bound:
            raise Turned(
                ErrorCode.TOO_LARGE,
                f"The frame has {size} bytes; at most {bound} are taken.",
                CloseCode.MESSAGE_TOO_BIG,
                "Message too big",
            )
        return str(text)


def said_goodbye(message: Message) -> bool:
    """Whether a disconnect was the client's own wish: a Close frame with 1000, or with no code.

    A lost connection is 1006, or on some servers 1005 without a reason; 1001 is a page that is reloaded as often
    as it is left, so it gets the same grace.
    """
    code = message.get("code", 1005)
    return code == CloseCode.NORMAL or (code == 1005 and "reason" in message)
