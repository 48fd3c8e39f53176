"""A WebSocket client over a link that can go dead, cheap enough for thousands in one process.

It knows as much of RFC 6455 as a server's whole text messages need; who checks frames is `line`.
"""

import asyncio
import os
from typing import Protocol

from hubbub.bench.frames import CLOSE, FINAL, PING, PONG, TEXT, closing, walk

ACCEPTED = b"HTTP/1.1 101"
END_OF_HEADERS = b"\r\n\r\n"
PLAIN_TEXT = FINAL | TEXT


class Listener(Protocol):
    """Whose radio it is."""

    def heard(self, radio: "Radio", text: bytes) -> None:
        """Take a message."""
        ...

    def opened(self, radio: "Radio") -> None:
        """Learn that the handshake is done."""
        ...

    def lost(self, radio: "Radio") -> None:
        """Learn that the other side has ended it, or never took it."""
        ...


class Radio(asyncio.Protocol):
    """One connection.

    Args:
        listener: whose it is.
        request: the handshake.
    """

    transport: asyncio.Transport

    def __init__(self, listener: Listener, request: bytes) -> None:
        self._listener = listener
        self._request = request
        self._rest = b""
        self._is_open = False
        self._is_over = False
        self.ending = ""
        """What the other side said when it ended it."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the handshake."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Hand on whole messages."""
        if self._rest:
            data, self._rest = self._rest + data, b""
        start = 0 if self._is_open else self._open(data)
        if start < 0:
            return
        frames, end = walk(data, start)
        self._rest = data[end:]
        for head, first, last in frames:
            if self._is_over:
                return
            if head == PLAIN_TEXT:
                self._listener.heard(self, data[first:last])
            else:
                self._control(head, data[first:last])

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whose it is."""
        self._end()

    def say(self, text: bytes) -> None:
        """Send a message."""
        if not self._is_over:
            self.transport.write(masked(TEXT, text))

    def go_dead(self, seconds: float) -> None:
        """Read nothing more and say nothing, not even that it is over: the server goes on as if somebody were there.

        What is on its way fills the socket, which is given back after `seconds`.
        """
        if not self._is_over:
            self._is_over = True
            self.transport.pause_reading()
            asyncio.get_running_loop().call_later(seconds, self.transport.abort)

    def _open(self, data: bytes) -> int:
        """Read the answer to the handshake; return where what follows begins, or -1."""
        head, found, _ = data.partition(END_OF_HEADERS)
        if not found:
            self._rest = data
            return -1
        if not head.startswith(ACCEPTED):
            self.ending = head.partition(b"\r\n")[0].decode()
            self._end()
            return -1
        self._is_open = True
        self._listener.opened(self)
        return len(head) + len(END_OF_HEADERS)

    def _control(self, head: int, payload: bytes) -> None:
        if head == FINAL | PING:
            self.transport.write(masked(PONG, payload))
        elif head == FINAL | CLOSE:
            self.ending = str(closing(payload))
            self._end()
        elif head != FINAL | PONG:
            raise ValueError(f"a frame that begins with {head:#x}")

    def _end(self) -> None:
        if not self._is_over:
            self._is_over = True
            self.transport.abort()
            self._listener.lost(self)


def masked(opcode: int, payload: bytes) -> bytes:
    """Make a frame as a client sends it, with a key that nobody can foresee (RFC 6455 section 5.3)."""
    size, key = len(payload), os.urandom(4)
    if size < 126:
        header = bytes((FINAL | opcode, 0x80 | size))
    elif size < 1 << 16:
        header = bytes((FINAL | opcode, 0x80 | 126)) + size.to_bytes(2, "big")
    else:
        header = bytes((FINAL | opcode, 0x80 | 127)) + size.to_bytes(8, "big")
    stretched = (key * (size // 4 + 1))[:size]
    body = int.from_bytes(payload, "big") ^ int.from_bytes(stretched, "big")
    return header + key + body.to_bytes(size, "big")


def handshake(port: int, path: str, *headers: str) -> bytes:
    """Make the request that opens a WebSocket; the key may be the same for all (RFC 6455 section 4.1)."""
    lines = [
        f"GET {path} HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode()
