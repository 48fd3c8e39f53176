"""Putting a message together from its fragments (RFC 6455 section 5.4)."""

from codecs import utf_8_decode

from hubbub.websocket.deflate import Inflater
from hubbub.websocket.messages import ProtocolViolation, Violation, decode_text, not_utf8

MAX_EMPTY_FRAGMENTS = 128
"""Fragments of a message that bring nothing. They cost no memory, but without a bound a peer could send them for
ever, and no limit on messages would ever count one."""


class Assembly:
    """A message of which not all fragments have arrived.

    What has arrived is one `bytearray`: fragments of any size, however many, take no more than their bytes.

    Args:
        max_bytes: bound on what arrives and on what comes out of it.
        is_text: whether it has to be UTF-8.
        is_compressed: whether it has to be inflated.
    """

    __slots__ = ("_body", "_empty", "_inflater", "_is_text", "_max_bytes", "_valid", "received")

    def __init__(self, max_bytes: int, *, is_text: bool, is_compressed: bool) -> None:
        self._max_bytes = max_bytes
        self._is_text = is_text
        self._inflater = Inflater() if is_compressed else None
        self._body = bytearray()
        self._valid = 0
        """Bytes of the body that are known to be UTF-8."""
        self._empty = 0
        self.received = 0
        """Bytes that have arrived, as they were on the wire."""

    def add(self, payload: bytes, *, final: bool) -> str | bytes | None:
        """Take a fragment; return the message when it was the last.

        Raises:
            ProtocolViolation: the message becomes too big (1009), or it is not UTF-8 or broken deflate data (1007).
        """
        if not payload:
            self._empty += 1
            if self._empty > MAX_EMPTY_FRAGMENTS:
                raise ProtocolViolation(Violation.TOO_BIG, "Too many empty fragments")
        self.received += len(payload)
        if self._inflater is not None:
            payload = self._inflater.add(payload, self._max_bytes - len(self._body), final=final)
        self._body += payload
        if not self._is_text:
            return bytes(self._body) if final else None
        if final:
            return decode_text(self._body)
        try:
            # From the first byte of a character that was left open.
            _, decoded = utf_8_decode(self._body[self._valid :], "strict", False)
        except UnicodeDecodeError:
            raise not_utf8() from None
        self._valid += decoded
        return None
