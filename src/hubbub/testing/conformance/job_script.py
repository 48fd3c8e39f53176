"""What the suite of engines has them run, and who is told of it."""

import asyncio
import json

from hubbub.jobs.engine import Attempt, Ending, Outcome, Reporter
from hubbub.jobs.job import JobView, LogLine, Status


class Told:
    """A listener that keeps what it is told."""

    def __init__(self) -> None:
        self.jobs: list[JobView] = []

    def changed(self, job: JobView) -> None:
        """Keep it."""
        self.jobs.append(job)

    def of(self, job_id: str) -> list[tuple[Status, int]]:
        """Return what was told of a job: its states, and how far it was."""
        return [(job.status, job.progress) for job in self.jobs if job.id == job_id]


class Script:
    """A runner that does what the params of each job say; several engines may share one.

    Keys: ``wait`` holds the job until `release`; ``fail`` has so many attempts fail, after each of which it waits ``pause``
    milliseconds; ``note`` has it report.
    """

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.finished: list[str] = []
        self.cancelled: list[str] = []
        self.at_once = self.most_at_once = 0
        self._gate = asyncio.Event()

    def release(self) -> None:
        """Let those that wait go on."""
        self._gate.set()

    async def run(self, attempt: Attempt, reporter: Reporter) -> Outcome:
        """Run an attempt."""
        job, params = attempt.job, json.loads(attempt.params)
        self.begun.append(job.id)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            if "note" in params:
                attempt.progress, attempt.message, attempt.is_changed = 40, params["note"], True
                attempt.lines += [LogLine(job.attempt, 1, "info", params["note"]) for _ in range(3)]
                attempt.noted += 3
                reporter.reported(attempt)
            if params.get("wait"):
                await self._gate.wait()
            else:
                await asyncio.sleep(0)
        except asyncio.CancelledError:
            self.cancelled.append(job.id)
            raise
        finally:
            self.at_once -= 1
        if job.attempt <= params.get("fail", 0):
            is_last = job.attempt >= job.attempts
            ending = Ending.FAILED if is_last else Ending.RETRIED
            return Outcome(ending, error=f"no {job.attempt}", delay=params.get("pause", 1))
        self.finished.append(job.id)
        return Outcome(Ending.COMPLETED, json.dumps({"attempt": job.attempt}))
