"""One run of a job in this process, and what is stored of it."""

import asyncio
from dataclasses import replace
from enum import Enum
from typing import Any

from sqlalchemy.engine import Row

from hubbub.jobs.engine import Attempt, Ending, Outcome
from hubbub.jobs.job import JobView, Status, loads
from hubbub.jobs.sql.claiming import Write
from hubbub.jobs.sql.tables import State

STATES = {
    Ending.COMPLETED: State.COMPLETED,
    Ending.FAILED: State.FAILED,
    Ending.RETRIED: State.DELAYED,
    Ending.CANCELLED: State.CANCELLED,
    Ending.HANDED_OVER: State.PENDING,
}

Key = tuple[str, int]
"""A job and its fence: one that was taken over and came back is another run."""


class Reason(Enum):
    """Why a job that runs was asked to end."""

    ASKED = "asked"
    LEAVING = "leaving"
    LOST = "lost"
    """It is somebody else's by now."""


class Run:
    """A job that runs here.

    Args:
        attempt: what it reports.
        fence: the number of its claim; what it reports is stored as long as there was no later one.
    """

    def __init__(self, attempt: Attempt, fence: int) -> None:
        self.attempt = attempt
        self.fence = fence
        self.key: Key = (attempt.job.id, fence)
        self.reason: Reason | None = None
        self.reports = 0
        """How often it has reported."""
        self.task: asyncio.Task[Outcome] | None = None

    def end(self, reason: Reason) -> None:
        """Ask it to end; the first reason holds, but for the one that makes the others void."""
        if self.reason is None or reason is Reason.LOST:
            self.reason = reason
        self.attempt.is_cancelled = True
        if self.task is not None:
            self.task.cancel()

    def outcome(self, task: "asyncio.Task[Outcome]") -> Outcome:
        """Read what came of its task, which is done."""
        if task.cancelled():
            return Outcome(Ending.CANCELLED if self.reason is Reason.ASKED else Ending.HANDED_OVER)
        error = task.exception()
        return task.result() if error is None else Outcome(Ending.FAILED, error=repr(error))

    def write(self, outcome: Outcome | None) -> Write:
        """Return what is to be stored: the end, or, without one, the progress."""
        attempt = self.attempt
        if outcome is None:
            return Write(attempt.job.id, self.fence, State.RUNNING, attempt.progress, attempt.message)
        return Write(
            attempt.job.id,
            self.fence,
            STATES[outcome.ending],
            100 if outcome.ending is Ending.COMPLETED else attempt.progress,
            attempt.message,
            outcome.result,
            outcome.error,
            outcome.delay,
            given_back=int(outcome.ending is Ending.HANDED_OVER),
        )

    def ended(self, outcome: Outcome, row: Row[Any]) -> JobView:
        """Return the job as it stands after its end was stored."""
        write = self.write(outcome)
        return replace(
            self.attempt.job,
            status=Status.PENDING if row.status == State.DELAYED else Status(row.status),
            attempt=row.attempt,
            progress=write.progress,
            message=write.message,
            result=loads(write.result),
            error=row.error,
            due=row.due,
            finished=row.finished,
        )
