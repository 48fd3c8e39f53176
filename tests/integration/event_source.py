"""A client of event streams that speaks HTTP by hand: it reads as a browser does, stalls, and cuts its connection."""

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlencode

from raw_socket import DEADLINE, RawSocket


@dataclass(frozen=True)
class Event:
    """What came from the server."""

    name: str
    data: Any
    last_event_id: str


class EventSource(RawSocket):
    """One request for a stream; chunks are taken apart here (RFC 9112 section 7.1)."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self.status = 0
        self.headers: dict[str, str] = {}
        self.last_event_id = ""
        self.retry: int | None = None
        self.comments = 0
        self.is_complete = False
        """Whether the server said that this is the end, and did not just hang up."""
        self._text = b""

    async def ask(self, port: int, target: str, headers: Mapping[str, str], method: str = "GET") -> Self:
        lines = {"Host": f"127.0.0.1:{port}", "Accept": "text/event-stream", **headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        await self.send(f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode("latin-1"))
        answer = await self.answer()
        self.status, self.headers = answer.status, answer.headers
        return self

    async def next(self, within: float = DEADLINE) -> Event:
        """Return the next event.

        Raises:
            EOFError: the stream is over, as the server said.
            ConnectionError: the connection is over.
        """
        async with asyncio.timeout(within):
            while True:
                while b"\n\n" in self._text:
                    block, _, self._text = self._text.partition(b"\n\n")
                    event = self._read(block.decode())
                    if event is not None:
                        return event
                await self._chunk()

    async def expect_event(self, name: str, within: float = DEADLINE) -> Event:
        """Return the next event of this name; others before it are passed over."""
        async with asyncio.timeout(within):
            while (event := await self.next(within)).name != name:
                pass
            return event

    async def until_over(self, within: float = DEADLINE) -> list[Event]:
        """Return everything until the end that the server says."""
        events = []
        async with asyncio.timeout(within):
            try:
                while True:
                    events.append(await self.next(within))
            except EOFError:
                return events

    async def _chunk(self) -> None:
        if self.is_complete:
            raise EOFError
        while b"\r\n" not in self._received:
            await self._more()
        size = int(self._received.partition(b"\r\n")[0], 16)
        start = self._received.index(b"\r\n") + 2
        while len(self._received) < start + size + 2:
            await self._more()
        self._text += self._received[start : start + size]
        del self._received[: start + size + 2]
        self.is_complete = size == 0

    def _read(self, block: str) -> Event | None:
        fields: dict[str, str] = {}
        for line in block.split("\n"):
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")
        self.comments += "" in fields
        self.retry = int(fields["retry"]) if "retry" in fields else self.retry
        self.last_event_id = fields.get("id", self.last_event_id)
        if "data" not in fields:
            return None
        return Event(fields.get("event", "message"), json.loads(fields["data"]), self.last_event_id)

    def reset(self) -> None:
        """Cut the connection as a crashed machine's router does."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


def target(channels: Sequence[str], **query: str) -> str:
    return f"/sse?{urlencode([*(('channel', each) for each in channels), *query.items()])}"


@asynccontextmanager
async def event_source(
    port: int,
    *channels: str,
    headers: Mapping[str, str],
    last_event_id: str = "",
    receive_buffer: int | None = None,
    **query: str,
) -> AsyncIterator[EventSource]:
    """Open a stream; its socket is closed when it is left."""
    source = await EventSource.connect(port, receive_buffer)
    more = {"Last-Event-ID": last_event_id} if last_event_id else {}
    try:
        yield await source.ask(port, target(channels, **query), {**headers, **more})
    finally:
        source.close()
