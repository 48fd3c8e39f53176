"""A response of server-sent events: the outlet of a session that only receives."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from starlette.types import Message, Receive, Scope, Send

from hubbub.codes import CloseCode, UnsubscribeCode
from hubbub.dialects import sse
from hubbub.dialects.sse_positions import Positions
from hubbub.endpoints.connection import QueuedConnection
from hubbub.endpoints.encoding import SharedFrames
from hubbub.endpoints.queued import LastFrame, TextFrame, Writers
from hubbub.exceptions import BadRequest
from hubbub.hub.commands import Command
from hubbub.hub.node import Node
from hubbub.hub.publications import Position, Publication
from hubbub.hub.replies import Reply, Unsubscribed
from hubbub.hub.session import Session

LINE = "hubbub.line"
"""The key among a scope's extensions of the connection below a request, where the web server gives it away: a `Line`."""

SOONEST, LATEST = 1.0, 5.0
"""Seconds that a client waits before it comes back: each another time between, so that they do not come all at once."""


SENT_BACK = "The server lost its place: come back with your positions"


class Line(Protocol):
    """The connection below a response."""

    def abort(self) -> None:
        """Cut it, whatever was not sent yet; harmless when it is lost."""
        ...

    def at_stop(self, callback: Callable[[], None]) -> None:
        """Call back when the web server stops, if this response is not over by then."""
        ...


class Events:
    """Some events; the same object for everybody who gets them.

    Args:
        events: in their order.
        lose_place: whether the client has to come back with its positions, because the server lost its place in a stream.
    """

    __slots__ = ("events", "lose_place", "size")

    def __init__(self, events: Sequence[sse.Event], *, lose_place: bool = False) -> None:
        self.events = events
        self.lose_place = lose_place
        self.size = sum(len(event.text) for event in events)

    def __len__(self) -> int:
        return self.size


class EventEncoding(SharedFrames[Events]):
    """Server-sent events, of which each connection's outlet makes text with ids of its own."""

    def decode(self, data: str) -> Command:
        """Refuse: nothing is read from such a client."""
        raise BadRequest("Server-sent events go one way: publish over HTTP or a WebSocket.")

    def make(self, publication: Publication) -> Events:
        """Make the event of a publication."""
        return Events((sse.publication(publication),))

    def join(self, frames: Sequence[Events]) -> Events:
        """Put several behind one another."""
        return Events([event for frame in frames for event in frame.events])

    def reply(self, reply: Reply) -> Events:
        """Make the events of a reply."""
        lost = isinstance(reply, Unsubscribed) and reply.code is UnsubscribeCode.INSUFFICIENT_STATE
        return Events(sse.reply(reply), lose_place=lost)


class EventStream(QueuedConnection):
    """One response: holds what it is given until it begins, so that it may still be refused.

    Args:
        node: whose session it carries.
        writers: runs the writer.
        scope: the request's.
        receive: the ASGI callable.
        send: the ASGI callable.
        since: where the client stands in its channels.
    """

    __slots__ = ("_begun", "_line", "_respond", "positions")

    transport = "sse"

    def __init__(
        self,
        node: Node,
        writers: Writers,
        scope: Scope,
        receive: Receive,
        send: Send,
        since: Mapping[str, Position],
    ) -> None:
        super().__init__(node, writers, receive, self._send_later)
        self._respond = send
        self._begun: asyncio.Future[None] | None = asyncio.get_running_loop().create_future()
        self._line: Line | None = (scope.get("extensions") or {}).get(LINE)
        self.positions = Positions(since)

    def write(self, frame: Events) -> None:  # type: ignore[override]  # what becomes a frame here
        """Queue events, with the ids that they have for this client."""
        if not self._closing:
            self._queue_text(sse.render(frame.events, self.positions))
            if frame.lose_place:  # not now: somebody may be going through the session's channels
                asyncio.get_running_loop().call_soon(self._send_back)

    write_through = write  # type: ignore[assignment]  # as above

    def carries(self, session: Session) -> None:
        """Name the session that ends with this response, and have it told when the web server stops."""
        super().carries(session)
        if self._line is not None:
            close, restart = self._node.connections.close, CloseCode.SERVICE_RESTART
            self._line.at_stop(lambda: close(session, restart, "The server is restarting"))

    async def begin(self, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """Begin the response; what was written before follows."""
        await self._respond({"type": "http.response.start", "status": 200, "headers": headers})
        await self._respond(body(sse.retry(self._wait())))
        self._send = self._respond
        if self._begun is not None:
            self._begun.set_result(None)
            self._begun = None

    async def until_over(self) -> None:
        """Wait until the client is gone, or has been sent the end."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    def _send_back(self) -> None:
        """End the stream: its client cannot subscribe again by itself, but returns with its positions."""
        if self._session is not None:
            self._node.connections.close(self._session, CloseCode.TRY_AGAIN_LATER, SENT_BACK)

    async def _send_later(self, message: Message) -> None:
        if self._begun is not None:
            await asyncio.wait([self._begun])
        await self._respond(message)

    def _queue_text(self, text: bytes) -> None:
        super().write(TextFrame((body(text),), len(text)))

    def _last(self, code: int, reason: str) -> LastFrame:
        words = sse.closing(as_close_code(code), reason)
        return LastFrame((body(words), {"type": "http.response.body", "body": b"", "more_body": False}))

    def _cut_off(self) -> None:
        if self._line is None or self._begun is not None:
            super()._cut_off()
        else:  # the task that reads learns of it, and the web server that nothing is left to complete
            self._line.abort()

    def _wait(self) -> float:
        chance = 0.5 if self._session is None else (hash(self._session.id) & 0xFFFF) / 0x10000
        return SOONEST + (LATEST - SOONEST) * chance


def as_close_code(number: int) -> CloseCode:
    """Find the row of the table: what is told to a client is whether it comes back."""
    return next(code for code in CloseCode if code == number)


def body(text: bytes) -> Message:
    """Make a part of a response."""
    return {"type": "http.response.body", "body": text, "more_body": True}
