"""uvicorn's WebSocket protocol with three things mended: what is a sign of life, pings that nobody reads, closing."""

from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from hubbub.uvicorn.negotiation import EXTENSIONS


class KeepaliveWebSocket(WebSocketsSansIOProtocol):
    """Takes any bytes of a peer for a sign of life, holds no pongs for one that does not read, and closes with words.

    uvicorn's own closes a client that talks all the time and answers no native ping. Overridden: `__init__`,
    `start_keepalive`, `data_received`, `keepalive_timeout`, `handle_ping` and `shutdown`.
    """

    _heard_at = 0.0

    def __init__(self, config: Config, *args: Any, **options: Any) -> None:
        super().__init__(config, *args, **options)
        if config.ws_per_message_deflate:
            self.conn.available_extensions = EXTENSIONS

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
        if self.transport.is_closing():
            self.stop_keepalive()  # its peer said goodbye; uvicorn would raise, and close nobody behind it
        elif self.handshake_complete and not self.close_sent:
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

        RFC 6455 section 5.5.3 asks for an answer to the latest ping only. Nothing follows a Close frame.
        """
        if self.writable.is_set() and not self.close_sent:
            super().handle_ping()
        else:
            self.conn.data_to_send()
