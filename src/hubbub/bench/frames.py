"""WebSocket frames (RFC 6455 section 5.2) as a load client needs them: made cheaply, walked without decoding."""

import zlib
from typing import NamedTuple

TEXT = 0x1
CLOSE = 0x8
PING = 0x9
PONG = 0xA

FINAL = 0x80
COMPRESSED = 0x40
"""RSV1: the message is deflated (RFC 7692 section 6)."""

DEFLATE_TAIL = b"\x00\x00\xff\xff"


class Frame(NamedTuple):
    """Where a frame lies in a chunk: its first byte, and the bounds of its payload."""

    head: int
    start: int
    end: int

    @property
    def opcode(self) -> int:
        """What kind of frame it is."""
        return self.head & 0x0F

    @property
    def compressed(self) -> bool:
        """Whether its payload is deflated."""
        return bool(self.head & COMPRESSED)


def frame(opcode: int, payload: bytes) -> bytes:
    """Make a masked frame; a key of zeros leaves the payload as it is, and is as good as any to a server."""
    length = len(payload)
    if length < 126:
        header = bytes((FINAL | opcode, 0x80 | length))
    elif length < 1 << 16:
        header = bytes((FINAL | opcode, 0x80 | 126)) + length.to_bytes(2, "big")
    else:
        header = bytes((FINAL | opcode, 0x80 | 127)) + length.to_bytes(8, "big")
    return header + bytes(4) + payload


def text(payload: str) -> bytes:
    """Make a text frame."""
    return frame(TEXT, payload.encode())


def walk(data: bytes, start: int = 0) -> tuple[list[Frame], int]:
    """Find the whole frames of a chunk that a server sent; return them, and where what is left begins."""
    frames = []
    at, size = start, len(data)
    while at + 2 <= size:
        length, body = data[at + 1], at + 2
        if length == 126:
            body += 2
            length = int.from_bytes(data[at + 2 : body], "big")
        elif length == 127:
            body += 8
            length = int.from_bytes(data[at + 2 : body], "big")
        if body + length > size:
            break
        frames.append(Frame(data[at], body, body + length))
        at = body + length
    return frames, at


def inflate(payload: bytes) -> bytes:
    """Inflate one message of a server that keeps no context (`server_no_context_takeover`)."""
    return zlib.decompressobj(wbits=-zlib.MAX_WBITS).decompress(payload + DEFLATE_TAIL)


def closing(payload: bytes) -> tuple[int, str]:
    """Read the code and the reason of a Close frame; 1005 where there is none (RFC 6455 section 7.1.5)."""
    if len(payload) < 2:
        return 1005, ""
    return int.from_bytes(payload[:2], "big"), payload[2:].decode(errors="replace")
