"""permessage-deflate (RFC 7692), each message on its own.

Both sides agreed to `no_context_takeover`: a message is compressed once for any number of receivers, and no zlib object
stays with a connection.
"""

import zlib

from hubbub.websocket.messages import ProtocolViolation, Violation

MIN_COMPRESSED_BYTES = 128
"""Messages below this are better sent as they are. JSON of a chat shrinks from 60 to 59 bytes, 100 to 83, 150 to 110,
300 to 220, 1,024 to 553; a client has to inflate it, and up to about 1,400 it is one packet all the same."""

_LEVEL = 2
_MEM_LEVEL = 5
"""Measured for JSON of 1 KiB and for 4 KiB of similar rows, window 12, as µs and bytes: level 1 9.0 (556) and 10.0 (702),
level 2 9.0 (553) and 9.8 (673), level 6 10.6 (547) and 18.8 (608). Smaller memory is slower, more is not quicker. A copy
of an unused compressor takes as long as a new one with this window, and 2.5 µs longer with the largest."""

_TAIL = b"\x00\x00\xff\xff"
"""What every message would end with: taken off by the sender, put back by the receiver (sections 7.2.1 and 7.2.2)."""
_END = _TAIL + b"\x03\x00"
"""... and an empty last block. An inflater that does not come to see it was inside a block: the message was cut."""
_LEFT = (b"", b"\x00")
"""What may be left over after a last block of the sender's own (section 7.2.3.4): nothing, or the byte that opens an
empty block, of which the tail is the rest."""
_LEFT_AT_END = (b"", _END, b"\x00" + _END)


class Compressor:
    """Compresses messages for all receivers that agreed on the same window.

    Args:
        window_bits: `server_max_window_bits`, from 9 to 15: how far back a receiver can look, as a power of two. What
            a smaller window made, every larger one can read.
    """

    __slots__ = ("_window_bits",)

    def __init__(self, window_bits: int) -> None:
        if not 9 <= window_bits <= 15:  # zlib makes no raw deflate data for a window of 8
            raise ValueError(f"a window has 9 to 15 bits, not {window_bits}")
        self._window_bits = window_bits

    def compress(self, payload: bytes) -> bytes:
        """Compress one message, for `compressed_text_frame`."""
        deflate = zlib.compressobj(_LEVEL, zlib.DEFLATED, -self._window_bits, _MEM_LEVEL)
        return (deflate.compress(payload) + deflate.flush(zlib.Z_SYNC_FLUSH))[: -len(_TAIL)]


class Inflater:
    """Inflates one message, whole or in fragments, and never more of it than there is room for."""

    __slots__ = ("_inflate",)

    def __init__(self) -> None:
        # For the largest window, which reads all; a smaller one would have to be remembered for each connection.
        self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)

    def add(self, deflated: bytes, room: int, *, final: bool) -> bytes:
        """Inflate the payload of a fragment.

        Args:
            deflated: the payload.
            room: bytes that may come out of it.
            final: whether it is the message's last.

        Raises:
            ProtocolViolation: more comes out of it (1009), or it is not deflate data, or not all of it (1007).
        """
        inflate = self._inflate
        try:
            # One byte over: a bound of 0 would mean none, and only so the whole input is known to have been read.
            inflated = inflate.decompress(deflated + _END if final else deflated, room + 1)
        except zlib.error:
            raise ProtocolViolation(Violation.INVALID_DATA, "Compressed data is broken") from None
        if len(inflated) > room:
            raise ProtocolViolation(Violation.TOO_BIG, "Message is too big")
        if inflate.unused_data not in (_LEFT_AT_END if final else _LEFT):
            # Section 7.2.1 allows blocks after a last one. No client is known to send them; what must not happen is
            # that they are silently left out.
            raise ProtocolViolation(Violation.INVALID_DATA, "Compressed data goes on after its end")
        if final and not inflate.eof:
            raise ProtocolViolation(Violation.INVALID_DATA, "Compressed data is cut off")
        return inflated
