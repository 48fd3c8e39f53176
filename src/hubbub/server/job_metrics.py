"""What `/metrics` shows of the background jobs."""

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping

from hubbub import Unavailable
from hubbub.clock import Clock, SystemClock
from hubbub.jobs import Jobs, JobView, Status
from hubbub.server.readings import Row

logger = logging.getLogger(__name__)

PATIENCE = 1.0
"""Seconds that a count may take: while the database does not answer, all other metrics are wanted most."""
LOOK = 10.0
"""Seconds between two counts of the table, however often it is asked for."""
SHOWN = (Status.PENDING, Status.RUNNING, Status.FAILED)
"""Of the others only their rate says anything: they are swept."""


class JobMetrics:
    """Counts what became of jobs in this process, and now and then those in the table.

    Args:
        jobs: are listened to, and asked.
        clock: what time it is.
    """

    def __init__(self, jobs: Jobs, clock: Clock | None = None) -> None:
        self._jobs = jobs
        self._clock = clock or SystemClock()
        self._looked_at = float("-inf")
        self.there: Mapping[str, float] = {}
        """Jobs in the table by their status, as they were counted last; empty where they could not be."""
        self.ended: Counter[str] = Counter()
        """Jobs that ended in this process, by how."""
        self.tried_again = 0
        """Attempts that failed in this process and were not the last."""
        jobs.listen(self)

    def changed(self, job: JobView) -> None:
        """Count a change; see `hubbub.jobs.Listener`."""
        if job.status.is_finished:
            self.ended[job.status.value] += 1
        elif job.status is Status.PENDING and job.attempt and job.error is not None:
            self.tried_again += 1

    async def look(self) -> None:
        """Count the jobs in the table, unless that was done just now."""
        now = self._clock.monotonic()
        if now - self._looked_at < LOOK:
            return
        self._looked_at = now
        try:
            async with asyncio.timeout(PATIENCE):
                counts = await self._jobs.counts()
        except (Unavailable, TimeoutError) as error:
            logger.debug("Jobs cannot be counted: %s", error)
            self.there = {}
        else:
            self.there = {status.value: counts[status] for status in SHOWN}


JOB_GAUGES: tuple[Row[JobMetrics], ...] = (
    Row(
        "hubbub_jobs",
        f"Jobs in the database, by status, as they were counted at most {LOOK:g} s ago; the same on every node.",
        lambda jobs: jobs.there,
        "status",
    ),
)
JOB_COUNTERS: tuple[Row[JobMetrics], ...] = (
    Row("hubbub_jobs_ended", "Jobs that ended on this node, by status.", lambda jobs: jobs.ended, "status"),
    Row(
        "hubbub_jobs_tried_again",
        "Attempts that failed on this node and are followed by another.",
        lambda jobs: jobs.tried_again,
    ),
)
