"""What a client's frame header must look like (RFC 6455 section 5.2), checked before its payload has arrived."""

from hubbub.websocket.frames import MAX_CONTROL_PAYLOAD, Opcode
from hubbub.websocket.messages import ProtocolViolation, Violation

FINAL = 0x80
"""In the first byte: the last fragment of a message, or the only one."""
RSV1 = 0x40
"""In the first byte: the message is compressed (RFC 7692 section 6)."""
OPCODE = 0x0F
"""In the first byte: the bits of the opcode."""
CONTROL = 0x08
"""In the first byte: a Close, a Ping or a Pong, not a part of a message."""
MASKED = 0x80
"""In the second byte: set in every frame of a client. The rest is the length, or 126 or 127 in the place of one."""

_RESERVED = 0x70
_OPCODES = frozenset(Opcode)
_LONGEST_CONTROL = MASKED | MAX_CONTROL_PAYLOAD


def check_start(first: int, second: int, in_message: bool, inflate: bool) -> None:
    """Check the two bytes that every frame begins with.

    Args:
        first: final bit, three reserved bits, opcode.
        second: mask bit and length.
        in_message: whether fragments of a message have arrived, but not its last.
        inflate: whether messages may be compressed.

    Raises:
        ProtocolViolation: with the code 1002.
    """
    wrong = _WRONG[in_message, inflate][first]
    if wrong is not None:
        raise _error(wrong)
    if second < MASKED:
        # Section 5.1: "The server MUST close the connection upon receiving a frame that is not masked."
        raise _error("Frame is not masked")
    if second > _LONGEST_CONTROL and first & CONTROL:
        raise _error("Control frame is too long")


def extended_length(field: bytes) -> int:
    """Read a length that did not fit into the second byte.

    Args:
        field: its two or eight bytes.

    Raises:
        ProtocolViolation: with the code 1002, when fewer bytes would have done ("the minimal number of bytes MUST be
            used"), or the first of 64 bits is set ("the most significant bit MUST be 0").
    """
    length = int.from_bytes(field)
    if length < (126 if len(field) == 2 else 1 << 16):
        raise _error("Length is not minimal")
    if length >> 63:
        raise _error("Length has 64 bits")
    return length


def _what_is_wrong(first: int, in_message: bool, inflate: bool) -> str | None:
    opcode = first & OPCODE
    if opcode not in _OPCODES:
        return "Opcode is reserved"
    # RFC 7692 section 6.1: RSV1 stands on the first fragment of a message, on no other and on no control frame.
    compressible = opcode in {Opcode.TEXT, Opcode.BINARY}
    if first & _RESERVED and not (first & _RESERVED == RSV1 and compressible and inflate):
        return "Reserved bits are set"
    if opcode & CONTROL:
        return None if first & FINAL else "Control frame is fragmented"
    if opcode == Opcode.CONTINUATION:
        return None if in_message else "There is nothing to continue"
    return "A message began inside another" if in_message else None


# Looked up, because working it out takes as long as all the rest of reading a frame.
_WRONG = {
    (in_message, inflate): tuple(_what_is_wrong(first, in_message, inflate) for first in range(256))
    for in_message in (False, True)
    for inflate in (False, True)
}
"""What is wrong with each first byte."""


def _error(reason: str) -> ProtocolViolation:
    return ProtocolViolation(Violation.PROTOCOL_ERROR, reason)
