"""Reading as a server: what arrived goes in, whole messages come out (RFC 6455, RFC 7692).

The reader is asked for one message at a time, so that its owner can stop between two. Everything is checked as early
as the bytes allow: a frame's header before its payload has arrived, each fragment when it is there.
"""

import sys

from hubbub.websocket.assembly import Assembly
from hubbub.websocket.deflate import Inflater
from hubbub.websocket.frames import Opcode
from hubbub.websocket.headers import CONTROL, FINAL, MASKED, OPCODE, RSV1, check_start, extended_length
from hubbub.websocket.masking import unmask
from hubbub.websocket.messages import (
    Close,
    Message,
    Ping,
    Pong,
    ProtocolViolation,
    Violation,
    decode_text,
    not_utf8,
)

_from_bytes = int.from_bytes

_TEXT = int(Opcode.TEXT)  # a member of an enumeration takes longer to look up
_USUAL = FINAL | _TEXT
"""The first byte of most frames: a whole text message, not compressed."""
_NEVER = -1
_SHORT = 125
"""Payloads up to this have their length in the header's second byte."""

_HEADER = 6
"""Bytes before the payload of such a frame: two, and four of the key."""

# The quick way for a short frame takes all of it, header and all, as one little-endian integer. The key, left in its
# place, times a number with a one in every fourth byte is the mask of the payload (and of the key itself), up to three
# bytes too long.
_KEY = 0xFFFFFFFF_0000


