"""Looking again at jobs of which the last word may not have been the latest.

What becomes of a job is told by several processes: one enqueues or cancels it, others run it. Each tells what it did, and the
broker takes their words in any order. So whoever told of anything but the end of a job looks at the job when it has said nothing more for a
while. Where the job stands otherwise it is told again: the last word on a job's channel is how it stands.
"""

import asyncio
import time
from collections.abc import Callable

from hubbub.exceptions import Unavailable
from hubbub.jobs.errors import UnknownJob
from hubbub.jobs.job import JobView, Status
from hubbub.jobs.jobs import Jobs

SETTLE = 1.0
"""Seconds after its last word on a job in which a process looks at it."""
AT_ONCE = 20
"""Jobs that are looked at at the same time."""
MOST = 100_000
"""Jobs that wait to be looked at; beyond them the oldest are forgotten."""

Standing = tuple[Status, int, bool]


class Settling:
    """Remembers what this process told, until that is known to be so.

    Args:
        jobs: are looked at.
        tell: is handed jobs that stand otherwise than was told last.
    """

    def __init__(self, jobs: Jobs, tell: Callable[[JobView], None]) -> None:
        self._jobs = jobs
        self._tell = tell
        self._told: dict[str, tuple[float, Standing | None]] = {}
        """By id when it was told, in that order, and how the job stood; `None` where nothing was said yet."""

    def told(self, job: JobView) -> None:
        """Take note of what was told of a job. Nothing follows its completion, so that need not be looked at."""
        if job.status is Status.COMPLETED:
            self._told.pop(job.id, None)
        else:
            self._note(job.id, standing(job))

    def waits(self, job: JobView) -> None:
        """Take note of a job that is to be told of if it still waits then; whoever begins it tells of that."""
        self._note(job.id, None)

    async def look(self, settle: float = SETTLE) -> None:
        """Look at the jobs of which nothing was said for so many seconds."""
        latest = time.monotonic() - settle
        due = []
        for job_id, (at, stood) in self._told.items():
            if at > latest:
                break
            due.append((job_id, stood))
        for start in range(0, len(due), AT_ONCE):
            await asyncio.gather(*(self._check(*each) for each in due[start : start + AT_ONCE]))

    def _note(self, job_id: str, stood: Standing | None) -> None:
        self._told.pop(job_id, None)
        if len(self._told) >= MOST:
            del self._told[next(iter(self._told))]
        self._told[job_id] = time.monotonic(), stood

    async def _check(self, job_id: str, stood: Standing | None) -> None:
        before = self._told.get(job_id)
        try:
            job = await self._jobs.get(job_id)
        except UnknownJob:
            job = None
        except Unavailable:
            if before is not None and self._told.get(job_id) == before:
                self._note(job_id, stood)
            return
        if self._told.get(job_id) != before:
            return  # this process has said something new meanwhile
        self._told.pop(job_id, None)
        if job is None:
            return
        if (job.status is Status.PENDING) if stood is None else (standing(job) != stood):
            self._tell(job)


def standing(job: JobView) -> Standing:
    """Return what of a job nobody else may tell otherwise; its progress is only told by who runs it."""
    return job.status, job.attempt, job.is_cancelling
