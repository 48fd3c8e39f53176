"""Time, as a collaborator: the system's, or a test's (`hubbub.testing.FakeClock`)."""

import time
from datetime import UTC, datetime
from typing import Protocol


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

    def monotonic(self) -> float:
        """Return `time.monotonic()`."""
        return time.monotonic()

    def time(self) -> float:
        """Return `time.time()`."""
        return time.time()


def rfc3339(seconds: float) -> str:
    """Write seconds since 1970 as RFC 3339 in UTC with milliseconds: ``2026-11-20T16:56:01.250Z``."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
