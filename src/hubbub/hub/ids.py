"""Ids: UUIDs of version 7, which begin with the time (RFC 9562 section 5.7). `uuid.uuid7` comes with Python 3.14."""

import os
import time

RANDOM_BYTES = 10
DRAWN_AT_ONCE = 256
IDS_A_MILLISECOND = 1 << 12
"""How many rising ids one millisecond has room for."""


class SecretIds:
    """Makes ids that nobody can guess: 48 bits of milliseconds, then 74 random bits.

    These are drawn for many ids at once, because each draw is a system call.
    """

    __slots__ = ("_at", "_drawn")

    def __init__(self) -> None:
        self._drawn = b""
        self._at = 0

    def new(self) -> str:
        """Make one."""
        if self._at == len(self._drawn):
            self._drawn, self._at = os.urandom(DRAWN_AT_ONCE * RANDOM_BYTES), 0
        random = int.from_bytes(self._drawn[self._at : self._at + RANDOM_BYTES])
        self._at += RANDOM_BYTES
        return _text(time.time_ns() // 1_000_000, random & 0xFFF, random >> 12)


class RisingIds:
    """Makes ids that rise, compared as texts too, so that they stand in the order in which they were made.

    Within a millisecond they are counted, and its random bits are drawn once (RFC 9562 section 6.2, method 1): a draw
    for each would cost more than storing a publication. So they are unique, but not secret.
    """

    __slots__ = ("_count", "_milliseconds", "_prefix", "_suffix")

    def __init__(self) -> None:
        self._milliseconds = -1
        self._count = 0
        self._prefix = self._suffix = ""

    def new(self, now: float) -> str:
        """Make one.

        Args:
            now: seconds since 1970 UTC; where they run backwards, ids go on from the latest there was.
        """
        milliseconds = int(now * 1000)
        self._count += 1
        if milliseconds > self._milliseconds:
            self._begin(milliseconds)
        elif self._count == IDS_A_MILLISECOND:
            self._begin(self._milliseconds + 1)
        return f"{self._prefix}{self._count:03x}{self._suffix}"

    def _begin(self, milliseconds: int) -> None:
        text = _text(milliseconds, 0, int.from_bytes(os.urandom(8)))
        self._milliseconds = milliseconds
        self._count = 0
        self._prefix, self._suffix = text[:15], text[18:]


def _text(milliseconds: int, twelve: int, random: int) -> str:
    # Version 7 and the variant, 10, stand before the twelve bits and the other 62.
    return (
        f"{milliseconds >> 16 & 0xFFFF_FFFF:08x}-{milliseconds & 0xFFFF:04x}-7{twelve:03x}"
        f"-{random >> 48 & 0x3FFF | 0x8000:04x}-{random & 0xFFFF_FFFF_FFFF:012x}"
    )


def made_at(text: str) -> float:
    """Return when an id of version 7 was made, in seconds since 1970 UTC."""
    return int(text[:8] + text[9:13], 16) / 1000
