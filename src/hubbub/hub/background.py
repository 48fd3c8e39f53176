"""Tasks that outlive the call that starts them, with one owner that ends them."""

import asyncio
import logging
from collections.abc import Coroutine
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

logger = logging.getLogger(__name__)


class Background:
    """Runs coroutines until it is left; what they raise is logged, never lost.

    An async context manager: leaving it waits `grace` seconds for what still runs, then cancels it.
    """

    def __init__(self, grace: float = 5.0) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self._grace = grace

    def start(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        """Run it now, as a task of this owner."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    async def settle(self) -> None:
        """Wait until nothing runs any more, what is started meanwhile included."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def __len__(self) -> int:
        return len(self._tasks)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._grace):
                await self.settle()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("A background task failed", exc_info=error)
