"""The WebSocket edge: a plain ASGI endpoint that turns a connection into a session."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from hubbub.authentication.credentials import selected_subprotocol
from hubbub.codes import CloseCode, ErrorCode
from hubbub.endpoints.handshake import Doorkeeper
from hubbub.endpoints.queued import QueuedOutlet, TextEncoding, Writers
from hubbub.exceptions import (
    AuthenticationUnavailable,
    BadRequest,
    Forbidden,
    HookTimeout,
    InvalidToken,
    LimitExceeded,
    Refusal,
    SessionClosed,
)
from hubbub.hub import commands
from hubbub.hub.identity import Identity
from hubbub.hub.node import Node
from hubbub.hub.replies import Done, Failed
from hubbub.hub.session import Session

logger = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

AutoJoin = Callable[[Scope], commands.Subscribe | None]
"""Says what a connection to this path is subscribed to from the start."""


class Turned(Exception):
    """A connection that is told why and closed before it became a session."""

    def __init__(self, error: ErrorCode, message: str, code: CloseCode, reason: str) -> None:
        super().__init__(message)
        self.error = error
        self.code = code
        self.reason = reason


class WebSocketEndpoint:
    """One path's connections.

    Args:
        node: called for the running node.
        doorkeeper: finds out who comes in.
        encoding: the wire format.
        writers: runs the outlets' writers.
        auto_join: what this path subscribes to.
        auth_deadline: seconds to send an `auth` message in.
    """

    def __init__(
        self,
        node: Callable[[], Node],
        doorkeeper: Doorkeeper,
        encoding: TextEncoding,
        writers: Writers,
        auto_join: AutoJoin,
        auth_deadline: float,
    ) -> None:
        self._node = node
        self._doorkeeper = doorkeeper
        self._encoding = encoding
        self._writers = writers
        self._auto_join = auto_join
        self._auth_deadline = auth_deadline

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection, from its handshake to its end."""
        node, doorkeeper = self._node(), self._doorkeeper
        if (await receive())["type"] != "websocket.connect":
            return
        try:
            doorkeeper.check_origin(scope["headers"])
        except Forbidden as error:
            logger.warning("A handshake was refused: %s", error)
            node.statistics.count(node.statistics.refused_connections, error.code.value)
            await send({"type": "websocket.close", "code": CloseCode.FORBIDDEN, "reason": error.message})
            return
        await send({"type": "websocket.accept", "subprotocol": selected_subprotocol(scope["subprotocols"])})
        connection = Connection(node, self._encoding, self._writers, receive, send)
        await connection.serve(doorkeeper, scope, self._auto_join(scope), self._auth_deadline)


