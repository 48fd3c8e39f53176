"""uvicorn's HTTP protocol with bounds on the head of a request, and a say in how streams end: it has neither."""

import asyncio
import json
import sys
from collections.abc import Callable
from enum import Enum, auto

from httptools import HttpParserUpgrade
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from hubbub.endpoints.event_stream import LINE

HEAD_BYTES = 65_536
"""What a head may have beyond the chunk that it begins in."""

LINE_BYTES = 8_000
LINES = 100
"""Header lines: below what uvicorn's WebSocket parser takes (8 KiB, 128 lines), which beyond that gives up without an
answer, so that the client would wait for ever."""

HEAD_SECONDS = 10.0
"""Long enough for a few hundred bytes over the worst connection."""

REFUSAL = json.dumps(
    {
        "type": "about:blank",
        "title": "Request Header Fields Too Large",
        "status": 431,
        "detail": "The request line or the headers are too large.",
    }
).encode()
"""As every error of the HTTP API (RFC 9457)."""


class HeadTooLarge(Exception):
    """A head is over one of the bounds: stops the parser, and reaches nobody."""


class Part(Enum):
    """What is being read."""

    NOTHING = auto()
    HEAD = auto()
    BODY = auto()


class BoundedHTTP(HttpToolsProtocol):
    """Answers 431 to a head that is too large, and hangs up on one that does not come.

    Either would cost memory or a socket before anybody has said who they are, where no other limit sees it.

    To applications it is the `Line` of each response: uvicorn, when it stops, waits for every stream to end and tells none,
    and has no way to give up one whose client does not read.
    """

    _part = Part.NOTHING
    _seen = 0
    _chunk = b""
    _too_large = False
    _deadline: asyncio.TimerHandle | None = None
    _when_stopped: Callable[[], None] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Expect the first head."""
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Expect nothing more."""
        self._stop_expecting()
        self._let_go()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what arrives, and count what a head is made of."""
        before = self._part
        if before is not Part.BODY:
            self._expect_head()  # empty lines, which the parser passes over, begin no head
        self._chunk = data
        super().data_received(data)
        self._chunk = b""
        if before is self._part is Part.HEAD:
            self._seen += len(data)
            if self._seen > HEAD_BYTES and not self.transport.is_closing():
                self._too_large = True
                self.send_400_response("")

    def handle_websocket_upgrade(self) -> None:
        """Make room for the WebSocket's protocol, and give it what came behind the head, which uvicorn drops."""
        upgrade = sys.exception()  # the parser's, which says where it stopped
        super().handle_websocket_upgrade()
        if isinstance(upgrade, HttpParserUpgrade) and (behind := self._chunk[upgrade.args[0] :]):
            protocol = self.transport.get_protocol()
            if isinstance(protocol, asyncio.Protocol):
                protocol.data_received(behind)

    def on_message_begin(self) -> None:
        """Begin a head."""
        self._part, self._seen = Part.HEAD, 0
        self._expect_head()
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; not a trailer behind the body, of which nobody would see how many there are."""
        if self._part is Part.HEAD:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Take a head that is within its bounds.

        Raises:
            HeadTooLarge: it is not; uvicorn calls `send_400_response` when its parser fails.
        """
        self._part = Part.BODY
        self._stop_expecting()
        longest = max((len(name) + len(value) for name, value in self.headers), default=0)
        if max(longest, len(self.url)) > LINE_BYTES or len(self.headers) > LINES:
            self._too_large = True
            raise HeadTooLarge
        before = self.cycle
        super().on_headers_complete()
        if self.cycle is not before:  # no WebSocket, whose protocol would share this
            self.scope["extensions"] = {LINE: self}  # type: ignore[dict-item]  # ours

    def on_message_complete(self) -> None:
        """End a request."""
        self._part = Part.NOTHING
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Have nothing of this response to do when the server stops."""
        self._let_go()
        super().on_response_complete()

    def shutdown(self) -> None:
        """Let a stream say goodbye; uvicorn calls this when it stops."""
        super().shutdown()
        if self._when_stopped is not None:
            self._when_stopped()

    def at_stop(self, callback: Callable[[], None]) -> None:
        """Call back when the server stops, if the response is not over by then."""
        self._when_stopped = callback

    def abort(self) -> None:
        """Cut the connection, whatever was not sent yet."""
        self.transport.abort()

    def send_400_response(self, msg: str) -> None:
        """Refuse what cannot be read, with 431 (RFC 6585 section 5) where its size is the reason."""
        if not self._too_large:
            super().send_400_response(msg)
            return
        self.transport.write(
            b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: application/problem+json\r\n"
            b"content-length: %d\r\nconnection: close\r\n\r\n%s" % (len(REFUSAL), REFUSAL)
        )
        self.transport.close()

    def _let_go(self) -> None:
        self._when_stopped = None
        scope = getattr(self, "scope", None)
        if scope is not None:  # which holds this, and would until the collector came by
            scope.pop("extensions", None)

    def _expect_head(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _stop_expecting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
