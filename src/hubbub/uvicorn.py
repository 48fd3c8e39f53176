"""uvicorn's WebSocket protocol, from which Hubbub takes the socket over once the handshake is done.

`hubbub serve` uses it. A server of one's own does with ``uvicorn main:app --ws hubbub.uvicorn:DirectWebSocket``, which
needs uvicorn 0.54 with websockets (``pip install hubbub[server]``).

Both classes override a short list of methods of uvicorn's sans-I/O protocol; tests over real sockets hold each of
them, and `hubbub serve` does without the first if a handshake of its own shows that it does not work.
"""

from collections.abc import Callable
from typing import Any, Protocol

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from hubbub.endpoints.direct import Link
from hubbub.endpoints.websocket import SOCKET

EARLY_BYTES = 65_536
"""What a client may send before its handshake is answered, which RFC 6455 section 4.1 tells it not to do."""


class KeepaliveWebSocket(WebSocketsSansIOProtocol):
    """Takes any bytes of a peer for a sign of life, holds no pongs for one that does not read, and closes with words.

    uvicorn's own closes a client that talks all the time and answers no native ping. Overridden: `start_keepalive`,
    `data_received`, `keepalive_timeout`, `handle_ping` and `shutdown`.
    """

    _heard_at = 0.0

    def start_keepalive(self) -> None:
        """Keep nothing of the handshake, which is over when this is called: several KiB for each connection."""
        del self.request, self.response
        super().start_keepalive()

    def data_received(self, data: bytes) -> None:
        """Note when the peer lived."""
        self._heard_at = self.loop.time()
        super().data_received(data)

    def shutdown(self) -> None:
        """Close for a restart, with the reason that uvicorn leaves out."""
        if self.handshake_complete and not (self.close_sent or self.transport.is_closing()):
            self.stop_keepalive()
            self.queue.put_nowait({"type": "websocket.disconnect", "code": 1012})
            self.conn.send_close(1012, "The server is restarting")
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.transport.close()
        else:
            super().shutdown()

    def keepalive_timeout(self) -> None:
        """Give a peer up that has sent nothing at all for an interval and a timeout; look again when that may be."""
        silence = (self.ping_interval or 0.0) + (self.ping_timeout or 0.0)
        left = self._heard_at + silence - self.loop.time()
        if left > 0:
            self.pong_timer = self.loop.call_later(left, self.keepalive_timeout)
        else:
            super().keepalive_timeout()

    def handle_ping(self) -> None:
        """Answer a ping; not while the peer takes nothing, since answers would pile up without bound.

        RFC 6455 section 5.5.3 asks for an answer to the latest ping only.
        """
        if self.writable.is_set():
            super().handle_ping()
        else:
            self.conn.data_to_send()


class LinkMaker(Protocol):
    """Makes what takes a socket over."""

    def __call__(self, window_bits: int | None) -> Link:
        """Make it for the window that permessage-deflate agreed on; `None` without compression."""
        ...


class Nowhere:
    """What a protocol holds in the place of the transport that it gave away: uvicorn closes it when the task ends."""

    def close(self) -> None:
        """Close nothing."""

    def is_closing(self) -> bool:
        """Whether nothing can be written: never."""
        return True


NOWHERE: Any = Nowhere()


class DirectWebSocket(KeepaliveWebSocket):
    """Offers its socket to the application; whoever does not take it gets a WebSocket as from uvicorn.

    The offer stands in the scope, as ``scope["extensions"]["hubbub.socket"]``. Overridden besides: `handle_connect`.
    """

    def handle_connect(self, event: Any) -> None:
        """Shake hands, and offer the socket."""
        super().handle_connect(event)
        if not self.handshake_complete:
            offers: dict[str, Any] = self.scope["extensions"]
            offers[SOCKET] = self.take_over

    def take_over(self, make_link: Callable[[int | None], Link]) -> Link | None:
        """Hand the socket to a link; called right after the handshake was answered.

        Returns:
            What has it now; `None` where it cannot be given away, and everything goes on as it was.
        """
        if self.transport.is_closing() or not self.handshake_complete:
            return None
        link = make_link(None)
        self.stop_keepalive()
        self.connections.discard(self)
        transport, self.transport = self.transport, NOWHERE
        link.taken(transport, self.connections)
        # The handshake's objects hold one another; they go now, and not when the collector comes by.
        del self.scope["extensions"][SOCKET]
        del self.conn.parser
        return link
