"""A WebSocket client in the test's own process: no sockets, and a deadline on everything that waits.

::

    async with hub.lifespan(app), connect(app, "/ws", token="ada") as ada:
        await ada.expect("welcome")
        await ada.send({"type": "join_room", "room_id": "general"})
        joined = await ada.expect("joined")
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from starlette.types import ASGIApp, Message

DEADLINE = 5.0


class Closed(Exception):
    """The server closed the connection, or never accepted it.

    Args:
        code: the close code; 403 where the handshake was refused.
        reason: the reason beside it.
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code} {reason}")
        self.code = code
        self.reason = reason


class Client:
    """One connection. Made by `connect`."""

    def __init__(self) -> None:
        self.subprotocol: str | None = None
        self.closed: Closed | None = None
        self._to_server: asyncio.Queue[Message] = asyncio.Queue()
        self._from_server: asyncio.Queue[Message] = asyncio.Queue()
        self._reading = asyncio.Event()
        self._reading.set()
        self._gone = False

    async def send(self, message: Any) -> None:
        """Send one JSON value in a text frame."""
        await self.send_text(json.dumps(message))

    async def send_text(self, text: str) -> None:
        """Send a text frame as it is."""
        await self._to_server.put({"type": "websocket.receive", "text": text})

    async def send_bytes(self, data: bytes) -> None:
        """Send a binary frame."""
        await self._to_server.put({"type": "websocket.receive", "bytes": data})

    async def receive(self, within: float = DEADLINE) -> Any:
        """Return the next message.

        Raises:
            TimeoutError: none came within so many seconds.
            Closed: the server closed instead.
        """
        if self.closed is not None and self._from_server.empty():
            raise self.closed
        async with asyncio.timeout(within):
            message = await self._from_server.get()
        if message["type"] == "websocket.close":
            self.closed = Closed(message.get("code", 1000), message.get("reason") or "")
            raise self.closed
        return json.loads(message["text"])

    async def expect(self, type: str, within: float = DEADLINE) -> dict[str, Any]:  # noqa: A002 (the field's name)
        """Return the next message of this type; others before it are passed over.

        Raises:
            TimeoutError: none came in time; says what came instead.
            Closed: the server closed instead.
        """
        passed: list[Any] = []
        try:
            async with asyncio.timeout(within):
                while True:
                    message: dict[str, Any] = await self.receive(within)
                    if message["type"] == type:
                        return message
                    passed.append(message)
        except TimeoutError:
            raise TimeoutError(f"no {type!r} within {within:g} s; there came {passed}") from None

    async def expect_close(self, within: float = DEADLINE) -> Closed:
        """Return how the server closed; messages before it are passed over.

        Raises:
            TimeoutError: it did not.
        """
        try:
            async with asyncio.timeout(within):
                while True:
                    await self.receive(within)
        except Closed as closed:
            return closed

    def waiting(self) -> list[Any]:
        """Return what has arrived and was not read, without waiting."""
        messages = []
        while not self._from_server.empty():
            message = self._from_server.get_nowait()
            if message["type"] == "websocket.close":
                self.closed = Closed(message.get("code", 1000), message.get("reason") or "")
            else:
                messages.append(json.loads(message["text"]))
        return messages

    def stall(self) -> None:
        """Stop reading, so that the server's sends wait."""
        self._reading.clear()

    def resume(self) -> None:
        """Read again."""
        self._reading.set()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Say goodbye."""
        await self._disconnect({"type": "websocket.disconnect", "code": code, "reason": reason})

    async def cut(self) -> None:
        """Vanish without a word, as a phone in a tunnel."""
        await self._disconnect({"type": "websocket.disconnect", "code": 1006})

    async def _disconnect(self, message: Message) -> None:
        if not self._gone:
            self._gone = True
            self._reading.set()
            await self._to_server.put(message)

    async def _receive(self) -> Message:
        return await self._to_server.get()

    async def _send(self, message: Message) -> None:
        await self._reading.wait()
        if self._gone:
            raise OSError("the client is gone")
        await self._from_server.put(message)
        if message["type"] == "websocket.close":
            self._gone = True
            await self._to_server.put({"type": "websocket.disconnect", "code": message.get("code", 1000)})


@asynccontextmanager
async def connect(
    app: ASGIApp,
    path: str,
    *,
    token: str | None = None,
    headers: Mapping[str, str] | None = None,
    subprotocols: tuple[str, ...] = (),
) -> AsyncIterator[Client]:
    """Connect to an ASGI application whose lifespan is running.

    Args:
        app: the application.
        path: such as ``/ws/general?ticket=…``.
        token: sent as ``Authorization: Bearer``.
        headers: more headers.
        subprotocols: which are offered.

    Raises:
        Closed: the handshake was refused.
        TimeoutError: the application did not answer it.
    """
    client = Client()
    sent = {"host": "testserver", **{name.lower(): value for name, value in (headers or {}).items()}}
    if token is not None:
        sent["authorization"] = f"Bearer {token}"
    bare, _, query = path.partition("?")
    scope: dict[str, Any] = {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "scheme": "ws",
        "path": bare,
        "raw_path": bare.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in sent.items()],
        "client": ("testclient", 50000),
        "server": ("testserver", 80),
        "subprotocols": list(subprotocols),
        "state": {},
        "extensions": {},
    }
    await client._to_server.put({"type": "websocket.connect"})  # noqa: SLF001 (of this module)
    task = asyncio.ensure_future(app(scope, client._receive, client._send))  # noqa: SLF001
    try:
        await _accepted(client, task)
        yield client
    finally:
        await client.cut()
        done, _ = await asyncio.wait([task], timeout=DEADLINE)
        if not done:
            task.cancel()
            await asyncio.wait([task])
            raise TimeoutError("the application did not end the connection that the client left")
        task.result()


async def _accepted(client: Client, task: "asyncio.Future[None]") -> None:
    getter = asyncio.ensure_future(client._from_server.get())  # noqa: SLF001
    either: list[asyncio.Future[Any]] = [getter, task]
    done, _ = await asyncio.wait(either, timeout=DEADLINE, return_when=asyncio.FIRST_COMPLETED)
    if getter not in done:
        getter.cancel()
        if task in done:
            task.result()
        raise TimeoutError("the application did not answer the handshake")
    answer = getter.result()
    if answer["type"] != "websocket.accept":
        client.closed = Closed(403, answer.get("reason") or "the handshake was refused")
        raise client.closed
    client.subprotocol = answer.get("subprotocol")
