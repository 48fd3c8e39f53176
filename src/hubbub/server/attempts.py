"""A bound on failed attempts to sign in, for each caller.

A code cannot be guessed; the bound keeps a caller who tries from spending the server's time and log.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

from starlette.exceptions import HTTPException

MOST = 30
"""Failures in one window before a caller is turned away."""
WINDOW = 60.0
"""Seconds of a window, which begins with the first failure."""


class Attempts(Protocol):
    """Counts what fails, by caller. Where several processes serve, they need one that they share."""

    async def check(self, caller: str) -> None:
        """Turn away a caller who failed too often.

        Raises:
            HTTPException: 429, with the seconds to wait.
            AuthenticationUnavailable: it cannot be found out.
        """
        ...

    async def failed(self, caller: str) -> None:
        """Count a failure."""
        ...


class MemoryAttempts:
    """Counts in the memory of one process, in windows of a fixed length.

    Args:
        most: failures in one window before a caller is turned away.
        window: its seconds.
        callers: how many callers are remembered; above it the one that failed first is forgotten.
        now: tells seconds that never run backwards.
    """

    def __init__(
        self,
        most: int = MOST,
        window: float = WINDOW,
        callers: int = 10_000,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most = most
        self._window = window
        self._callers = callers
        self._now = now
        self._failures: OrderedDict[str, tuple[float, int]] = OrderedDict()

    async def check(self, caller: str) -> None:
        """Turn away a caller who failed too often."""
        began, count = self._failures.get(caller, (0.0, 0))
        left = began + self._window - self._now()
        if count >= self._most and left > 0:
            raise too_many(left)

    async def failed(self, caller: str) -> None:
        """Count a failure."""
        now = self._now()
        began, count = self._failures.get(caller, (now, 0))
        if now - began >= self._window:
            began, count = now, 0
        self._failures[caller] = began, count + 1
        if len(self._failures) > self._callers:
            self._failures.popitem(last=False)


def too_many(left: float) -> HTTPException:
    """Return what a caller is turned away with, for so many seconds."""
    wait = f"{left:.0f}" if left >= 1 else "1"
    return HTTPException(
        429, f"Too many attempts to sign in failed; try again in {wait} s.", headers={"Retry-After": wait}
    )
