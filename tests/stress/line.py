"""One socket of a stress run. What comes is read by `websockets`, which is an implementation that is not ours.

It holds every frame against RFC 6455 and RFC 7692: masks, reserved bits, opcodes, lengths, fragments, deflate data within
the window and the context that were agreed on, close codes and reasons. Beside that this module knows one rule more:
a Close frame is the last thing that a server sends.
"""

import asyncio
import random
import socket
import struct
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec
from ledger import Wrong
from websockets.client import ClientProtocol
from websockets.extensions.base import ClientExtensionFactory
from websockets.frames import Close, Frame, Opcode
from websockets.http11 import Response
from websockets.uri import parse_uri

TAIL = 40
"""How many of the last things said on a line are shown where something is wrong."""
SHOWN = 80


class Listener(Protocol):
    """Whose line it is."""

    def told(self, line: "Line", message: dict[str, Any]) -> None:
        """A message has come; raises `Wrong` when it should not have."""
        ...

    def ended(self, line: "Line") -> None:
        """The socket is gone; raises `Wrong` when it should not be."""
        ...

    def complain(self, line: "Line", wrong: Exception) -> None:
        """Something is wrong."""
        ...


class Line(asyncio.Protocol):
    """A WebSocket client.

    Args:
        listener: whose line it is.
        port: where the server is.
        path: of the endpoint.
        headers: of the handshake.
        extensions: what is offered.
        choices: how bytes are cut into segments and messages into fragments.
        pongs_may_follow: whether the server answers pings after its Close frame. RFC 6455 section 5.5.1 allows it, and
            uvicorn's own protocol does; Hubbub promises that nothing follows.
    """

    transport: asyncio.Transport

    def __init__(
        self,
        listener: Listener,
        port: int,
        path: str,
        headers: Mapping[str, str],
        extensions: Sequence[ClientExtensionFactory],
        choices: random.Random,
        *,
        pongs_may_follow: bool,
    ) -> None:
        self.pongs_may_follow = pongs_may_follow
        self.protocol = ClientProtocol(
            parse_uri(f"ws://127.0.0.1:{port}{path}"), extensions=extensions or None, max_size=None
        )
        self.listener = listener
        self.headers = headers
        self.choices = choices
        self.is_open = False
        self.is_over = False
        self.decided = asyncio.Event()
        """Set when the handshake is done, or will not be."""
        self.was_cut = False
        """Whether this side ended it without a Close frame."""
        self.stalls = 0
        self.is_stalled = False
        self.said: deque[str] = deque(maxlen=TAIL)
        self.on_wire = self.inflated = 0
        """Bytes that came, and what they were without compression."""
        self._pings: deque[bytes] = deque()
        self._parts: list[bytes] = []
        self._before = self._late = b""
        self._unsent = b""

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the handshake."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        request = self.protocol.connect()
        for name, value in self.headers.items():
            request.headers[name] = value
        self.protocol.send_request(request)
        self._send()

    def data_received(self, data: bytes) -> None:
        """Let `websockets` read it."""
        try:
            self._read(data)
        except Exception as wrong:
            self.listener.complain(self, wrong)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whose line it was."""
        self.is_over = True
        self.decided.set()
        try:
            self.listener.ended(self)
        except Exception as wrong:
            self.listener.complain(self, wrong)

    # What its client does.

    def say(self, *messages: Any) -> None:
        """Send messages in one write, or with a pause inside it; some in fragments with a ping between them."""
        for message in messages:
            self.said.append(f"> {shown(str(message))}")
            data = msgspec.json.encode(message)
            if len(data) > 40 and self.choices.random() < 0.1:
                middle = self.choices.randrange(len(data))
                self.protocol.send_text(data[:middle], fin=False)
                self.ping()
                self.protocol.send_continuation(data[middle:], fin=True)
            else:
                self.protocol.send_text(data)
        self._send(pause=self.choices.random() < 0.05)

    def ping(self) -> None:
        """Ask for a native pong."""
        payload = self.choices.randbytes(self.choices.choice([0, 8, 125]))
        self._pings.append(payload)
        self.protocol.send_ping(payload)
        self._send()

    def stall(self) -> None:
        """Read no more."""
        self.stalls += 1
        self.is_stalled = True
        self.transport.pause_reading()

    def resume(self) -> None:
        """Read on; harmless where it was not stalled."""
        if self.is_stalled and not self.is_over:
            self.is_stalled = False
            self.transport.resume_reading()

    def goodbye(self) -> None:
        """Send a Close frame; what the server had sent before its own is still read."""
        if self.protocol.close_sent is None:
            self.said.append("> Close")
            self.protocol.send_close(1000)
            self._send()

    def cut(self) -> None:
        """End the connection by a reset, as a crashed machine's router does."""
        self.was_cut = True
        sock: socket.socket = self.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def hang_up(self) -> None:
        """End this side's half of the connection without a Close frame."""
        self.was_cut = True
        self._flush()
        self.transport.write_eof()

    @property
    def close(self) -> Close | None:
        """The server's Close frame."""
        return self.protocol.close_rcvd

    def tail(self) -> str:
        """Show the last things that were said on it."""
        return "\n".join(f"    {each}" for each in self.said)

    # Reading.

    def _read(self, data: bytes) -> None:
        self.on_wire += len(data)
        protocol = self.protocol
        if protocol.close_rcvd is not None:
            self._check_late(data)
            return
        protocol.receive_data(data)
        for event in protocol.events_received():
            if isinstance(event, Frame):
                self._take(event)
            else:
                self._begin(event)
        if protocol.parser_exc is not None:
            raise Wrong(f"websockets refuses a frame: {protocol.parser_exc!r}") from protocol.parser_exc
        if protocol.close_rcvd is not None:
            self._check_late(following(self._before + data, protocol.close_rcvd))
        self._before = data[-130:]
        self._send()

    def _check_late(self, data: bytes) -> None:
        self._late += data
        if self._late and not (self.pongs_may_follow and are_pongs(self._late)):
            raise Wrong(f"{len(self._late)} bytes follow the Close frame: {self._late[:60]!r}")

    def _begin(self, response: Any) -> None:
        if self.protocol.handshake_exc is not None:
            raise Wrong(f"the handshake failed: {self.protocol.handshake_exc!r}")
        assert isinstance(response, Response)
        self.is_open = True
        self.decided.set()

    def _take(self, frame: Frame) -> None:
        match frame.opcode:
            case Opcode.TEXT | Opcode.CONT:
                self._parts.append(bytes(frame.data))
                if frame.fin:
                    text = b"".join(self._parts).decode()  # which is strict about UTF-8
                    self._parts.clear()
                    self.inflated += len(text)
                    self.said.append(shown(text))
                    self.listener.told(self, msgspec.json.decode(text))
            case Opcode.PONG:
                # RFC 6455 section 5.5.3: only the most recent ping has to be answered.
                while self._pings and self._pings[0] != frame.data:
                    self._pings.popleft()
                if not self._pings:
                    raise Wrong("a pong that answers no ping")
                self._pings.popleft()
            case Opcode.BINARY:
                raise Wrong("a binary frame")
            case Opcode.CLOSE:
                self.said.append(f"Close {self.close}")

    # Writing.

    def _send(self, *, pause: bool = False) -> None:
        data = b"".join(self.protocol.data_to_send())
        if self.was_cut or self.transport.is_closing():
            return
        if self._unsent:
            self._unsent += data
        elif pause and len(data) > 1:
            cut = self.choices.randrange(1, len(data))
            self.transport.write(data[:cut])
            self._unsent = data[cut:]
            asyncio.get_running_loop().call_later(0.01, self._flush)
        elif data:
            self.transport.write(data)

    def _flush(self) -> None:
        unsent, self._unsent = self._unsent, b""
        if unsent and not self.transport.is_closing():
            self.transport.write(unsent)


