"""The direct outlet: a connection whose socket was taken over from the web server after the handshake.

Commands are carried out as bytes arrive, ready frames are written straight to the transport. There is no task, no
queue and no ASGI message for a connection: this object, a reader without a buffer, and the transport are all of it.
"""

import asyncio
from typing import TYPE_CHECKING, Any

from hubbub.codes import CloseCode, ErrorCode
from hubbub.endpoints.admission import Disconnected, Turned, no_binary
from hubbub.endpoints.direct_encodings import TextFrames
from hubbub.hub.draining import RESTARTING
from hubbub.hub.node import Node
from hubbub.hub.outlet import Listener, Pulse
from hubbub.hub.replies import Failed
from hubbub.hub.session import Session
from hubbub.websocket.frames import close_frame, ping_frame, pong_frame
from hubbub.websocket.messages import Close, Message, Ping, ProtocolViolation, Violation
from hubbub.websocket.reader import FrameReader

if TYPE_CHECKING:
    from collections.abc import MutableSet

MESSAGES_AT_ONCE = 128
"""Of one connection, before others have their turn: a chunk may hold thousands."""
LINGER = 1.0
"""Seconds a peer has to answer a Close."""

PING = ping_frame()

VIOLATIONS = {
    Violation.PROTOCOL_ERROR: (ErrorCode.BAD_REQUEST, CloseCode.PROTOCOL_ERROR),
    Violation.INVALID_DATA: (ErrorCode.BAD_REQUEST, CloseCode.INVALID_TEXT),
    Violation.TOO_BIG: (ErrorCode.TOO_LARGE, CloseCode.MESSAGE_TOO_BIG),
}
"""What a client is told whose frames cannot be read on."""


