"""Time, as a collaborator: the system's, or a test's (`hubbub.testing.FakeClock`)."""

import time
from datetime import UTC, datetime
from functools import lru_cache
from typing import Protocol

# Formatting a number costs as much as the rest of a time that is written; there is one in every publication.
_MILLISECONDS = tuple(f".{number:03}Z" for number in range(1000))


class Clock(Protocol):
    """Tells the time; everything that waits or expires asks one of these."""

    def monotonic(self) -> float:
        """Return seconds that never run backwards, for deadlines."""
        ...

    def time(self) -> float:
        """Return seconds since 1970-01-01 UTC, for what users and tokens see."""
        ...


class SystemClock:
    """The operating system's clocks."""

    __slots__ = ()

    # The functions themselves: every message asks for both times, and a call around each would double their cost.
    monotonic = staticmethod(time.monotonic)
    time = staticmethod(time.time)


def rfc3339(seconds: float) -> str:
    """Write seconds since 1970 as RFC 3339 in UTC with milliseconds: ``2026-11-20T16:56:01.250Z``.

    Rounded to microseconds, then cut to milliseconds, as `datetime` does it.
    """
    whole = int(seconds)
    microseconds = round((seconds - whole) * 1_000_000)
    if not 0 <= microseconds < 1_000_000:
        carry, microseconds = divmod(microseconds, 1_000_000)
        whole += carry
    return _to_the_second(whole) + _MILLISECONDS[microseconds // 1000]


@lru_cache(maxsize=64)
def _to_the_second(seconds: int) -> str:
    # What is published within one second shares this, which is nearly all of the text.
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None).isoformat()
