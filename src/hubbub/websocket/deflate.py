"""permessage-deflate (RFC 7692), each message on its own.

Both sides agreed to `no_context_takeover`: a message is compressed once for any number of receivers, and no zlib object
(up to 300 KB each) stays with a connection.
"""

import zlib

from hubbub.websocket.messages import ProtocolViolation, Violation

MIN_COMPRESSED_BYTES = 150
"""Messages below this are sent as they are."""

_TAIL = b"\x00\x00\xff\xff"
"""What every message would end with; taken off by the sender, put back by the receiver (sections 7.2.1, 7.2.2)."""
_PROBE = _TAIL + b"\x03\x00"
"""... and an empty last block: an inflater that does not see it was not at a block's end, so the message was cut."""
_ENDINGS = (b"", b"\x00")
"""What may follow a sender's own last block: a byte that opens the block whose rest is the tail (section 7.2.3.4)."""


class Compressor:
    """Compresses messages for all receivers that agreed on the same window.

    Args:
        window_bits: `server_max_window_bits`, from 9 to 15: how far back a receiver can look, as a power of two.
    """

    __slots__ = ("_pristine",)

    def __init__(self, window_bits: int) -> None:
        self._pristine = zlib.compressobj(6, zlib.DEFLATED, -window_bits, 5)

    def compress(self, payload: bytes) -> bytes:
        """Compress one message, for `compressed_text_frame`."""
        deflate = self._pristine.copy()
        return (deflate.compress(payload) + deflate.flush(zlib.Z_SYNC_FLUSH))[:-4]


class Inflater:
    """Inflates one message, whole or in fragments, and never more of it than asked for."""

    __slots__ = ("_inflate",)

    def __init__(self) -> None:
        # A smaller window than the largest would save nothing that lasts, and would have to be remembered.
        self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)

    def add(self, deflated: bytes, room: int) -> bytes:
        """Inflate a fragment.

        Args:
            deflated: the fragment's payload.
            room: bytes that may come out of it.

        Raises:
            ProtocolViolation: there is more than that, or it is not deflate data.
        """
        inflate = self._inflate
        try:
            inflated = inflate.decompress(deflated, room + 1)  # 0 would mean without a bound
        except zlib.error:
            raise ProtocolViolation(Violation.INVALID_DATA, "Compressed data is broken") from None
        if len(inflated) > room:
            raise ProtocolViolation(Violation.TOO_BIG, "Message is too big")
        if inflate.unused_data not in _ENDINGS:
            # Section 7.2.1 allows further blocks; nobody is known to send them, and to ignore them would lose data.
            raise ProtocolViolation(Violation.INVALID_DATA, "Compressed data goes on after its end")
        return inflated

    def finish(self, room: int) -> bytes:
        """Inflate what the end of the message brings out.

        Raises:
            ProtocolViolation: it is more than `room` bytes, or the message was cut.
        """
        inflate = self._inflate
        inflated = b"" if inflate.eof else self.add(_PROBE, room)
        if not inflate.eof:
            raise ProtocolViolation(Violation.INVALID_DATA, "Compressed data is cut off")
        return inflated


def inflate(deflated: bytes, max_bytes: int) -> bytes:
    """Inflate a message that came in one frame.

    Raises:
        ProtocolViolation: more than `max_bytes` come out of it (1009), or it is not deflate data (1007).
    """
    inflater = Inflater()
    inflated = inflater.add(deflated, max_bytes)
    return inflated + inflater.finish(max_bytes - len(inflated))