def _quick_way(length: int) -> tuple[int, int, int, slice]:
    """Work out for a payload's length: the frame's, that number, bytes for the result, where in it the payload is."""
    end = _HEADER + length
    return end, sum(1 << 32 * word for word in range((length + 3) // 4 + 1)), end + 3, slice(_HEADER, end)


_QUICK = tuple(
    _quick_way(second - MASKED) if MASKED <= second <= MASKED | _SHORT else None for second in range(256)
)
"""By the second byte; None where the frame is not masked or not short."""


class FrameReader:
    """Turns the bytes of one client into messages.

    Args:
        max_bytes: bound on a message, as it arrives and after inflating; 0 for none.
        inflate: whether permessage-deflate was agreed, with `client_no_context_takeover`.
    """

    __slots__ = (
        "_assembly",
        "_at",
        "_data",
        "_failure",
        "_inflate",
        "_max_bytes",
        "_needed",
        "_over",
        "_partial",
        "_usual",
    )

    def __init__(self, max_bytes: int, *, inflate: bool) -> None:
        self._max_bytes = max_bytes or sys.maxsize - 1
        self._inflate = inflate
        self._data = b""
        """What is being read, from `_at` on."""
        self._at = 0
        self._partial: bytearray | None = None
        """What waits for more; `_data` is empty meanwhile."""
        self._needed = 0
        """Bytes of `_partial` before which there is no point in looking at it again."""
        self._assembly: Assembly | None = None
        """The message of which not all fragments have arrived."""
        self._over = False
        self._failure: tuple[Violation, str] | None = None
        """Not the exception: its traceback would hold this reader, which holds it."""
        self._expect_message()

    def feed(self, data: bytes) -> None:
        """Take what arrived; dropped after a Close or a violation.

        What has not been read by then is copied, so let the peer wait while you do not read.
        """
        if self._data or self._partial is not None:
            self._append(data)
        else:
            self._data = data

    def read(self) -> Message | None:
        """Return the next message; None when it needs more bytes, and after a Close.

        Raises:
            ProtocolViolation: what the peer sent is not allowed. The same is raised from then on.
        """
        data = self._data
        if not data:
            return None if self._partial is None else self._look_again()
        at = self._at
        try:
            quick = _QUICK[data[at + 1]]
            if quick is not None and data[at] == self._usual:
                length, spread, size, payload = quick
                end = at + length
                if end <= len(data):
                    if end < len(data):
                        self._at = end
                        data = data[at:end]
                    else:
                        self._data = b""
                        if at:
                            self._at = 0
                            data = data[at:]
                    masked = _from_bytes(data, "little")
                    plain = masked ^ (masked & _KEY) * spread
                    return plain.to_bytes(size, "little")[payload].decode()
        except IndexError:  # there is only one byte
            pass
        except UnicodeDecodeError:
            self._stop(not_utf8())
            raise not_utf8() from None  # without a name: the traceback would hold it, and it the traceback
        try:
            return self._read_frames()
        except ProtocolViolation as violation:
            self._stop(violation)
            raise

    def _append(self, data: bytes) -> None:
        if self._over:
            return
        if self._partial is None:
            self._partial = self._keep(0)
        self._partial += data

    def _keep(self, needed: int) -> bytearray:
        """Put by what has not been read, until `needed` bytes of it are there."""
        partial = bytearray(memoryview(self._data)[self._at :])
        self._needed = needed
        self._data = b""
        self._at = 0
        return partial

    def _look_again(self) -> Message | None:
        if self._failure is not None:
            raise ProtocolViolation(*self._failure)
        partial = self._partial
        if partial is None or self._over or len(partial) < self._needed:
            return None
        self._data = bytes(partial)
        self._partial = None
        return self.read()

    def _read_frames(self) -> Message | None:
        while self._data:
            frame = self._next_frame()
            if frame is None:
                break
            message = self._take(*frame)
            if message is not None:
                return message
        return None

    def _next_frame(self) -> tuple[int, bytes] | None:
        """Return the first byte and the plain payload of a frame; None when not all of it is there."""
        data = self._data
        at = self._at
        if len(data) < at + 2:
            self._wait_for(2)
            return None
        first, second = data[at], data[at + 1]
        assembly = self._assembly
        check_start(first, second, assembly is not None, self._inflate)
        length = second - MASKED
        key_at = at + 2
        if length > _SHORT:
            key_at += 2 if length == 126 else 8
            if len(data) < key_at:
                self._wait_for(key_at - at)
                return None
            length = extended_length(data[at + 2 : key_at])
        room = self._max_bytes if assembly is None else self._max_bytes - assembly.received
        if length > room and not first & CONTROL:
            raise ProtocolViolation(Violation.TOO_BIG, "Message is too big")
        payload_at = key_at + 4
        end = payload_at + length
        if len(data) < end:
            self._wait_for(end - at)
            return None
        if len(data) == end:
            self._data = b""
            self._at = 0
        else:
            self._at = end
        return first, unmask(data[payload_at:end], data[key_at:payload_at])

    def _wait_for(self, needed: int) -> None:
        self._partial = self._keep(needed)

    def _take(self, first: int, payload: bytes) -> Message | None:
        if first & CONTROL:
            return self._take_control(first & OPCODE, payload)
        assembly = self._assembly
        if assembly is None:
            is_text = first & OPCODE == _TEXT
            is_compressed = bool(first & RSV1)
            if first & FINAL:
                plain = Inflater().add(payload, self._max_bytes, final=True) if is_compressed else payload
                return decode_text(plain) if is_text else plain
            assembly = Assembly(self._max_bytes, is_text=is_text, is_compressed=is_compressed)
            self._assembly = assembly
            self._usual = _NEVER
        final = first & FINAL != 0
        message = assembly.add(payload, final=final)
        if final:
            self._assembly = None
            self._expect_message()
        return message

    def _take_control(self, opcode: int, payload: bytes) -> Message:
        if opcode == Opcode.PING:
            return Ping(payload)
        if opcode == Opcode.PONG:
            return Pong(payload)
        close = Close.parse(payload)
        self._stop(None)
        return close

    def _expect_message(self) -> None:
        """Let frames with this first byte go the quick way, unless the limit is so small that it has to be looked at."""
        self._usual = _USUAL if self._max_bytes >= _SHORT else _NEVER

    def _stop(self, violation: ProtocolViolation | None) -> None:
        """Read nothing more."""
        self._over = True
        if violation is not None:
            self._failure = violation.code, violation.reason
        self._assembly = None
        self._data = b""
        self._partial = bytearray()  # so that `feed` and `read` need not look at `_over`
