"""What a task is handed: its job, and ways to report."""

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Generator
from typing import Any

from hubbub.jobs.engine import Attempt, Reporter
from hubbub.jobs.job import LogLine, clean

MESSAGE = 500
"""Characters of a progress message that are kept."""
LINE = 4000
"""Characters of a line that are kept."""
LINES = 1000
"""Lines of one attempt that are kept."""

logger = logging.getLogger("hubbub.jobs")


class Reported(Awaitable[None]):
    """What `JobContext.progress` returns: it has been taken already, and awaiting it lets others run."""

    def __await__(self) -> Generator[Any, None, None]:
        yield from asyncio.sleep(0).__await__()


class JobContext:
    """The first parameter of a task that wants to report.

    Safe to use from a sync task's thread.

    Args:
        attempt: the run that it reports of.
        reporter: who is told.
    """

    def __init__(self, attempt: Attempt, reporter: Reporter) -> None:
        self._attempt = attempt
        self._reporter = reporter
        self._loop = asyncio.get_running_loop()
        self._home = threading.get_ident()
        self._noted = 0

    @property
    def id(self) -> str:
        """The id of the job."""
        return self._attempt.job.id

    @property
    def kind(self) -> str:
        """The name of the task."""
        return self._attempt.job.kind

    @property
    def owner(self) -> str | None:
        """The id of the user whose job it is."""
        return self._attempt.job.owner

    @property
    def attempt(self) -> int:
        """Which attempt this is; the first is 1."""
        return self._attempt.job.attempt

    @property
    def attempts(self) -> int:
        """How many there are at most."""
        return self._attempt.job.attempts

    @property
    def cancelled(self) -> bool:
        """Whether the job is to end: somebody cancelled it, its time is over, or this process ends.

        An async task is cancelled as well (`asyncio.CancelledError`); a sync one has to look here now and then, because a thread
        cannot be stopped.
        """
        return self._attempt.is_cancelled or self._attempt.is_over

    def progress(self, percent: float, message: str | None = None) -> Awaitable[None]:
        """Say how far the job is. Who watches is told at once; the database about once a second.

        Args:
            percent: from 0 to 100; what is outside is taken for the end that it is beyond.
            message: what is being done, at most `MESSAGE` characters; `None` leaves the one before.

        Returns:
            Something to await in async tasks, so that others get their turn; a sync task leaves it alone.
        """
        percent = round(min(100.0, max(0.0, percent)))
        text = None if message is None else clean(message, MESSAGE)

        def report() -> None:
            attempt = self._attempt
            attempt.progress = percent
            if text is not None:
                attempt.message = text
            attempt.is_changed = True
            self._reporter.reported(attempt)

        self._here(report)
        return Reported()

    def log(self, text: object, level: int = logging.INFO) -> None:
        """Note a line: it is kept with the job, at most `LINES` for each attempt, and goes to the logger ``hubbub.jobs``.

        Args:
            text: at most `LINE` characters of it are kept.
            level: a number of `logging`.
        """
        self._noted += 1
        logger.log(level, "%s", text, extra={"job": self.id, "kind": self.kind})
        if self._noted > LINES + 1:
            return
        kept = clean(str(text), LINE) if self._noted <= LINES else "… and more, which is not kept"
        line = LogLine(
            self.attempt, time.time_ns() // 1_000_000, logging.getLevelName(level).lower()[:16], kept
        )

        def note() -> None:
            self._attempt.lines.append(line)
            self._attempt.noted += 1
            self._reporter.reported(self._attempt)

        self._here(note)

    def _here(self, report: Callable[[], None]) -> None:
        if threading.get_ident() == self._home:
            report()
        else:
            self._loop.call_soon_threadsafe(report)
