"""How long to wait before a job is tried again."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from hubbub.exceptions import ConfigurationError


@dataclass(frozen=True, slots=True)
class Backoff:
    """Waits that grow with every attempt.

    Args:
        first: seconds after the first attempt.
        factor: by which each is longer than the one before.
        most: seconds that none is longer than.
        jitter: the part of each wait that is drawn by lot, so that what failed together does not come back together.

    Raises:
        ConfigurationError: a value that cannot work.
    """

    first: float = 1.0
    factor: float = 3.0
    most: float = 600.0
    jitter: float = 0.5

    def __post_init__(self) -> None:
        if (
            self.first < 0
            or not 1 <= self.factor <= 100
            or self.most < self.first
            or not 0 <= self.jitter <= 1
        ):
            raise ConfigurationError(
                f"{self} cannot be: first is 0 or more, factor from 1 to 100, most at least first, jitter from 0 to 1."
            )

    def after(self, attempt: int, draw: Callable[[], float] = random.random) -> float:
        """Return the seconds to wait after an attempt, the first being 1."""
        # The exponent is bounded, because a large one is no number any more.
        whole = min(self.most, self.first * self.factor ** min(attempt - 1, 64))
        return whole * (1 - self.jitter * draw())
