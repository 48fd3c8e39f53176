"""Clients of event streams in the test's own process: a browser's reading, and a peer that stalls or vanishes."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from application import DEADLINE, Application


@dataclass(frozen=True)
class Received:
    """One event."""

    name: str
    data: Any
    id: str | None
    retry: int | None = None

    @property
    def offset(self) -> int:
        return self.data["offset"]


class Stream:
    """One request and its response."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.complete = False
        self.comments = 0
        self.retry: int | None = None
        self.last_event_id = ""
        self.task: asyncio.Task[None]
        self.begun = asyncio.Event()
        self.reading = asyncio.Event()
        self.reading.set()
        self.gone = asyncio.Event()
        self.body = b""
        self._asked = False
        self._events: asyncio.Queue[Received | None] = asyncio.Queue()

    async def receive(self) -> Any:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        await self.reading.wait()
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            return
        assert self.status
        assert not self.complete
        self.body += message.get("body", b"")
        self.begun.set()
        if self.status == 200:
            *blocks, self.body = self.body.split(b"\n\n")
            for block in blocks:
                self._take(block.decode())
        if not message.get("more_body", False):
            self.complete = True
            self.gone.set()
            self._events.put_nowait(None)

    async def next(self) -> Received:
        """Return the next event; `EOFError` at the end of the stream."""
        async with asyncio.timeout(DEADLINE):
            event = await self._events.get()
        if event is None:
            raise EOFError
        return event

    async def expect(self, name: str) -> Received:
        """Return the next event of this name; others before it are passed over."""
        while (event := await self.next()).name != name:
            pass
        return event

    async def messages(self, number: int) -> list[Received]:
        """Return so many pushes."""
        return [await self.expect("message") for _ in range(number)]

    async def rest(self) -> list[Received]:
        """Return everything until the end."""
        events = []
        try:
            while True:
                events.append(await self.next())
        except EOFError:
            return events

    def waiting(self) -> int:
        """How many events have come that nobody looked at."""
        return self._events.qsize()

    async def over(self) -> None:
        """Wait until the server has nothing of it left."""
        async with asyncio.timeout(DEADLINE):
            await asyncio.wait([self.task])

    def _take(self, block: str) -> None:
        event: dict[str, str] = {}
        for line in block.split("\n"):
            name, _, value = line.partition(":")
            if name:
                event[name] = value.removeprefix(" ")
            else:
                self.comments += 1
        if "retry" in event:
            self.retry = int(event["retry"])
        if "id" in event:
            self.last_event_id = event["id"]
        if "data" in event:
            data = json.loads(event["data"])
            self._events.put_nowait(
                Received(event.get("event", "message"), data, event.get("id"), self.retry)
            )


@asynccontextmanager
async def stream(
    application: Application,
    *channels: str,
    token: str | None = "ada",
    headers: Mapping[str, str] | None = None,
    query: Mapping[str, str] | None = None,
    tokens: tuple[str, ...] = (),
    scope: Mapping[str, Any] | None = None,
    method: str = "GET",
) -> AsyncIterator[Stream]:
    """Ask for a stream, and vanish when it is left."""
    pairs = [("channel", each) for each in channels] + [("channel_token", each) for each in tokens]
    lines = {
        "host": "testserver",
        **({"authorization": f"Bearer {token}"} if token else {}),
        **(headers or {}),
    }
    asked = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": "/sse",
        "raw_path": b"/sse",
        "root_path": "",
        "query_string": urlencode([*pairs, *(query or {}).items()]).encode(),
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in lines.items()],
        "server": ("testserver", 80),
        "client": ("127.0.0.1", 1),
        "state": {},
        **(scope or {}),
    }
    client = Stream()
    client.task = asyncio.create_task(application.app(asked, client.receive, client.send))
    try:
        begun = asyncio.create_task(client.begun.wait())
        async with asyncio.timeout(DEADLINE):
            await asyncio.wait([begun, client.task], return_when=asyncio.FIRST_COMPLETED)
        begun.cancel()
        if client.task.done():
            await client.task
        yield client
    finally:
        client.reading.set()
        client.gone.set()
        await client.over()
