"""How long channels rest that the broker does not take, and when a row has failed often enough."""

from collections.abc import Collection

from hubbub.clock import Clock
from hubbub.database.outbox.batch import Outcome, Waiting
from hubbub.exceptions import HubbubError

SHORTEST, LONGEST = 0.1, 5.0
"""Seconds that channels rest after the first failure, and after many."""
TRIES = 5
"""How often a row may fail in a way that no broker should."""


class Patience:
    """Remembers failures.

    Args:
        clock: what time it is.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._resting: set[str] = set()
        self._until = 0.0
        self._pause = SHORTEST
        self._tries: dict[int, int] = {}

    def resting(self) -> Collection[str]:
        """Return the channels that are left out at the moment."""
        if self._resting and self._clock.monotonic() >= self._until:
            self._resting = set()
        return self._resting

    def within(self, seconds: float) -> float:
        """Return how long to wait: so many seconds, or until those who rest are tried again."""
        return max(0.0, min(seconds, self._until - self._clock.monotonic())) if self._resting else seconds

    def is_over(self, row: Waiting, error: Exception) -> bool:
        """Count a failure; tell whether the row is given up. Errors of Hubbub's own say that the broker is away."""
        if isinstance(error, HubbubError):
            return False
        self._tries[row.id] = self._tries.get(row.id, 0) + 1
        return self._tries[row.id] >= TRIES

    def note(self, outcome: Outcome) -> None:
        """Have the channels rest that failed, longer each time in a row."""
        for row in (*outcome.published, *(row for row, _ in outcome.refused)):
            self._tries.pop(row.id, None)
        if not outcome.failed:
            if not self._resting:
                self._pause = SHORTEST
            return
        self._resting = {*self._resting, *outcome.failed}
        self._until = self._clock.monotonic() + self._pause
        self._pause = min(LONGEST, 2 * self._pause)