class Link(asyncio.Protocol):
    """One WebSocket: the protocol of its transport, and the outlet of its session.

    Args:
        node: whose session it carries.
        encoding: the wire format.
        inflate: whether its peer may compress.
    """

    __slots__ = (
        "_alive",
        "_asked",
        "_busy",
        "_closing",
        "_gathered",
        "_listener",
        "_node",
        "_paused",
        "_peers",
        "_reader",
        "_said_goodbye",
        "_session",
        "_transport",
        "_waiting",
        "_wanted",
        "encoding",
    )

    _transport: asyncio.Transport

    transport = "websocket"

    def __init__(self, node: Node, encoding: TextFrames, *, inflate: bool) -> None:
        self.encoding = encoding
        self._node = node
        self._reader = FrameReader(node.limits.message_bytes, inflate=inflate)
        self._peers: MutableSet[Any] | None = None
        """The web server's connections, for which its shutdown waits."""
        self._session: Session | None = None
        self._listener: Listener | None = None
        self._wanted: asyncio.Future[str] | None = None
        """Who waits for the first message, which says who this is."""
        self._gathered: list[bytes] | None = None
        """What is sent at the end of this turn."""
        self._busy = True
        """Whether what comes is not read now: nobody was admitted yet, or a command is being carried out."""
        self._paused = False
        """Whether the transport was asked to read no more."""
        self._closing = False
        """Whether a Close frame was sent, or the socket is gone; nothing is written any more."""
        self._said_goodbye = False
        self._alive = True
        self._asked = False
        self._waiting: int | None = None
        """Bytes that waited at the last pulse; `None` when it was not congested."""

    # What the transport calls.

    def taken(self, transport: asyncio.Transport, peers: "MutableSet[Any]") -> None:
        """Begin, in the place of the protocol that shook hands."""
        self._transport = transport
        self._peers = peers
        peers.add(self)
        transport.set_protocol(self)

    def data_received(self, data: bytes) -> None:
        """Carry out what a client asks for."""
        self._alive = True
        self._reader.feed(data)
        if not self._holds_back:
            self._read()
        else:  # what has come is kept
            self._take_no_more()

    def pause_writing(self) -> None:
        """Take the session out of the fast set."""
        self._waiting = -1
        if self._listener is not None:
            self._listener.pause()

    def resume_writing(self) -> None:
        """Have the session brought up to date."""
        self._waiting = None
        self._alive = True
        if self._listener is not None:
            self._listener.resume()
        else:
            self.proceed()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the session in this very step, so that nothing is written to a socket that is gone."""
        self._closing = True
        self._gathered = None
        if self._peers is not None:
            self._peers.discard(self)
            self._peers = None
        if self._wanted is not None and not self._wanted.done():
            self._wanted.set_exception(Disconnected())
        session, self._session, self._listener = self._session, None, None
        if session is not None:
            self._node.end(session, clean=self._said_goodbye)

    def shutdown(self) -> None:
        """Be sent away with the others; uvicorn calls this for each connection when it stops, and waits until they are gone.

        `hubbub serve` has drained before that: who is still here was closed.
        """
        if self._session is None:
            self.close(CloseCode.SERVICE_RESTART, RESTARTING)
            self._transport.close()
        else:
            self._node.draining.begin()

    # What admission calls.

    async def first_text(self) -> str:
        """Wait for the first message.

        Raises:
            Disconnected: the client went away instead.
        """
        if self._closing:
            raise Disconnected
        self._wanted = asyncio.get_running_loop().create_future()
        self._go_on()
        try:
            return await self._wanted
        finally:
            self._wanted = None
            self._busy = True

    def carries(self, session: Session) -> None:
        """Name the session that ends with this connection.

        Raises:
            Disconnected: it is lost already.
        """
        if self._closing:
            raise Disconnected
        self._session = session

    async def serve(self) -> None:
        """Carry out what comes from now on; this returns at once."""
        # Not from within the task that admitted it, which ends: what commands wait for must not hang on that.
        asyncio.get_running_loop().call_soon(self._serve)

    def _serve(self) -> None:
        if self._peers is not None:
            self._go_on()

    async def turn_away(self, turned: Turned) -> None:
        """Say why, and close."""
        session, self._session, self._listener = self._session, None, None
        if session is not None:
            self._node.end(session, clean=True)
        if not self._closing:
            self.write(self.encoding.reply(turned.words()))
            self.close(turned.code, turned.reason)
            self._node.wheel.after(LINGER, self.abort)
            await self.serve()

    # The outlet of its session.

    def attach(self, listener: Listener) -> None:
        """Name the one who is told about congestion."""
        self._listener = listener
        if self._waiting is not None:
            listener.pause()

    def write(self, frame: bytes) -> None:
        """Send a frame with the others of this turn."""
        if self._gathered is not None:
            self._gathered.append(frame)
        elif not self._closing:
            self._gathered = [frame]
            self._node.turn.put_off_outlet(self)

    @property
    def write_through(self) -> Any:
        """The transport's own `write`: sends a frame now."""
        return self._transport.write

    def flush(self) -> None:
        """Send what was gathered."""
        gathered, self._gathered = self._gathered, None
        if gathered is not None:
            self._transport.write(gathered[0] if len(gathered) == 1 else b"".join(gathered))

    def proceed(self) -> None:
        """Go on reading: the session is no longer slow, or it is over and its peer answers the Close."""
        if not self._busy and self._peers is not None:
            self._go_on()

    def pulse(self) -> Pulse:
        """Say how the peer has been since the last time, and ask it for a sign of life."""
        before, waiting = self._waiting, None
        if before is not None:
            waiting = self._transport.get_write_buffer_size()
            self._waiting = waiting
            if 0 < before <= waiting:
                return Pulse.STUCK
            self._alive = True  # it takes what lies before the question, be it slowly
        # Of one that is not read from nothing can be heard.
        if self._asked and not self._alive and not self._paused:
            return Pulse.SILENT
        self._alive, self._asked = False, True
        self.write(PING)
        return Pulse.WELL

    def close(self, code: int, reason: str) -> None:
        """Send a Close frame behind everything else; nothing follows it."""
        if not self._closing:
            self.flush()
            self._closing = True
            self._transport.write(close_frame(code, reason))

    def abort(self) -> None:
        """End the connection; what the peer does not take is given up."""
        self._closing = True
        self._gathered = None
        if self._peers is not None:
            if self._transport.get_write_buffer_size():
                self._transport.abort()
            else:
                self._transport.close()

    # Reading.

    @property
    def _holds_back(self) -> bool:
        """Whether what has come waits: for a command to be carried out, or for a slow session to catch up.

        Before there is a session the answers to pings could pile up, where nobody reads them.
        """
        session = self._session
        if session is None:
            return self._busy or (self._waiting is not None and not self._closing)
        return self._busy or (session.slow and not session.closed)

    def _go_on(self) -> None:
        if self._peers is not None:  # of a client that has gone the rest is not carried out
            self._busy = False
            self._read()

    def _read(self) -> None:
        reader = self._reader
        try:
            for _ in range(MESSAGES_AT_ONCE):
                if self._holds_back:
                    return
                message = reader.read()
                if message is None:
                    self._take_more()
                    return
                if type(message) is str:
                    self._take(message)
                else:
                    self._take_other(message)
        except ProtocolViolation as violation:
            self._refuse(violation)
            return
        if not self._holds_back:
            self._busy = True
            self._take_no_more()
            asyncio.get_running_loop().call_soon(self._go_on)

    def _take_more(self) -> None:
        if self._paused:
            self._paused = False
            self._alive = True  # while nothing was read from it, nothing could be heard
            self._transport.resume_reading()

    def _take_no_more(self) -> None:
        if not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def _take(self, text: str) -> None:
        session = self._session
        if session is None:
            if self._wanted is not None and not self._wanted.done():
                self._wanted.set_result(text)
                self._busy = True
            return
        if session.closed:
            return
        self._busy = True
        rest = self._node.perform(session, text)
        if rest is None:
            self._busy = False
        else:
            rest.add_done_callback(self._done)

    def _done(self, _: "asyncio.Task[Any]") -> None:
        self._go_on()

    def _take_other(self, message: Message) -> None:
        if isinstance(message, Ping):
            self.write(pong_frame(message.payload))
        elif isinstance(message, Close):
            self._goodbye(message)
        elif isinstance(message, bytes):
            self._end(no_binary())

    def _goodbye(self, close: Close) -> None:
        # RFC 6455 section 5.5.1: the answer usually repeats the code. After that the server closes the socket.
        self._said_goodbye = close.code in {None, CloseCode.NORMAL}
        session, self._session, self._listener = self._session, None, None
        if session is not None:
            self._node.end(session, clean=self._said_goodbye)
        if self._wanted is not None and not self._wanted.done():
            self._wanted.set_exception(Disconnected())
        if not self._closing:
            self.flush()
            self._closing = True
            self._transport.write(close_frame(close.code))
        self._transport.close()
        if self._transport.get_write_buffer_size():
            self._node.wheel.after(LINGER, self.abort)

    def _refuse(self, violation: ProtocolViolation) -> None:
        error, code = VIOLATIONS[violation.code]
        self._end(Turned(error, violation.reason, code, violation.reason))

    def _end(self, turned: Turned) -> None:
        session = self._session
        if session is not None:
            if not session.closed:
                session.send(Failed(code=turned.error, message=str(turned)))
                self._node.connections.close(session, turned.code, turned.reason)
        elif self._wanted is not None and not self._wanted.done():
            self._wanted.set_exception(turned)
            self._busy = True
