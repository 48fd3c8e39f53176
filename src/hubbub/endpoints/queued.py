"""The queued outlet: a bounded queue and one writer, on any ASGI server.

The writer is a task only while a connection is busy: an idle one has neither a task nor a queue. When the queue is over
its bound the session is paused: it keeps its positions, and what it misses is read from the streams later.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from starlette.types import Message, Send

from hubbub.endpoints.encoding import FrameEncoding
from hubbub.hub.outlet import Listener, Pulse
from hubbub.websocket.frames import fitting


class TextFrame:
    """One or more ASGI messages that are sent to many; its length is that of their texts in bytes."""

    __slots__ = ("messages", "size")

    def __init__(self, messages: Sequence[Message], size: int) -> None:
        self.messages = messages
        self.size = size

    def __len__(self) -> int:
        return self.size


class LastFrame:
    """The last messages of a connection, which say why it ends."""

    __slots__ = ("messages",)

    size = 0

    def __init__(self, messages: Sequence[Message]) -> None:
        self.messages = messages


class TextEncoding(FrameEncoding[TextFrame]):
    """A text dialect in ASGI messages."""

    def frame(self, payload: bytes) -> TextFrame:
        """Make the frame of one message."""
        return TextFrame(({"type": "websocket.send", "text": payload.decode()},), len(payload))

    def join(self, frames: Sequence[TextFrame]) -> TextFrame:
        """Make one of several."""
        return TextFrame([each.messages[0] for each in frames], sum(each.size for each in frames))


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
        "_last_progress",
        "_listener",
        "_max_bytes",
        "_max_messages",
        "_over",
        "_parked",
        "_queue",
        "_seen",
        "_send",
        "_waiting",
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
        self._queue: deque[TextFrame | LastFrame] | None = None
        self._listener: Listener | None = None
        self._writer: asyncio.Task[None] | None = None
        self._parked: asyncio.Future[None] | None = None
        """What the writer waits for while the queue is empty."""
        self._seen = 0
        """The progress at the last `rest`."""
        self._last_progress = 0
        """The progress at the last `pulse`."""
        self._waiting: asyncio.Future[None] | None = None
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

    write_through = write

    def proceed(self) -> None:
        """Let the reader go on that waits for the session not to be slow."""
        if self._waiting is not None:
            waiting, self._waiting = self._waiting, None
            if not waiting.done():
                waiting.set_result(None)

    async def until_proceeding(self) -> None:
        """Wait for `proceed`; called by the one who reads from the connection, while the session is slow."""
        self._waiting = asyncio.get_running_loop().create_future()
        await self._waiting

    def pulse(self) -> Pulse:
        """Say how the peer has been; whether it answers pings is the web server's to see."""
        stuck = self.pending > 0 and self.progress == self._last_progress
        self._last_progress = self.progress
        return Pulse.STUCK if stuck else Pulse.WELL

    def close(self, code: int, reason: str) -> None:
        """Queue the words of the end; nothing follows them."""
        if not self._closing:
            self._closing = True
            self._put(self._last(code, reason))

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

    def _last(self, code: int, reason: str) -> LastFrame:
        return LastFrame(({"type": "websocket.close", "code": code, "reason": fitting(reason)},))

    def _put(self, frame: TextFrame | LastFrame) -> "deque[TextFrame | LastFrame]":
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

    async def _write_all(self, queue: "deque[TextFrame | LastFrame]") -> None:
        loop = asyncio.get_running_loop()
        try:
            while True:
                while queue:
                    frame = queue.popleft()
                    for message in frame.messages:
                        await self._send(message)
                        self.progress += 1
                    self.pending -= frame.size
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
