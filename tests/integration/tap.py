"""A wire tap: a proxy that hands every byte on and keeps it, to see what frames were really on the wire."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from raw_socket import Opcode


@dataclass(frozen=True)
class Seen:
    """A frame."""

    opcode: Opcode
    compressed: bool
    masked: bool
    length: int


@dataclass
class Conversation:
    """One connection's bytes."""

    from_client: bytearray = field(default_factory=bytearray)
    from_server: bytearray = field(default_factory=bytearray)

    @property
    def is_websocket(self) -> bool:
        return self.from_server.startswith(b"HTTP/1.1 101 ")

    @property
    def texts_from_client(self) -> list[Seen]:
        return list(texts(bytes(self.from_client)))

    @property
    def texts_from_server(self) -> list[Seen]:
        return list(texts(bytes(self.from_server)))


@dataclass
class Tap:
    """Listens on a port of its own."""

    port: int
    conversations: list[Conversation] = field(default_factory=list)

    @property
    def websocket(self) -> Conversation:
        """The one WebSocket that went through."""
        (conversation,) = [each for each in self.conversations if each.is_websocket]
        return conversation


@asynccontextmanager
async def tapped(port: int) -> AsyncIterator[Tap]:
    """Stand between clients and the server on a port of this machine."""
    running: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        conversation = Conversation()
        tap.conversations.append(conversation)
        there, back = await asyncio.open_connection("127.0.0.1", port)
        try:
            await asyncio.gather(
                pass_on(reader, back, conversation.from_client),
                pass_on(there, writer, conversation.from_server),
            )
        finally:
            back.close()
            writer.close()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(connected(reader, writer))
        running.add(task)
        task.add_done_callback(running.discard)

    server = await asyncio.start_server(begin, "127.0.0.1", 0)
    tap = Tap(server.sockets[0].getsockname()[1])
    async with server:
        yield tap
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kept: bytearray) -> None:
    try:
        while data := await reader.read(65536):
            kept += data
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    writer.close()


def texts(data: bytes) -> Iterator[Seen]:
    """Return the text frames behind the head of a handshake."""
    at = data.index(b"\r\n\r\n") + 4
    while at + 2 <= len(data):
        first, second = data[at], data[at + 1]
        length, at = second & 0x7F, at + 2
        if length > 125:
            size = 2 if length == 126 else 8
            length, at = int.from_bytes(data[at : at + size], "big"), at + size
        masked = bool(second & 0x80)
        at += length + 4 * masked
        if first & 0x0F == Opcode.TEXT:
            yield Seen(Opcode.TEXT, bool(first & 0x40), masked, length)
