"""What a peer sent, and what is wrong with it.

A text message is a `str` and a binary one `bytes`: the usual message costs no object besides itself.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Self

from hubbub.exceptions import HubbubError
from hubbub.websocket.frames import may_be_sent


class Violation(IntEnum):
    """Why nothing more can be read: the close code to answer with (RFC 6455 section 7.4.1)."""

    PROTOCOL_ERROR = 1002
    INVALID_DATA = 1007
    TOO_BIG = 1009


class ProtocolViolation(HubbubError):
    """The peer broke the protocol or a bound: answer with a Close of this code and reason, and read no more."""

    def __init__(self, code: Violation, reason: str) -> None:
        super().__init__(f"{code:d} {reason}")
        self.code = code
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Ping:
    """A question whether we are there; to be answered by a Pong with the same payload."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Pong:
    """The answer to a Ping, or a sign of life that nobody asked for."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Close:
    """The last thing that a peer sends; the code is None where it gave none."""

    code: int | None
    reason: str

    @classmethod
    def parse(cls, payload: bytes) -> Self:
        """Understand the payload of a Close frame (RFC 6455 sections 5.5.1 and 7.4).

        Raises:
            ProtocolViolation: half a code, a code that must not be sent (1002), or a reason that is not UTF-8 (1007).
        """
        if not payload:
            return cls(None, "")
        code = int.from_bytes(payload[:2])  # of one byte alone: too small to be one
        if not may_be_sent(code):
            raise ProtocolViolation(Violation.PROTOCOL_ERROR, "Close code is not valid")
        return cls(code, decode_text(payload[2:]))


Message = str | bytes | Ping | Pong | Close


def decode_text(payload: bytes | bytearray) -> str:
    """Decode UTF-8 (RFC 6455 section 8.1).

    Raises:
        ProtocolViolation: it is not UTF-8; code 1007.
    """
    try:
        return payload.decode()
    except UnicodeDecodeError:
        raise not_utf8() from None


def not_utf8() -> ProtocolViolation:
    """Make the violation for text that is not UTF-8."""
    return ProtocolViolation(Violation.INVALID_DATA, "Text is not UTF-8")
