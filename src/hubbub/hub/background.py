"""Tasks that outlive the call that starts them, with one owner that ends them."""

import asyncio
import logging
from collections.abc import Coroutine, Generator
from contextlib import suppress
from functools import partial
from types import TracebackType
from types import coroutine as generator_based
from typing import Any, Self

logger = logging.getLogger(__name__)

FAILED = "A background task failed"


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

    def begin(self, coroutine: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any] | None":
        """Run it at once as far as it gets without waiting; the rest, if there is any, is a task of this owner.

        What need not wait, such as a publication where the broker is in memory, is then done when this returns, without
        the price of a task. As in any callback of the event loop there is no current task until it first waits. (From
        Python 3.12 on, `asyncio.eager_task_factory` does the same for a whole loop.)

        Returns:
            The task of the rest; `None` where nothing is left.
        """
        try:
            awaited = coroutine.send(None)
        except StopIteration:
            return None
        except Exception:
            logger.exception(FAILED)
            return None
        task = asyncio.get_running_loop().create_task(_finish(coroutine, awaited))
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

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
            logger.error(FAILED, exc_info=error)


async def _finish(begun: Coroutine[Any, Any, Any], awaited: Any) -> None:
    """Go on with a coroutine that has begun and now waits for `awaited`."""
    await _steps(begun, awaited)


@generator_based
def _steps(begun: Coroutine[Any, Any, Any], awaited: Any) -> Generator[Any, Any, None]:
    while True:
        try:
            value = yield awaited
        except BaseException as error:  # noqa: BLE001 (it is the coroutine's)
            step = partial(begun.throw, error)
        else:
            step = partial(begun.send, value)
        try:
            awaited = step()
        except StopIteration:
            return
