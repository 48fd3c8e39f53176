"""Runs one attempt of a job: params, time limit, thread, errors, result. Knows no engine."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from hubbub.jobs.context import JobContext
from hubbub.jobs.engine import Attempt, Ending, Outcome, Reporter
from hubbub.jobs.errors import GiveUp, RetryLater
from hubbub.jobs.job import clean
from hubbub.jobs.task import Task
from hubbub.jobs.threads import in_thread

logger = logging.getLogger("hubbub.jobs")

ERROR = 4000
"""Characters of an error that are kept."""
GRACE = 3.0
"""Seconds in which an async task ends that was cancelled; then it is given up."""


class Running:
    """The `Runner` of the tasks of an application.

    Args:
        tasks: by kind.
        result_bytes: how large a result may be, in bytes of JSON.
    """

    def __init__(self, tasks: "Mapping[str, Task[..., Any]]", result_bytes: int) -> None:
        self._tasks = tasks
        self._result_bytes = result_bytes

    async def run(self, attempt: Attempt, reporter: Reporter) -> Outcome:
        """Run an attempt; see `Runner.run`."""
        task = self._tasks[attempt.job.kind]
        try:
            result = await self._call(task, attempt, reporter)
        except asyncio.CancelledError as error:
            if attempt.is_cancelled:
                raise
            return self._failed(task, attempt, error)
        except Exception as error:
            if attempt.is_cancelled:
                raise asyncio.CancelledError from error
            return self._failed(task, attempt, error)
        return self._completed(task, attempt, result)

    async def _call(self, task: "Task[..., Any]", attempt: Attempt, reporter: Reporter) -> Any:
        arguments = task.parameters.read(attempt.params)
        context = [JobContext(attempt, reporter)] if task.parameters.takes_context else []
        function = partial(task.function, *context, **arguments)
        work: asyncio.Future[Any]
        if task.is_async:
            work = asyncio.get_running_loop().create_task(in_task(function))
        else:
            work = in_thread(function, f"job {attempt.job.id}")
        attempt.work = work
        try:
            await asyncio.wait((work,), timeout=task.timeout)
            if not work.done():
                await self._end(work, attempt)
                if not work.done() or work.cancelled():
                    raise TookTooLong(task.timeout or 0.0, is_left=attempt.is_over)
        except asyncio.CancelledError:
            if not work.done():
                await self._end(work, attempt)
            if not work.done() or work.cancelled() or work.exception() is not None:
                raise
        return work.result()  # one that completes when it is asked to end has completed

    async def _end(self, work: "asyncio.Future[Any]", attempt: Attempt) -> None:
        """Have what runs end, or give it up: a thread cannot be stopped, nor a task that goes on all the same."""
        if isinstance(work, asyncio.Task):
            work.cancel()
            await asyncio.wait((work,), timeout=GRACE)
        if work.done():
            return
        attempt.is_over = True
        work.add_done_callback(read)
        logger.warning(
            "Job %s (%s) goes on though it was to end; it keeps its place until it does",
            attempt.job.id,
            attempt.job.kind,
        )

    def _completed(self, task: "Task[..., Any]", attempt: Attempt, result: Any) -> Outcome:
        try:
            written = task.parameters.written_result(result)
        except Exception as error:
            logger.exception("Job %s (%s): its result cannot be written as JSON", attempt.job.id, task.kind)
            return Outcome(
                Ending.FAILED, error=clean(f"The result cannot be written as JSON: {error}", ERROR)
            )
        size = 0 if written is None else len(written.encode())
        if size > self._result_bytes:
            error_text = f"The result has {size:,} bytes of JSON; {self._result_bytes:,} are kept at most."
            logger.error("Job %s (%s): %s", attempt.job.id, task.kind, error_text)
            return Outcome(Ending.FAILED, error=error_text)
        return Outcome(Ending.COMPLETED, written)

    def _failed(self, task: "Task[..., Any]", attempt: Attempt, error: BaseException) -> Outcome:
        job = attempt.job
        is_expected = isinstance(error, GiveUp | RetryLater | TookTooLong)
        text = clean(str(error) if is_expected else told(error), ERROR)
        if isinstance(error, GiveUp) or job.attempt >= job.attempts:
            logger.error(
                "Job %s (%s) failed for good: %s",
                job.id,
                job.kind,
                text,
                exc_info=None if is_expected else error,
            )
            return Outcome(Ending.FAILED, error=text)
        seconds = error.after if isinstance(error, RetryLater) else task.backoff.after(job.attempt)
        logger.warning(
            "Job %s (%s) failed in attempt %d of %d, and is tried again in %.1f s: %s",
            job.id, job.kind, job.attempt, job.attempts, seconds, text,
        )  # fmt: skip
        return Outcome(Ending.RETRIED, error=text, delay=max(0, int(seconds * 1000)))


class TookTooLong(Exception):
    """An attempt's time is over."""

    def __init__(self, seconds: float, *, is_left: bool) -> None:
        rest = " It goes on all the same, and cannot be stopped." if is_left else ""
        super().__init__(f"It took longer than {seconds:g} s.{rest}")


def told(error: BaseException) -> str:
    """Say what an error is: its type and its message."""
    message = str(error)
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


async def in_task(function: Callable[[], Awaitable[Any]]) -> Any:
    """Await a function's result. Where it leaves, as scripts do, that is an error, and not the end of the process."""
    try:
        return await function()
    except SystemExit as error:
        raise RuntimeError(f"The task raised {told(error)}") from error


def read(work: "asyncio.Future[Any]") -> None:
    """Read what came of something that nobody waits for any more, so that asyncio does not complain of that."""
    if not work.cancelled():
        work.exception()
