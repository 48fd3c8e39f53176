"""A text dialect in WebSocket frames: what leaves through the direct outlet."""

from collections.abc import Sequence

from hubbub.endpoints.encoding import Dialect, FrameEncoding
from hubbub.websocket.deflate import MIN_COMPRESSED_BYTES, Compressor
from hubbub.websocket.frames import compressed_text_frame, text_frame


class TextFrames(FrameEncoding[bytes]):
    """A text dialect in WebSocket frames, uncompressed."""

    def frame(self, payload: bytes) -> bytes:
        """Make the frame of one message."""
        return text_frame(payload)

    def join(self, frames: Sequence[bytes]) -> bytes:
        """Put several behind one another."""
        return b"".join(frames)


class DeflatedFrames(TextFrames):
    """A text dialect in WebSocket frames, compressed once for all who agreed on the same window (RFC 7692).

    Args:
        dialect: the wire format.
        window_bits: how far back a receiver can look, as a power of two.
    """

    def __init__(self, dialect: Dialect, window_bits: int) -> None:
        super().__init__(dialect)
        self._compress = Compressor(window_bits).compress

    def frame(self, payload: bytes) -> bytes:
        """Make the frame of one message; a small one is not worth compressing, and need not be."""
        if len(payload) < MIN_COMPRESSED_BYTES:
            return text_frame(payload)
        return compressed_text_frame(self._compress(payload))


class DirectEncodings:
    """The encodings of a dialect: one without compression, and one for each window that somebody agreed on."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._plain = TextFrames(dialect)
        self._deflated: dict[int, DeflatedFrames] = {}

    def agreed(self, window_bits: int | None) -> TextFrames:
        """Return the one for a negotiated window; `None` where nothing is compressed."""
        if window_bits is None:
            return self._plain
        if window_bits not in self._deflated:
            self._deflated[window_bits] = DeflatedFrames(self._dialect, window_bits)
        return self._deflated[window_bits]
