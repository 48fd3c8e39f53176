"""The queued outlet: a bounded queue and one writer, on any ASGI server.

The writer is a task only while there is something to write, so that an idle connection has none. When the queue is
over its bound the session is paused: it keeps its positions, and what it misses is read from the streams later.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Protocol

from hubbub.hub.commands import Command
from hubbub.hub.outlet import Listener
from hubbub.hub.publications import Publication
from hubbub.hub.replies import Reply

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]

MEMO = 128
"""Publications whose frames are kept, for sessions that are brought up to date one by one."""


class TextFrame:
    """One ASGI message that is sent to many; its length is that of the text in bytes."""

    __slots__ = ("message", "size")

    def __init__(self, payload: bytes) -> None:
        self.message: Message = {"type": "websocket.send", "text": payload.decode()}
        self.size = len(payload)

    def __len__(self) -> int:
        return self.size


class CloseFrame:
    """The last message of a connection."""

    __slots__ = ("message",)

    def __init__(self, code: int, reason: str) -> None:
        self.message: Message = {"type": "websocket.close", "code": code, "reason": reason}

    def __len__(self) -> int:
        return 0


class Dialect(Protocol):
    """A wire format of text frames."""

    def decode(self, text: str) -> Command:
        """Understand one message of a client; raises `BadRequest`."""
        ...

    def encode_publication(self, publication: Publication) -> bytes:
        """Write a publication as its push."""
        ...

    def encode_reply(self, reply: Reply) -> bytes:
        """Write a reply."""
        ...


class TextEncoding:
    """A text dialect in ASGI messages; one for all sessions of the dialect, so that each is encoded once.

    Args:
        dialect: the wire format.
    """

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._memo: dict[str, TextFrame] = {}

    def decode(self, data: str | bytes) -> Command:
        """Understand one message of a client."""
        return self._dialect.decode(data if isinstance(data, str) else data.decode())

    def publication(self, publication: Publication) -> TextFrame:
        """Make the frame of a publication, or find it."""
        frame = self._memo.get(publication.id)
        if frame is None:
            if len(self._memo) >= MEMO:
                del self._memo[next(iter(self._memo))]
            frame = self._memo[publication.id] = TextFrame(self._dialect.encode_publication(publication))
        return frame

    def reply(self, reply: Reply) -> TextFrame:
        """Make the frame of a reply."""
        return TextFrame(self._dialect.encode_reply(reply))


class QueuedOutlet:
    """Sends frames in order through an ASGI `send`, as fast as the peer takes them.

    Args:
        send: the ASGI callable.
        interrupt: ends the task that reads from this connection; called when the peer is gone or given up.
        max_bytes: over so many bytes waiting, the session is paused.
        max_messages: over so many messages waiting, the same.
    """

    __slots__ = (
        "_closing",
        "_congested",
        "_interrupt",
        "_listener",
        "_max_bytes",
        "_max_messages",
        "_over",
        "_queue",
        "_send",
        "_writer",
        "pending",
        "progress",
    )

    def __init__(
        self,
        send: Send,
        interrupt: Callable[[], None],
        *,
        max_bytes: int = 65_536,
        max_messages: int = 1024,
    ) -> None:
        self._send = send
        self._interrupt = interrupt
        self._max_bytes = max_bytes
        self._max_messages = max_messages
        self._queue: deque[TextFrame | CloseFrame] | None = None
        self._listener: Listener | None = None
        self._writer: asyncio.Task[None] | None = None
        self._congested = False
        self._closing = False
        self._over = False
        self.pending = 0
        self.progress = 0

    def attach(self, listener: Listener) -> None:
        """Name the one who is told about congestion."""
        self._listener = listener

    def write(self, frame: TextFrame) -> None:
        """Queue a frame; dropped once closed."""
        if self._closing:
            return
        self.pending += len(frame)
        self._put(frame)
        if self._congested or self._queue is None:
            return
        if self.pending > self._max_bytes or len(self._queue) > self._max_messages:
            self._congested = True
            if self._listener is not None:
                self._listener.pause()

    def close(self, code: int, reason: str) -> None:
        """Queue a Close frame; nothing follows it."""
        if not self._closing:
            self._closing = True
            self._put(CloseFrame(code, reason))

    def abort(self) -> None:
        """Give up what was not sent and end the connection; harmless when it is over."""
        if not self._over:
            self.finish()
            self._interrupt()

    def finish(self) -> None:
        """End the writer; called by whoever read from the connection, when it is over."""
        self._closing = self._over = True
        self._listener = None
        self._queue = None
        if self._writer is not None:
            self._writer.cancel()
            self._writer = None

    async def drain(self, timeout: float) -> None:  # noqa: ASYNC109 (asyncio.wait has it)
        """Wait at most `timeout` seconds until everything was sent, for a connection that ends with words."""
        if self._writer is not None:
            await asyncio.wait([self._writer], timeout=timeout)

    def _put(self, frame: TextFrame | CloseFrame) -> None:
        if self._queue is None:
            self._queue = deque()
        self._queue.append(frame)
        if self._writer is None:
            self._writer = asyncio.get_running_loop().create_task(self._write_all(self._queue))

    async def _write_all(self, queue: deque[TextFrame | CloseFrame]) -> None:
        try:
            while queue:
                frame = queue.popleft()
                await self._send(frame.message)
                self.pending -= len(frame)
                self.progress += 1
        except (OSError, RuntimeError):
            # The peer is gone (ASGI 2.4: OSError; older servers: RuntimeError). Reading would tell, but a
            # session that is slow does not read.
            self._writer = None
            self.abort()
            return
        self._queue = self._writer = None
        if self._congested:
            self._congested = False
            if self._listener is not None:
                self._listener.resume()