def shown(text: str) -> str:
    """Shorten a message: what matters stands at both ends."""
    return text if len(text) < 3 * SHOWN else f"{text[:SHOWN]} … {text[-2 * SHOWN :]}"


def following(data: bytes, close: Close) -> bytes:
    """Return what came behind a Close frame; `websockets` drops it without a word."""
    payload = b"" if close.code == 1005 else close.serialize()
    _, found, rest = data.rpartition(bytes([0x88, len(payload)]) + payload)
    if not found:
        raise Wrong(f"the Close frame {close} is not in its shortest form: {data[-130:]!r}")
    return rest


def are_pongs(data: bytes) -> bool:
    """Whether bytes are nothing but Pong frames, the last of them perhaps cut off."""
    while data:
        if data[0] != 0x8A or data[1:2] > b"\x7d":
            return False
        data = data[2 + data[1] :] if len(data) > 1 else b""
    return True


async def connected(line: Line, port: int, *, narrow: bool) -> None:
    """Connect a line; a narrow one takes a few KiB and little more, so that the server soon notices a stall."""
    sock = socket.socket()
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if narrow:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            # The server's side sizes its buffer by this: 1.3 MB for what loopback allows.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1000)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(sock, ("127.0.0.1", port))
        await loop.create_connection(lambda: line, sock=sock)
    except BaseException:
        sock.close()
        raise
