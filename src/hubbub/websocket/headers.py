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
"""In the second byte: set in every frame of a client."""

_RESERVED = 0x70
_LENGTH = 0x7F


def check_start(first: int, second: int, *, in_message: bool, inflate: bool) -> None:
    """Check the two bytes that every frame begins with.

    Args:
        first: final bit, three reserved bits, opcode.
        second: mask bit, length or what stands for it.
        in_message: whether a fragmented message is not complete yet.
        inflate: whether messages may be compressed.

    Raises:
        ProtocolViolation: with the code 1002.
    """
    opcode = first & OPCODE
    reserved = first & _RESERVED
    if reserved and not (reserved == RSV1 and inflate and opcode in {Opcode.TEXT, Opcode.BINARY}):
        # RFC 7692 section 6.1: on a control frame or a later fragment RSV1 must not be set either.
        raise _error("Reserved bits are set")
    if opcode & CONTROL:
        _check_control(first, second)
    elif opcode > Opcode.BINARY:
        raise _error("Opcode is reserved")
    elif opcode == Opcode.CONTINUATION and not in_message:
        raise _error("There is nothing to continue")
    elif opcode != Opcode.CONTINUATION and in_message:
        raise _error("A message began inside another")
    if not second & MASKED:
        # Section 5.1: "The server MUST close the connection upon receiving a frame that is not masked."
        raise _error("Frame is not masked")


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


def _check_control(first: int, second: int) -> None:
    if first & OPCODE > Opcode.PONG:
        raise _error("Opcode is reserved")
    if not first & FINAL:
        raise _error("Control frame is fragmented")
    if second & _LENGTH > MAX_CONTROL_PAYLOAD:
        raise _error("Control frame is too long")


def _error(reason: str) -> ProtocolViolation:
    return ProtocolViolation(Violation.PROTOCOL_ERROR, reason)
