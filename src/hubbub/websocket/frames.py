"""Writing frames: what a server sends (RFC 6455 section 5.2). Never masked, never fragmented.

A frame does not depend on who receives it, so the same `bytes` object can be written to any number of sockets.
"""

from enum import IntEnum

MAX_CONTROL_PAYLOAD = 125
"""Bytes that a control frame may carry (RFC 6455 section 5.5)."""
MAX_REASON = MAX_CONTROL_PAYLOAD - 2
"""Bytes of a Close frame's reason; two bytes are its code."""

_FINAL = 0x80
_COMPRESSED = 0x40
"""RSV1 (RFC 7692 section 6)."""


class Opcode(IntEnum):
    """What a frame is (RFC 6455 section 5.2)."""

    CONTINUATION = 0x0
    TEXT = 0x1
    BINARY = 0x2
    CLOSE = 0x8
    PING = 0x9
    PONG = 0xA


_TEXT = _FINAL | Opcode.TEXT
_COMPRESSED_TEXT = _FINAL | _COMPRESSED | Opcode.TEXT
_BINARY = _FINAL | Opcode.BINARY
_COMPRESSED_BINARY = _FINAL | _COMPRESSED | Opcode.BINARY


def text_frame(payload: bytes) -> bytes:
    """Make the frame of a text message.

    Args:
        payload: the text in UTF-8; it is not checked again.
    """
    return _header(_TEXT, len(payload)) + payload


def compressed_text_frame(deflated: bytes) -> bytes:
    """Make the frame of a text message that was compressed: RSV1 is set (RFC 7692 section 6.1).

    Args:
        deflated: what `Compressor.compress` returned for the text in UTF-8.
    """
    return _header(_COMPRESSED_TEXT, len(deflated)) + deflated


def binary_frame(payload: bytes) -> bytes:
    """Make the frame of a binary message."""
    return _header(_BINARY, len(payload)) + payload


def compressed_binary_frame(deflated: bytes) -> bytes:
    """Make the frame of a binary message that was compressed; see `compressed_text_frame`."""
    return _header(_COMPRESSED_BINARY, len(deflated)) + deflated


def ping_frame(payload: bytes = b"") -> bytes:
    """Make a Ping (RFC 6455 section 5.5.2).

    Raises:
        ValueError: the payload is over 125 bytes.
    """
    return _control_frame(Opcode.PING, payload)


def pong_frame(payload: bytes) -> bytes:
    """Make the answer to a Ping, whose payload it repeats (RFC 6455 section 5.5.3).

    Raises:
        ValueError: the payload is over 125 bytes.
    """
    return _control_frame(Opcode.PONG, payload)


def close_frame(code: int | None = None, reason: str = "") -> bytes:
    """Make a Close (RFC 6455 section 5.5.1).

    Args:
        code: why; None for a Close that says nothing, the answer to another such one.
        reason: for people who debug; cut to 123 bytes, at a character's border.

    Raises:
        ValueError: the code is one that must not be sent, or there is a reason without a code.
    """
    if code is None:
        if reason:
            raise ValueError("a reason needs a code")
        return _control_frame(Opcode.CLOSE, b"")
    if not may_be_sent(code):
        raise ValueError(f"{code} is not a close code that may be sent")
    return _control_frame(Opcode.CLOSE, code.to_bytes(2) + fitting(reason).encode())


def fitting(reason: str) -> str:
    """Cut a reason to what a Close frame carries, 123 bytes.

    A lone surrogate, which JSON can smuggle in, becomes "?": closing must not fail for the sake of its reason.
    """
    return reason.encode(errors="replace")[:MAX_REASON].decode(errors="ignore")


def may_be_sent(code: int) -> bool:
    """Say whether a close code may stand in a Close frame (RFC 6455 section 7.4).

    1004 has no meaning yet; 1005, 1006 and 1015 are only ever made up locally; 1012 to 1014 were registered with IANA
    later; what is left below 3000 is reserved for future versions of the protocol.
    """
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999


def _control_frame(opcode: Opcode, payload: bytes) -> bytes:
    if len(payload) > MAX_CONTROL_PAYLOAD:
        raise ValueError(f"a control frame carries at most {MAX_CONTROL_PAYLOAD} bytes, not {len(payload)}")
    return bytes((_FINAL | opcode, len(payload))) + payload


def _header(first: int, length: int) -> bytes:
    if length < 126:
        return bytes((first, length))
    if length < 1 << 16:
        return (first << 24 | 126 << 16 | length).to_bytes(4)
    return bytes((first, 127)) + length.to_bytes(8)
