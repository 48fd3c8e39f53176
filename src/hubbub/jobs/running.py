"""Runs one attempt of a job: params, time limit, thread, errors, result. Knows no engine."""

import asyncio
import logging
from collections.abc import Callable, Mapping
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
        try:
            async with asyncio.timeout(task.timeout) as limit:
                if task.is_async:
                    return await task.function(*context, **arguments)
                return await self._in_thread(lambda: task.function(*context, **arguments), attempt)
        except TimeoutError:
            if not limit.expired():
                raise  # the task's own
            attempt.is_over = attempt.thread is not None and not attempt.thread.done()
            raise TookTooLong(task.timeout or 0.0, is_left=attempt.is_over) from None

    async def _in_thread(self, function: Callable[[], Any], attempt: Attempt) -> Any:
        attempt.thread = in_thread(function, f"job {attempt.job.id}")
        # A thread cannot be stopped: it is left alone, and its future must not be cancelled, because it tells when it ends.
        try:
            return await asyncio.shield(attempt.thread)
        except asyncio.CancelledError:
            if not attempt.thread.done():
                logger.warning(
                    "Job %s (%s) goes on in its thread, which cannot be stopped; it keeps its place until it returns",
                    attempt.job.id,
                    attempt.job.kind,
                )
            raise

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
        rest = " Its thread goes on, because a thread cannot be stopped." if is_left else ""
        super().__init__(f"It took longer than {seconds:g} s.{rest}")


def told(error: BaseException) -> str:
    """Say what an error is: its type and its message."""
    message = str(error)
    return f"{type(error).__name__}: {message}" if message else type(error).__name__
