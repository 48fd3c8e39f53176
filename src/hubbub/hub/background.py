"""Tasks that outlive the call that starts them, with one owner that ends them."""

import asyncio
import logging
from collections.abc import Coroutine, Generator
from contextlib import suppress
from contextvars import copy_context
from types import TracebackType
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

    def start(self, coroutine: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        """Run it, as a task of this owner."""
        return self._keep(asyncio.get_running_loop().create_task(coroutine))

    def begin(self, coroutine: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any] | None":
        """Run it at once as far as it gets without waiting; the rest, if there is any, is a task of this owner.

        What need not wait, such as a publication where the broker is in memory, is then done when this returns, without
        the price of a task. There is no current task until it first waits, so that it is not for what uses
        `asyncio.timeout` before that; called inside a task, it would run its first step as that one. (From
        Python 3.12 on, `asyncio.eager_task_factory` makes tasks that begin like this.)

        Returns:
            The task of the rest; `None` where nothing is left.
        """
        context = copy_context()
        try:
            awaited = context.run(coroutine.send, None)
        except (StopIteration, asyncio.CancelledError):
            return None
        except Exception:
            logger.exception(FAILED)
            return None
        mark(awaited, waiting=False)
        return self._keep(asyncio.get_running_loop().create_task(Rest(coroutine, awaited), context=context))

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

    def _keep(self, task: "asyncio.Task[Any]") -> "asyncio.Task[Any]":
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error(FAILED, exc_info=error)


class Rest(Coroutine[Any, Any, None]):
    """What is left of a coroutine that has begun and now waits for something; a task runs it to its end.

    Args:
        begun: the coroutine.
        awaited: what its first step yielded.
    """

    __slots__ = ("_awaited", "_begun", "_waits")

    def __init__(self, begun: Coroutine[Any, Any, Any], awaited: Any) -> None:
        self._begun = begun
        self._awaited = awaited
        self._waits = True

    def send(self, value: Any) -> Any:
        """Go on; the first time, hand over what the coroutine waits for."""
        if not self._waits:
            return self._begun.send(value)
        self._waits = False
        awaited, self._awaited = self._awaited, None
        mark(awaited, waiting=True)
        return awaited

    def throw(self, *error: Any) -> Any:
        """Raise something inside; the first time too, so that it can clean up."""
        self._waits = False
        return self._begun.throw(*error)

    def close(self) -> None:
        """End it."""
        self._begun.close()

    def __await__(self) -> Generator[Any, Any, None]:
        raise TypeError("a task runs it")


def mark(awaited: Any, *, waiting: bool) -> None:
    """Set the sign by which a task tells `await` from `yield`; while it is set nobody else can await the same future.

    `None`, which `asyncio.sleep(0)` yields, has no sign.
    """
    if awaited is not None:
        awaited._asyncio_future_blocking = waiting  # noqa: SLF001 (asyncio's own protocol for futures)
