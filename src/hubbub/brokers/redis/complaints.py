"""What operators are told of a Redis that refuses something: the first of each second, and how many there were."""

import logging
import time
from collections.abc import Callable

from redis.exceptions import NoPermissionError

from hubbub.brokers.redis.dialing import RIGHTS

logger = logging.getLogger(__name__)

INTERVAL = 1.0
"""Seconds between two lines."""


class Complaints:
    """Logs refusals, which under load come by the thousand.

    Args:
        monotonic: tells seconds that never run backwards.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._last = -INTERVAL
        self._unsaid = 0

    def complain(self, about: str, error: Exception) -> None:
        """Log one, unless another was logged just now."""
        now = self._monotonic()
        if now - self._last < INTERVAL:
            self._unsaid += 1
            return
        more = f" (and {self._unsaid} more since the last line)" if self._unsaid else ""
        advice = f". {RIGHTS}" if isinstance(error, NoPermissionError) else ""
        logger.error("%s: %s%s%s", about, error, advice, more)
        self._last, self._unsaid = now, 0
