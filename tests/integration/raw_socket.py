"""A WebSocket client that does what no library will: bad frames, cut connections, and not reading."""

import asyncio
import base64
import os
import socket
import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Self

import msgspec

DEADLINE = 10.0


class Opcode(IntEnum):
    """RFC 6455 section 5.2."""

    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


@dataclass(frozen=True)
class Frame:
    """What came from the server."""

    opcode: Opcode
    payload: bytes
    reserved: int = 0
    """The three reserved bits; 4 is that of a compressed message."""

    @property
    def close_code(self) -> int:
        return int.from_bytes(self.payload[:2], "big")

    @property
    def reason(self) -> str:
        return self.payload[2:].decode()


@dataclass(frozen=True)
class Answer:
    """What the server said to a handshake."""

    status: int
    headers: dict[str, str]


def frame(
    opcode: int, payload: bytes = b"", *, final: bool = True, masked: bool = True, reserved: int = 0
) -> bytes:
    """Make a client's frame (RFC 6455 section 5.2)."""
    head = bytes([(0x80 if final else 0) | reserved << 4 | opcode])
    bit = 0x80 if masked else 0
    if len(payload) < 126:
        head += bytes([bit | len(payload)])
    elif len(payload) < 1 << 16:
        head += bytes([bit | 126]) + struct.pack("!H", len(payload))
    else:
        head += bytes([bit | 127]) + struct.pack("!Q", len(payload))
    if not masked:
        return head + payload
    key = os.urandom(4)
    pad = int.from_bytes((key * (len(payload) // 4 + 1))[: len(payload)], "big")
    return head + key + (int.from_bytes(payload, "big") ^ pad).to_bytes(len(payload), "big")


def text(value: Any, **options: Any) -> bytes:
    """Make a text frame of a JSON value."""
    return frame(Opcode.TEXT, msgspec.json.encode(value), **options)


class RawSocket:
    """One TCP connection, with WebSocket frames made by hand."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._received = bytearray()

    @classmethod
    async def connect(cls, port: int, receive_buffer: int | None = None) -> Self:
        """Connect; `receive_buffer` is for one that will not read."""
        sock = socket.socket()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        try:
            async with asyncio.timeout(DEADLINE):
                await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
        except BaseException:
            sock.close()
            raise
        return cls(sock)

    async def upgrade(self, port: int, path: str = "/ws", headers: Mapping[str, str] | None = None) -> Answer:
        """Send a handshake and return the answer to it."""
        lines = {
            "Host": f"127.0.0.1:{port}",
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
            "Sec-WebSocket-Version": "13",
            **(headers or {}),
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        await self.send(f"GET {path} HTTP/1.1\r\n{head}\r\n".encode("latin-1"))
        return await self.answer()

    async def answer(self, within: float = DEADLINE) -> Answer:
        """Return the head of the HTTP response."""
        async with asyncio.timeout(within):
            while b"\r\n\r\n" not in self._received:
                await self._more()
        head, _, rest = bytes(self._received).partition(b"\r\n\r\n")
        self._received = bytearray(rest)
        status, *lines = head.decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines)
        return Answer(int(status.split()[1]), {name.lower(): value.strip() for name, _, value in pairs})

    async def send(self, data: bytes, within: float = DEADLINE) -> None:
        """Send bytes as they are."""
        async with asyncio.timeout(within):
            await asyncio.get_running_loop().sock_sendall(self.sock, data)

    async def say(self, value: Any) -> None:
        """Send one JSON value in a text frame."""
        await self.send(text(value))

    async def receive(self, within: float = DEADLINE) -> Frame:
        """Return the next frame.

        Raises:
            ConnectionError: the connection is over.
        """
        async with asyncio.timeout(within):
            while (parsed := self._parse()) is None:
                await self._more()
        return parsed

    async def expect(self, kind: str, within: float = DEADLINE) -> dict[str, Any]:
        """Return the next message of this type; others before it are passed over."""
        async with asyncio.timeout(within):
            while True:
                received = await self.receive(within)
                assert received.opcode is not Opcode.CLOSE, (received.close_code, received.reason)
                if received.opcode is Opcode.TEXT:
                    message: dict[str, Any] = msgspec.json.decode(received.payload)
                    if message["type"] == kind:
                        return message

    async def expect_close(self, within: float = DEADLINE) -> Frame:
        """Return the Close frame, and answer it; others before it are passed over."""
        async with asyncio.timeout(within):
            while (received := await self.receive(within)).opcode is not Opcode.CLOSE:
                pass
        # One that the server has given up takes no answer, and one that waits for it should not have to.
        with suppress(ConnectionError):
            await self.send(frame(Opcode.CLOSE, received.payload[:2]))
        return received

    async def expect_end(self, within: float = DEADLINE) -> None:
        """Wait until the server ended the TCP connection; whatever comes before is passed over."""
        async with asyncio.timeout(within):
            try:
                while True:
                    self._received.clear()
                    await self._more()
            except ConnectionError:
                pass

    def cut(self) -> None:
        """End the connection with a reset, as a crashed machine's router does: no Close frame, no FIN."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self) -> None:
        """Close the socket without a Close frame; harmless to repeat."""
        self.sock.close()

    async def _more(self) -> None:
        data = await asyncio.get_running_loop().sock_recv(self.sock, 65536)
        if not data:
            raise ConnectionResetError("the server ended the connection")
        self._received += data

    def _parse(self) -> Frame | None:
        data = self._received
        if len(data) < 2:
            return None
        size, start = data[1] & 0x7F, 2
        if size == 126:
            size, start = int.from_bytes(data[2:4], "big"), 4
        elif size == 127:
            size, start = int.from_bytes(data[2:10], "big"), 10
        if len(data) < start or len(data) < start + size:
            return None
        payload = bytes(data[start : start + size])
        first = data[0]
        opcode = Opcode(first & 0x0F)
        del data[: start + size]
        return Frame(opcode, payload, first >> 4 & 7)


@asynccontextmanager
async def raw(
    port: int,
    path: str = "/ws",
    *,
    headers: Mapping[str, str] | None = None,
    receive_buffer: int | None = None,
) -> AsyncIterator[RawSocket]:
    """Open a connection and shake hands; the socket is closed when it is left."""
    connection = await RawSocket.connect(port, receive_buffer)
    try:
        answer = await connection.upgrade(port, path, headers)
        assert answer.status == 101, answer
        yield connection
    finally:
        connection.close()
