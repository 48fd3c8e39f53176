"""A bound on failed attempts to sign in, for each caller."""

import time
from collections import OrderedDict
from collections.abc import Callable

from starlette.exceptions import HTTPException


class Attempts:
    """Counts what fails, by caller, in windows of a fixed length.

    A code cannot be guessed; the bound keeps a caller who tries from spending the server's time and log.

    Args:
        most: failures in one window before a caller is turned away.
        window: its seconds.
        callers: how many callers are remembered; above it the one that failed first is forgotten.
        now: tells seconds that never run backwards.
    """

    def __init__(
        self,
        most: int = 30,
        window: float = 60.0,
        callers: int = 10_000,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most = most
        self._window = window
        self._callers = callers
        self._now = now
        self._failures: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def check(self, caller: str) -> None:
        """Turn away a caller who failed too often.

        Raises:
            HTTPException: 429, with the seconds to wait.
        """
        began, count = self._failures.get(caller, (0.0, 0))
        left = began + self._window - self._now()
        if count >= self._most and left > 0:
            wait = f"{left:.0f}" if left >= 1 else "1"
            raise HTTPException(
                429,
                f"Too many attempts to sign in failed; try again in {wait} s.",
                headers={"Retry-After": wait},
            )

    def failed(self, caller: str) -> None:
        """Count a failure."""
        now = self._now()
        began, count = self._failures.get(caller, (now, 0))
        if now - began >= self._window:
            began, count = now, 0
        self._failures[caller] = began, count + 1
        if len(self._failures) > self._callers:
            self._failures.popitem(last=False)