class Connection:
    """One accepted WebSocket, and the task that reads from it."""

    __slots__ = ("_aborted", "_encoding", "_node", "_outlet", "_receive", "_task")

    def __init__(
        self, node: Node, encoding: TextEncoding, writers: Writers, receive: Receive, send: Send
    ) -> None:
        self._node = node
        self._encoding = encoding
        self._receive = receive
        self._task = asyncio.current_task()
        self._aborted = False
        self._outlet = QueuedOutlet(send, self._interrupt, writers)

    async def serve(
        self, doorkeeper: Doorkeeper, scope: Scope, join: commands.Subscribe | None, deadline: float
    ) -> None:
        """Authenticate, then carry out what the client asks for until it is gone."""
        session: Session | None = None
        clean = False
        try:
            try:
                identity, ref = await self._identify(doorkeeper, scope, deadline)
                self._check_capacity()
                session = self._node.session(
                    identity, self._encoding, self._outlet, join.channel if join and join.as_room else None
                )
                await self._node.connections.open(session)
            except (SessionClosed, Disconnected):
                return
            except Exception as error:  # noqa: BLE001 (logged where it is not one of ours)
                await self._turn_away(turned(error))
                return
            if ref is not None:
                session.send(Done(ref=ref))
            if join is not None:
                await self._node.dispatcher.run(session, join)
            clean = await self._read(session)
        except asyncio.CancelledError:
            if not self._aborted or self._task is None:
                raise
            self._task.uncancel()
        finally:
            if session is not None:
                self._node.end(session, clean=clean)
            self._outlet.finish()

    def _check_capacity(self) -> None:
        try:
            self._node.connections.check_capacity()
        except LimitExceeded as error:
            raise Turned(error.code, error.message, CloseCode.TRY_AGAIN_LATER, "Server full") from error

    async def _identify(
        self, doorkeeper: Doorkeeper, scope: Scope, deadline: float
    ) -> tuple[Identity, commands.Ref]:
        """Find out who connects; with the `ref` of the message that said so."""
        self._check_capacity()
        identity = await doorkeeper.identify(scope["headers"], scope["query_string"], scope["subprotocols"])
        if identity is not None:
            return identity, None
        with self._node.connections.waiting():
            return await self._first_message(doorkeeper, deadline)

    async def _first_message(self, doorkeeper: Doorkeeper, deadline: float) -> tuple[Identity, commands.Ref]:
        try:
            async with asyncio.timeout(deadline):
                command = self._encoding.decode(self._text(await self._receive()))
        except TimeoutError:
            raise InvalidToken(f'No {{"type":"auth","token":…}} came within {deadline:g} s.') from None
        except BadRequest as error:
            raise InvalidToken(f"Say who you are first. {error.message}") from error
        if not isinstance(command, commands.Authenticate):
            raise InvalidToken('Say who you are first: {"type":"auth","token":"…"}.')
        return await doorkeeper.authenticate(command.token), command.ref

    async def _read(self, session: Session) -> bool:
        """Read until the end; return whether the client said goodbye."""
        while True:
            message = await self._receive()
            if message["type"] == "websocket.disconnect":
                return said_goodbye(message)
            await self._node.until_ready(session)
            if session.closed:
                continue
            try:
                text = self._text(message)
            except Turned as turned:
                session.send(Failed(code=turned.error, message=str(turned)))
                self._node.connections.close(session, turned.code, turned.reason)
                continue
            await self._node.dispatcher.handle(session, text)

    def _text(self, message: Message) -> str:
        if message["type"] == "websocket.disconnect":
            raise Disconnected
        text = message.get("text")
        if text is None:
            raise Turned(
                ErrorCode.BAD_REQUEST,
                "Send JSON in text frames; this dialect has no binary frames.",
                CloseCode.UNSUPPORTED_DATA,
                "Binary frames are not supported",
            )
        bound = self._node.limits.message_bytes
        if bound and len(text) * 4 > bound and (size := len(text.encode(errors="surrogatepass"))) > bound:
            raise Turned(
                ErrorCode.TOO_LARGE,
                f"The frame has {size} bytes; at most {bound} are taken.",
                CloseCode.MESSAGE_TOO_BIG,
                "Message too big",
            )
        return str(text)

    async def _turn_away(self, turned: Turned) -> None:
        statistics = self._node.statistics
        statistics.count(statistics.refused_connections, turned.error.value)
        self._outlet.write(self._encoding.reply(Failed(code=turned.error, message=str(turned))))
        self._outlet.close(turned.code, turned.reason)
        await self._outlet.drain(timeout=1.0)

    def _interrupt(self) -> None:
        if self._task is not None:
            self._aborted = True
            self._task.cancel()


class Disconnected(Exception):
    """The client went away before it was a session."""


def turned(error: Exception) -> Turned:
    """Say what a connection is told for which this was raised before it was a session."""
    match error:
        case Turned():
            return error
        case InvalidToken():
            return Turned(error.code, str(error), error.close_code, error.close_reason)
        case AuthenticationUnavailable() | HookTimeout():
            # Nothing is known about the token, so this is no reason to stay away.
            return Turned(error.code, str(error), CloseCode.TRY_AGAIN_LATER, "Tokens cannot be checked")
        case Forbidden():
            return Turned(error.code, error.message, CloseCode.FORBIDDEN, "Forbidden")
        case LimitExceeded():
            return Turned(error.code, error.message, CloseCode.POLICY_VIOLATION, "Too many connections")
        case Refusal():
            return Turned(error.code, error.message, CloseCode.POLICY_VIOLATION, "Not authenticated")
    logger.error("A connection could not be opened", exc_info=error)
    return Turned(
        ErrorCode.INTERNAL,
        "Something went wrong on the server.",
        CloseCode.INTERNAL_ERROR,
        "Internal error",
    )


def said_goodbye(message: Message) -> bool:
    """Whether a disconnect was the client's own wish: a Close frame with 1000, or with no code.

    A lost connection is 1006, or on some servers 1005 without a reason; 1001 is a page that is reloaded as often
    as it is left, so it gets the same grace.
    """
    code = message.get("code", 1005)
    return code == CloseCode.NORMAL or (code == 1005 and "reason" in message)
