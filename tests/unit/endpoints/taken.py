"""A socket that was taken over: its transport, and the client at the other end, without a network.

What the server writes is read by the `websockets` library, and what the client sends is written by it.
"""

import asyncio
import json
from asyncio.tasks import _enter_task, _leave_task  # type: ignore[attr-defined]
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from application import Application
from websockets.client import ClientProtocol
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from hubbub.endpoints.direct import Link
from hubbub.endpoints.websocket import SOCKET

DEADLINE = 5.0


@contextmanager
def no_task() -> Iterator[None]:
    """Call as the event loop does, from no task: else a deadline would cancel the test."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    if task is None:
        yield
        return
    _leave_task(loop, task)
    try:
        yield
    finally:
        _enter_task(loop, task)


class Transport(asyncio.Transport):
    """Keeps what is written until the client takes it, and calls its protocol as a real one does."""

    offences: ClassVar[list[str]] = []
    """What was done to transports that must not be; here, because who does it may catch the exception."""

    def __init__(self, bound: int = 65_536) -> None:
        super().__init__()
        self.calls: list[str] = []
        self.writes: list[bytes] = []
        self.taken = bytearray()
        self.waiting = bytearray()
        self.stalled = False
        self.reading = True
        self.lost = False
        self.aborted = False
        self._protocol: Any = None
        self._bound = bound
        self._paused = False
        self._closing = False
        self._hung_up = False
        self._unread: list[bytes] = []

    # What the server calls.

    def write(self, data: Any) -> None:
        assert isinstance(data, bytes)
        if self.lost:
            self.offences.append(f"written to a socket that is gone: {data!r}")
            raise RuntimeError("the handler is closed")  # as uvloop
        if self._hung_up:
            return
        if self._closing:
            self.offences.append(f"written to a socket that was closed: {data!r}")
            return
        self.writes.append(data)
        (self.waiting if self.stalled else self.taken).extend(data)
        if len(self.waiting) > self._bound and not self._paused:
            self._paused = True
            self._protocol.pause_writing()

    def get_write_buffer_size(self) -> int:
        return len(self.waiting)

    def pause_reading(self) -> None:
        self.calls.append("pause_reading")
        self.reading = False

    def resume_reading(self) -> None:
        self.calls.append("resume_reading")
        self.reading = True
        asyncio.get_running_loop().call_soon(self._deliver)

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        self.calls.append("close")
        if not self._closing:
            self._closing = True
            if not self.waiting:
                asyncio.get_running_loop().call_soon(self.lose)

    def abort(self) -> None:
        self.calls.append("abort")
        self._closing = self.aborted = True
        self.waiting.clear()
        asyncio.get_running_loop().call_soon(self.lose)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol

    # What the network does.

    def arrive(self, data: bytes) -> None:
        """Receive a chunk; it is kept while the server does not read."""
        self._unread.append(data)
        self._deliver()

    def take(self, number: int | None = None) -> None:
        """Let the client take so many bytes of what waits, or all and from now on everything."""
        if number is None:
            self.stalled, number = False, len(self.waiting)
        self.taken += self.waiting[:number]
        del self.waiting[:number]
        if self._paused and len(self.waiting) <= self._bound // 4 and not self.lost:
            self._paused = False
            self._protocol.resume_writing()
        if self._closing and not self.waiting:
            self.lose()

    def lose(self, error: Exception | None = None) -> None:
        """Lose the connection, in this very step."""
        if not self.lost:
            self._hung_up = self._closing = True  # what is written meanwhile is dropped by asyncio and uvloop
            self._protocol.connection_lost(error)
            self.lost = True

    def hang_up(self) -> None:
        """Find that the client has gone; the protocol is told a little later."""
        self._hung_up = self._closing = True
        asyncio.get_running_loop().call_soon(self.lose)

    def _deliver(self) -> None:
        while self._unread and self.reading and not self._closing:
            with no_task():
                self._protocol.data_received(self._unread.pop(0))


class Peer:
    """The client of a socket that was taken over."""

    def __init__(
        self,
        application: Application,
        path: str = "/ws",
        *,
        token: str | None = "ada",
        bound: int = 65_536,
        window_bits: int | None = None,
    ) -> None:
        self.application = application
        self.transport = Transport(bound)
        self.connections: set[Any] = set()
        self.link: Link | None = None
        self.pings = 0
        self.pongs: list[bytes] = []
        self.closed: tuple[int | None, str] | None = None
        self._window_bits = window_bits
        self._protocol = ClientProtocol(parse_uri("ws://testserver/"), state=State.OPEN)
        if window_bits is not None:
            factory = ClientPerMessageDeflateFactory(
                server_no_context_takeover=True, client_no_context_takeover=True
            )
            parameters: Any = [("server_no_context_takeover", None), ("client_no_context_takeover", None)]
            self._protocol.extensions = [factory.process_response_params(parameters, [])]
        self._read = 0
        self._scope = {
            "type": "websocket",
            "path": path,
            "headers": [] if token is None else [(b"authorization", b"Bearer " + token.encode())],
            "query_string": b"",
            "subprotocols": [],
            "extensions": {SOCKET: self._take_over},
        }
        self.admission: asyncio.Task[None] | None = None

    def connect(self) -> "Peer":
        """Begin the application's part: the handshake was answered."""

        async def receive() -> Any:
            return {"type": "websocket.connect"}

        async def send(message: Any) -> None:
            raise AssertionError(message)

        self.admission = asyncio.ensure_future(self.application.app(self._scope, receive, send))
        return self

    async def admitted(self, *kinds: str) -> "Peer":
        """Wait until the application's task has ended; `kinds` of messages are then passed over."""
        assert self.admission is not None
        async with asyncio.timeout(DEADLINE):
            await self.admission
        self.end_turn()
        assert (types := self.types()) == list(kinds), types
        return self

    def _take_over(self, make_link: Callable[[int | None], Link], *_: Any) -> Link:
        self.link = make_link(self._window_bits)
        self.link.taken(self.transport, self.connections)
        return self.link

    def end_turn(self) -> None:
        """End this turn of the event loop."""
        turn = self.application.node.turn
        turn.end()
        while turn._scheduled:
            turn.end()

    # What it sends.

    def frames(self, *messages: Any) -> bytes:
        """Write messages: JSON values, text, bytes, or what is done with the protocol."""
        for message in messages:
            match message:
                case str():
                    self._protocol.send_text(message.encode())
                case bytes():
                    self._protocol.send_binary(message)
                case dict():
                    self._protocol.send_text(json.dumps(message).encode())
                case _:
                    message(self._protocol)
        return b"".join(self._protocol.data_to_send())

    def send(self, *messages: Any) -> None:
        """Send messages in one chunk."""
        self.transport.arrive(self.frames(*messages))

    def say(self, *contents: str, room: str = "a", ref: bool = False) -> None:
        """Send chat messages in one chunk."""
        self.send(
            *(
                {"type": "message", "room_id": room, "content": content, **({"ref": content} if ref else {})}
                for content in contents
            )
        )

    # What it gets.

    def news(self) -> list[Any]:
        """Return the JSON messages that arrived since the last look."""
        data = bytes(self.transport.taken[self._read :])
        self._read += len(data)
        self._protocol.receive_data(data)
        assert self._protocol.parser_exc is None, self._protocol.parser_exc
        messages = []
        for frame in self._protocol.events_received():
            assert isinstance(frame, Frame)
            assert self.closed is None, "something came behind a Close frame"
            match frame.opcode:
                case Opcode.TEXT:
                    messages.append(json.loads(frame.data))
                case Opcode.PING:
                    self.pings += 1
                case Opcode.PONG:
                    self.pongs.append(bytes(frame.data))
                case Opcode.CLOSE:
                    close = self._protocol.close_rcvd
                    assert close is not None
                    self.closed = (None if close.code == 1005 else int(close.code), close.reason)
                case _:
                    raise AssertionError(frame)
        self.answer = b"".join(self._protocol.data_to_send())
        return messages

    def types(self) -> list[str]:
        """Return the types of what arrived."""
        return [message["type"] for message in self.news()]

    def contents(self) -> list[str]:
        """Return what was said."""
        return [message["content"] for message in self.news() if message["type"] == "message"]
