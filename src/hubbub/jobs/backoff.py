"""How long to wait before a job is tried again."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from hubbub.exceptions import ConfigurationError
from hubbub.jobs.bounds import LONGEST_WAIT, is_number, is_seconds


@dataclass(frozen=True, slots=True)
class Backoff:
    """Waits that grow with every attempt.

    Args:
        first: seconds after the first attempt.
        factor: by which each is longer than the one before.
        most: seconds that none is longer than; at most a year.
        jitter: the part of each wait that is drawn by lot, so that what failed together does not come back together.

    Raises:
        ConfigurationError: a value that cannot work.
    """

    first: float = 1.0
    factor: float = 3.0
    most: float = 600.0
    jitter: float = 0.5

    def __post_init__(self) -> None:
        if not (
            is_seconds(self.first)
            and is_number(self.most, self.first, LONGEST_WAIT)
            and is_number(self.factor, 1, 100)
            and is_number(self.jitter, 0, 1)
        ):
            raise ConfigurationError(
                f"{self} cannot be: first is 0 or more, factor from 1 to 100, most at least first and "
                "at most a year in seconds, jitter from 0 to 1."
            )

    def after(self, attempt: int, draw: Callable[[], float] = random.random) -> float:
        """Return the seconds to wait after an attempt, the first being 1."""
        # The exponent is bounded, because a large one is no number any more.
        whole = min(self.most, self.first * self.factor ** min(attempt - 1, 64))
        return whole * (1 - self.jitter * draw())
