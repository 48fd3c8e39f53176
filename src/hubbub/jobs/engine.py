"""What runs jobs: a small contract. `hubbub.jobs.sql` is the engine that comes with Hubbub.

An engine keeps jobs and has them run; what a task is, how its params are read, how long it may take and when it is tried
again, is told to it by a `Crew`. `hubbub.testing.conformance.EngineSuite` holds an engine to this page.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from enum import Enum
from types import TracebackType
from typing import Protocol, Self

from hubbub.database.waking import Transaction
from hubbub.jobs.job import Draft, Enqueued, JobView, LogLine, Page, Query, Status
from hubbub.jobs.schedules import Schedule


class Listener(Protocol):
    """Is told what becomes of jobs, by the process that brings it about."""

    def changed(self, job: JobView) -> None:
        """Take a job's new state or progress. Must neither wait nor raise."""
        ...


class Ending(Enum):
    """How an attempt ended."""

    COMPLETED = "completed"
    FAILED = "failed"
    """For good."""
    RETRIED = "retried"
    """It failed, and is to be tried again."""
    CANCELLED = "cancelled"
    HANDED_OVER = "handed over"
    """This process ends before the job does: another attempt, which does not count, begins at once."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an attempt.

    Args:
        ending: how it ended.
        result: the JSON of what it returned.
        error: why it failed.
        delay: milliseconds until it is tried again.
    """

    ending: Ending
    result: str | None = None
    error: str | None = None
    delay: int = 0


class Attempt:
    """One run of a job in this process: what it has reported, and whether it was asked to end.

    Args:
        job: as it was when it began.
        params: what it was enqueued with, a JSON object.
    """

    def __init__(self, job: JobView, params: str) -> None:
        self.job = job
        self.params = params
        self.progress = 0
        self.message: str | None = None
        self.lines: list[LogLine] = []
        """What was noted and is not stored yet."""
        self.noted = 0
        self.is_changed = False
        """Whether there is progress that is not stored yet."""
        self.is_cancelled = False
        """Whether the engine asked it to end, for whatever reason."""
        self.is_over = False
        """Whether it was given up while its function goes on."""
        self.work: asyncio.Future[object] | None = None
        """Its function, in a task or a thread; where it is not done when the attempt is, its place stays taken until it is."""


class Reporter(Protocol):
    """Is told by attempts that they have something to tell. Safe to call from the event loop only."""

    def reported(self, attempt: Attempt) -> None:
        """Take the progress and the lines of an attempt: tell the listener at once, store it within about a second."""
        ...


class Runner(Protocol):
    """Runs an attempt."""

    async def run(self, attempt: Attempt, reporter: Reporter) -> Outcome:
        """Run it and say what came of it. Where it is cancelled, `asyncio.CancelledError` leaves it."""
        ...


@dataclass(frozen=True, slots=True)
class Crew:
    """What one process runs, and how.

    Args:
        runner: runs attempts.
        kinds: of each task that this process knows, how many may run at once in the whole cluster; `None` for any number.
        concurrency: how many jobs run at once in this process.
        drain: seconds that running jobs are given to finish when the process ends.
        schedules: jobs that begin by the clock.
    """

    runner: Runner
    kinds: Mapping[str, int | None]
    concurrency: int
    drain: float
    schedules: Sequence[Schedule] = field(default=())


class Engine(Protocol):
    """Keeps jobs and has them run. An async context manager.

    Every method raises `hubbub.exceptions.Unavailable` where what it needs cannot be reached; nothing has been done then, or
    for what changes something it is unknown whether it has. Ids, owners and kinds are any text: where none can be stored like that,
    there is no such job.
    """

    async def enqueue(
        self, drafts: Sequence[Draft], transaction: Transaction | None = None
    ) -> list[Enqueued]:
        """Take jobs, all or none of them.

        With a `transaction` they exist if and only if it is committed, and nobody sees them before that; without one they
        are kept when this returns. Of two unfinished jobs of one kind with the same key there is only ever one: the draft that
        comes second gives back the first one's job.

        Raises:
            ConfigurationError: the engine cannot join the transaction.
            TypeError: it is no transaction at all.
        """
        ...

    async def get(self, job_id: str) -> JobView | None:
        """Return a job as it stands; `None` where there is none. Progress may be a second behind."""
        ...

    async def list(self, query: Query) -> Page:
        """Return jobs, the newest first. Walking the pages shows each job that was there all the time exactly once.

        Raises:
            BadRequest: the limit is not positive, or the cursor is none that a page can have handed out.
        """
        ...

    async def counts(self, owner: str | None = None) -> dict[Status, int]:
        """Return how many jobs there are of each status, zeros too; of one owner or of all."""
        ...

    async def unfinished(self, owner: str) -> int:
        """Return how many jobs of an owner wait or run. Cheap, however many are finished."""
        ...

    async def logs(self, job_id: str) -> Sequence[LogLine]:
        """Return what a job's attempts noted, in order; nothing where there is no such job."""
        ...

    async def cancel(self, job_id: str) -> JobView:
        """End a job; return it as it stands then.

        One that does not run is cancelled when this returns, and never begins. One that runs is asked to end, and is told within about a
        second; if it completes all the same, it is completed; it is not tried again.

        Raises:
            UnknownJob: there is none.
            JobConflict: it is finished.
        """
        ...

    async def retry(self, job_id: str) -> JobView:
        """Have a job that failed or was cancelled begin anew, with all its attempts.

        Raises:
            UnknownJob: there is none.
            JobConflict: it is not finished, has completed, or another with its key is not finished.
        """
        ...

    def work(self, crew: Crew, listener: Listener) -> AbstractAsyncContextManager[None]:
        """Run jobs for as long as the block runs.

        A job is begun at least once, by one process at a time as far as they can know of each other; only what the latest
        attempt reports is stored. Jobs of a process that died begin again elsewhere, as long as they have attempts left. Higher priorities
        begin first, then those that are due longer. A schedule fires once in the cluster for each of its times, and once for
        all that were missed. Leaving the block takes no more jobs, gives those that run `drain` seconds, then cancels them and hands
        them over.
        """
        ...

    async def __aenter__(self) -> Self:
        """Reach what it needs."""
        ...

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Let go of it."""
        ...
