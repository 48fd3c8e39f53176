"""How a server is spoken to: the handshake, joining, publishing, and what a delivery looks like.

`PLAIN` is Hubbub's plain JSON dialect. Servers with another protocol are another value of `Wire`; nothing else in
this package knows what they say.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from hubbub.bench.frames import text

NO_MARK = "T=" + "0" * 16
"""In the place of a publication's mark: `T=` and 16 hex digits of the monotonic clock in nanoseconds."""

DEFLATE = (
    "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n"
)


@dataclass(frozen=True, slots=True)
class Seat:
    """Who comes, with which token, into which rooms; the first room is the one a member publishes to."""

    user_id: str
    rooms: Sequence[str]
    token: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """What is said once something has been heard, as often as there are rooms where `each_room`."""

    heard: bytes
    say: Callable[[Seat], bytes] | None = None
    each_room: bool = False


@dataclass(frozen=True, slots=True)
class Wire:
    """One protocol.

    Args:
        path: where a member connects.
        steps: from the handshake to being in all its rooms.
        publication: makes the frame of a message with this content to this room.
        needle: what stands before the hex digits of each mark, once for each delivery.
        subprotocol: what is offered in the handshake.
        answers: text messages that must be answered, such as heartbeats.
        refusal: what an error in place of a delivery contains.
    """

    path: Callable[[Seat], str]
    steps: Sequence[Step]
    publication: Callable[[str, str], bytes]
    needle: bytes = b'"content":"T='
    subprotocol: str | None = None
    answers: Mapping[bytes, bytes] = field(default_factory=dict)
    refusal: bytes | None = None

    def handshake(self, host: str, port: int, seat: Seat, deflate: bool) -> bytes:
        """Make the request that opens a WebSocket; the key may be the same for all (RFC 6455 section 4.1)."""
        protocol = f"Sec-WebSocket-Protocol: {self.subprotocol}\r\n" if self.subprotocol else ""
        bearer = f"Authorization: Bearer {seat.token}\r\n" if seat.token else ""
        return (
            f"GET {self.path(seat)} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            f"Sec-WebSocket-Version: 13\r\n{protocol}{bearer}{DEFLATE if deflate else ''}\r\n"
        ).encode()

    def template(self, room: str, padding: str) -> tuple[bytes, bytes]:
        """Return what stands before and after the hex digits in the frames of a room's messages."""
        frame = self.publication(room, NO_MARK + padding)
        before, _, after = frame.partition(NO_MARK.encode())
        return before + b"T=", after


def json_text(message: Mapping[str, object]) -> bytes:
    """Make a text frame of a JSON message."""
    return text(msgspec.json.encode(message).decode())


def _join(seat: Seat) -> bytes:
    return b"".join(json_text({"type": "join_room", "room_id": room}) for room in seat.rooms)


def _message(room: str, content: str) -> bytes:
    return json_text({"type": "message", "room_id": room, "content": content})


PLAIN = Wire(
    path=lambda _: "/ws",
    steps=(Step(b'"type":"welcome"', _join), Step(b'"type":"joined"', each_room=True)),
    publication=_message,
    subprotocol="hubbub",
    refusal=b'"type":"error"',
)
