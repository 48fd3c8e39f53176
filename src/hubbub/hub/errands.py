"""Work that comes in crowds: a few at a time, and everything else of the node in between."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from hubbub.hub.background import Background

logger = logging.getLogger(__name__)

Errand = TypeVar("Errand")


class Errands(Generic[Errand]):
    """Runs errands in the background; there is a task only while there is work.

    Args:
        background: owns the tasks.
        run: does one; what it raises is logged, and the others go on.
        at_once: how many are run at the same time, and between two turns of the event loop.
    """

    def __init__(
        self, background: Background, run: Callable[[Errand], Awaitable[None]], at_once: int = 16
    ) -> None:
        self._background = background
        self._run = run
        self._at_once = at_once
        self._waiting: deque[Errand] = deque()
        self._runners = 0

    def add(self, errand: Errand) -> None:
        """Have one done; in the order in which they are added, as far as they are not done at the same time."""
        self._waiting.append(errand)
        if self._runners < self._at_once:
            self._runners += 1
            self._background.start(self._work())

    def __len__(self) -> int:
        return len(self._waiting)

    async def _work(self) -> None:
        try:
            while self._waiting:
                try:
                    await self._run(self._waiting.popleft())
                except Exception:
                    logger.exception("An errand in the background failed")
                if self._waiting:
                    await asyncio.sleep(0)
        finally:
            self._runners -= 1
