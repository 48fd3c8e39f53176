"""The queued outlet: a bounded queue and one writer, on any ASGI server.

The writer is a task only while a connection is busy: an idle one has neither a task nor a queue. When the queue is over
its bound the session is paused: it keeps its positions, and what it misses is read from the streams later.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from typing import Any, Protocol

from hubbub.hub.commands import Command
from hubbub.hub.outlet import Listener
from hubbub.hub.publications import Publication
from hubbub.hub.replies import Reply

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]

MAX_REASON = 123
"""Bytes of a reason: a control frame carries 125, two of them the code (RFC 6455 section 5.5)."""
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

    size = 0

    def __init__(self, code: int, reason: str) -> None:
        fits = reason.encode()[:MAX_REASON].decode(errors="ignore")
        self.message: Message = {"type": "websocket.close", "code": code, "reason": fits}


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


class Writers:
    """The writers that run at the moment. Somebody calls `sweep` now and then, to end those that are idle."""

    def __init__(self) -> None:
        self._outlets: set[QueuedOutlet] = set()

    def start(self, outlet: "QueuedOutlet", writing: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """Run an outlet's writer."""
        self._outlets.add(outlet)
        return asyncio.get_running_loop().create_task(writing)

    def ended(self, outlet: "QueuedOutlet") -> None:
        """Forget an outlet whose writer has ended."""
        self._outlets.discard(outlet)

    def sweep(self) -> None:
        """End each writer that has had nothing to do since the last sweep."""
        for outlet in tuple(self._outlets):
            outlet.rest()

    def __len__(self) -> int:
        return len(self._outlets)


class QueuedOutlet:
    """Sends frames in order through an ASGI `send`, as fast as the peer takes them.

    Args:
        send: the ASGI callable.
        interrupt: ends the task that reads from this connection; called when the peer is gone or given up.
        writers: runs the writer.
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
        "_parked",
        "_queue",
        "_seen",
        "_send",
        "_writer",
        "_writers",
        "pending",
        "progress",
    )

    def __init__(
        self,
        send: Send,
        interrupt: Callable[[], None],
        writers: Writers,
        *,
        max_bytes: int = 65_536,
        max_messages: int = 1024,
    ) -> None:
        self._send = send
        self._interrupt = interrupt
        self._writers = writers
        self._max_bytes = max_bytes
        self._max_messages = max_messages
        self._queue: deque[TextFrame | CloseFrame] | None = None
        self._listener: Listener | None = None
        self._writer: asyncio.Task[None] | None = None
        self._parked: asyncio.Future[None] | None = None
        """What the writer waits for while the queue is empty."""
        self._seen = 0
        """The progress at the last `rest`."""
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
        self.pending += frame.size
        queue = self._put(frame)
        if self.pending > self._max_bytes or len(queue) > self._max_messages:
            self._congest()

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
        self._end_writer()

    def rest(self) -> None:
        """End the writer if it has had nothing to do since the last call."""
        if self._parked is not None and self._seen == self.progress:
            self._end_writer()
        self._seen = self.progress

    async def drain(self, timeout: float) -> None:  # noqa: ASYNC109 (asyncio.wait has it)
        """Wait at most `timeout` seconds for the Close frame to leave, after `close`."""
        if self._writer is not None:
            await asyncio.wait([self._writer], timeout=timeout)

    def _put(self, frame: TextFrame | CloseFrame) -> "deque[TextFrame | CloseFrame]":
        queue = self._queue
        if queue is None:
            queue = self._queue = deque()
            self._writer = self._writers.start(self, self._write_all(queue))
        queue.append(frame)
        if self._parked is not None:
            parked, self._parked = self._parked, None
            parked.set_result(None)
        return queue

    def _congest(self) -> None:
        if not self._congested:
            self._congested = True
            if self._listener is not None:
                self._listener.pause()

    async def _write_all(self, queue: "deque[TextFrame | CloseFrame]") -> None:
        loop = asyncio.get_running_loop()
        try:
            while True:
                while queue:
                    frame = queue.popleft()
                    await self._send(frame.message)
                    self.pending -= frame.size
                    self.progress += 1
                if self._closing:
                    return
                if self._congested:
                    self._congested = False
                    if self._listener is not None:
                        self._listener.resume()
                if not queue:  # a listener may write when it is resumed
                    self._parked = loop.create_future()
                    await self._parked
        except (OSError, RuntimeError):
            # The peer is gone (ASGI 2.4: OSError; older servers: RuntimeError). Reading would tell, but a
            # session that is slow does not read.
            self._writer = None
            self.abort()

    def _end_writer(self) -> None:
        writer, self._writer = self._writer, None
        self._queue = self._parked = None
        self._writers.ended(self)
        if writer is not None:
            writer.cancel()
