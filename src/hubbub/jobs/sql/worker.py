"""Runs jobs in one process: claims them, and stores what comes of them.

One task of each process talks to the database, in rounds: a round stores everything that is ready and claims as many jobs as
there are free places, in one transaction. So a commit, which is what costs, is shared by all that happened during the one before.
"""

import asyncio
import logging
import time
from collections.abc import Iterable
from dataclasses import replace
from itertools import islice
from typing import Any

from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from hubbub.database.database import Database
from hubbub.database.errors import reason
from hubbub.database.waking import Waiter
from hubbub.exceptions import Unavailable
from hubbub.jobs.engine import Attempt, Crew, Ending, Listener, Outcome
from hubbub.jobs.job import JobView
from hubbub.jobs.sql.claiming import Claims, Write
from hubbub.jobs.sql.refusals import is_about_values
from hubbub.jobs.sql.rounds import Round
from hubbub.jobs.sql.runs import Key, Reason, Run
from hubbub.jobs.sql.tables import State, view

logger = logging.getLogger(__name__)

TOPIC = "jobs"
POLL = 1.0
"""Seconds after which a process looks for jobs by itself, and between two writes of progress."""
PROMOTING = 0.05
"""Seconds between two looks for delayed jobs, where it is not known when the next one is due."""
SHARE = 50
"""Jobs whose progress one round stores; where there are more than of so many, a part of them."""
PARTS = 10
"""In how many parts it is stored then, in a second: a thousand at once would hold the event loop up."""
AGAIN = 0.25
"""Seconds before a database that was away is tried again."""
FAREWELL = 5.0
"""Seconds that a job which was cancelled at the end is given to end."""
NOT_STORED = "What came of it could not be stored."


class Worker:
    """Runs jobs. `run` is its one task beside those of the jobs.

    Args:
        database: where the jobs are.
        waiter: is woken when there may be something to do.
        crew: what it runs, and how.
        listener: is told what becomes of jobs.
    """

    def __init__(
        self,
        database: Database,
        waiter: Waiter,
        crew: Crew,
        listener: Listener,
    ) -> None:
        self._database = database
        self._liveness = database.membership.liveness
        self._waker = database.membership.waker
        self._waiter = waiter
        self._crew = crew
        self._listener = listener
        self._claims = Claims(database.dialect, crew.kinds)
        self._runs: dict[Key, Run] = {}
        self._by_attempt: dict[Attempt, Run] = {}
        self._ended: dict[Key, tuple[Run, Outcome]] = {}
        """What is not stored yet."""
        self._changed: dict[Run, None] = {}
        """Those with progress or lines that are not stored yet."""
        self._left: set[asyncio.Future[object]] = set()
        """What goes on though its job is over; each keeps a place."""
        self._is_leaving = False
        self._is_unsure = False
        """Whether a transaction may have been committed whose answer was lost: it may have claimed jobs."""
        self._is_careful = False
        """Whether something cannot be stored, so that endings are stored one by one to find it."""
        self._complaint: str | None = None
        self._losses = 0
        self._next_due = float("-inf")
        """When the next delayed job begins, as far as it is known: what comes by others is found with the next look."""
        self._flushed_at = self._looked_at = self._promoted_at = float("-inf")

    # ------------------------------------------------------------------------------------------ rounds

    async def run(self) -> None:
        """Store and claim, until this process leaves and everything is stored."""
        while not (self._is_leaving and not self._runs and not self._ended):
            try:
                await self._waiter.wait(await self._round())
            except Unavailable as error:
                self._is_unsure = True
                logger.warning("Jobs cannot be claimed or stored: %s", reason(error))
                await asyncio.sleep(AGAIN)
            except Exception as error:  # noqa: BLE001 (it is told)
                self._is_unsure = True
                self._complain(error)
                if is_about_values(error):
                    self._suspect()
                await asyncio.sleep(AGAIN)

    async def _round(self) -> float:
        """Do all that is to do in one transaction; return in how many seconds there is more."""
        now, losses = time.monotonic(), self._losses
        this = self._collect(now)
        if not this.has_work:
            return self._pause(now)
        async with self._database.transaction() as connection:
            await self._transact(connection, this)
        # From here to the end nothing waits, so that what was committed and what is known here agree.
        self._is_careful, self._complaint = False, None
        if this.is_unsure:
            self._is_unsure = False
        if this.is_looking:
            self._looked_at = now
        if this.changed:
            self._flushed_at = now
        if this.is_promoting:
            self._promoted_at = now
        if this.is_idle:
            self._next_due = float("inf") if this.next_due is None else now + this.next_due
        elif this.claimed:  # under load it is not asked for, so that it has to be taken for any moment
            self._next_due = float("-inf")
        self._was_stored(this)
        self._freed(this.orphans)
        if losses == self._losses:  # else they are somebody else's already
            for row in this.claimed:
                self._begin(row)
        return self._pause(now)

    def _collect(self, now: float) -> Round:
        ended = list(self._ended.values())
        if self._is_careful:
            ended = ended[:1]
        changed = self._to_store(now)
        self._left = {work for work in self._left if not work.done()}
        room = self._crew.concurrency - len(self._runs) - len(self._left) + len(ended)
        if self._is_leaving or self._is_careful or not self._crew.kinds:
            room = 0
        return Round(
            ended,
            changed,
            {run: list(run.attempt.lines) for run in [*changed, *(run for run, _ in ended)]},
            room,
            is_looking=now - self._looked_at >= POLL,
            is_promoting=room > 0 and now >= max(self._next_due, self._promoted_at + PROMOTING),
            is_unsure=self._is_unsure,
            holder=self._liveness.id,
        )

    def _to_store(self, now: float) -> dict[Run, int]:
        """Return whose progress is to be stored: of each about once a second, and not of all at once where there are many."""
        if now < self._flushed_at + self._flushing:
            return {}
        some = islice(self._changed, max(SHARE, len(self._changed) // PARTS))
        return {run: run.reports for run in some if run.key not in self._ended}

    @property
    def _flushing(self) -> float:
        return POLL if len(self._changed) <= SHARE else POLL / PARTS

    async def _transact(self, connection: AsyncConnection, this: Round) -> None:
        claims = self._claims
        noted = [
            (*run.key, run.attempt.noted - len(run.attempt.lines) + number, line)
            for run, lines in this.lines.items()
            for number, line in enumerate(lines)
        ]
        if noted:
            await claims.note(connection, noted)
        writes = [run.write(outcome) for run, outcome in this.ended]
        writes += [run.write(None) for run in this.changed]
        if writes:
            this.stored = await claims.store(connection, writes)
        if this.is_looking:
            this.orphans = await claims.take_over(connection)
        if this.is_unsure:
            this.missing = await claims.named(connection, [run.attempt.job.id for run, _ in this.ended])
            held = await claims.held(connection, this.holder)
            this.claimed += [row for row in held if (row.id, row.fence) not in self._runs]
            this.room -= len(this.claimed)
        if this.room > 0:
            if this.is_promoting:
                await claims.promote(connection)
            claimed = await claims.claim(connection, this.holder, this.room)
            this.claimed += claimed
            if not claimed:  # what was claimed begins first; this can wait for a moment
                this.is_idle = True
                this.next_due = await claims.next_due(connection)

    def _pause(self, now: float) -> float:
        until = [self._looked_at + POLL]
        if self._changed:
            until.append(self._flushed_at + self._flushing)
        if self._claims.was_held_up:
            until.append(now + PROMOTING)
        if len(self._runs) + len(self._left) < self._crew.concurrency and not self._is_leaving:
            until.append(max(self._next_due, now + PROMOTING if self._next_due < now else now))
        return max(0.0, min(until) - time.monotonic())

    def _was_stored(self, this: Round) -> None:
        rows = {(row.id, row.fence): row for row in this.stored}
        before = {(row.id, row.fence): row for row in this.missing}
        for run, lines in this.lines.items():
            del run.attempt.lines[: len(lines)]
        for run, reports in this.changed.items():
            if self._changed.pop(run, run) is None and run.reports != reports:
                self._changed[run] = None  # there is more by now
            if run.key not in rows and run.key not in self._ended and not this.is_unsure:
                logger.warning("Job %s was taken over by another process", run.attempt.job.id)
                run.end(Reason.LOST)
        wakes = False
        for run, outcome in this.ended:
            self._forget(run)
            if run.key in rows:
                row = rows[run.key]
                wakes |= row.status == State.PENDING or self._crew.kinds.get(run.attempt.job.kind) is not None
                self._tell(run.ended(outcome, row))
            elif run.key in before:
                self._tell(view(before[run.key]))
            else:
                logger.warning("What came of job %s is not stored: it was taken over", run.attempt.job.id)
        if wakes:
            self._waker.wake(TOPIC)

    def _freed(self, orphans: Iterable[Row[Any]]) -> None:
        for row in orphans:
            logger.warning("Job %s (%s) lost its process; it is %s now", row.id, row.kind, row.status)
            self._tell(view(row))
            self._waker.wake(TOPIC)

    def _complain(self, error: Exception) -> None:
        """Say once what is wrong, until it is well again."""
        complaint = str(getattr(error, "orig", error))
        if complaint != self._complaint:
            logger.error("Jobs could not be claimed or stored", exc_info=error)
        self._complaint = complaint

    def _suspect(self) -> None:
        """Find what cannot be stored, and have its job fail instead of holding up all others."""
        if self._is_careful and self._ended:
            key, (run, _) = next(iter(self._ended.items()))
            run.attempt.message = None
            run.attempt.lines.clear()
            self._ended[key] = run, Outcome(Ending.FAILED, error=NOT_STORED)
        self._is_careful = True

    # ------------------------------------------------------------------------------------------ jobs

    def _begin(self, row: Row[Any]) -> None:
        run = Run(Attempt(view(row), row.params), row.fence)
        self._runs[run.key] = run
        self._by_attempt[run.attempt] = run
        if self._is_leaving:
            self._ended[run.key] = run, Outcome(Ending.HANDED_OVER)
            self._waiter.wake()
            return
        self._tell(run.attempt.job)
        run.task = asyncio.get_running_loop().create_task(self._crew.runner.run(run.attempt, self))
        run.task.add_done_callback(lambda task: self._over(run, run.outcome(task)))
        if row.cancelling:
            run.end(Reason.ASKED)

    def _over(self, run: Run, outcome: Outcome) -> None:
        if self._runs.get(run.key) is not run or run.key in self._ended:
            return  # it was handed over while it did not end
        work = run.attempt.work
        if work is not None and not work.done():
            self._left.add(work)
            work.add_done_callback(lambda _: self._waiter.wake())
        if run.reason is Reason.LOST:
            self._forget(run)
        else:
            self._ended[run.key] = run, outcome
        self._waiter.wake()

    def _forget(self, run: Run) -> None:
        self._ended.pop(run.key, None)
        self._runs.pop(run.key, None)
        self._by_attempt.pop(run.attempt, None)
        self._changed.pop(run, None)

    def reported(self, attempt: Attempt) -> None:
        """Take the progress and the lines of an attempt."""
        run = self._by_attempt.get(attempt)
        if run is None or run.key in self._ended:
            return
        if not self._changed:
            self._waiter.wake()
        self._changed[run] = None
        run.reports += 1
        if attempt.is_changed:
            attempt.is_changed = False
            self._tell(replace(attempt.job, progress=attempt.progress, message=attempt.message))

    def _tell(self, job: JobView) -> None:
        try:
            self._listener.changed(job)
        except Exception:
            logger.exception("Job %s: its change could not be told", job.id)

    # ------------------------------------------------------------------------------------------ endings

    def look(self) -> None:
        """Look for jobs whose process has died, in the next round."""
        self._looked_at = float("-inf")
        self._waker.wake(TOPIC)

    def lost(self) -> None:
        """End all jobs: this process was taken for dead, so they are somebody else's."""
        self._losses += 1
        for run in list(self._runs.values()):
            if run.task is None or run.task.done():
                self._forget(run)
            else:
                run.end(Reason.LOST)

    async def watch_cancels(self, waiter: Waiter) -> None:
        """End the jobs that somebody asked to end."""
        while True:
            await waiter.wait(POLL)
            if not self._runs:
                continue
            try:
                async with self._database.reading() as connection:
                    asked = await self._claims.to_cancel(connection, self._liveness.id)
            except Unavailable:
                continue  # the rounds say so
            for key in asked:
                run = self._runs.get(key)
                if run is not None and run.reason is None and key not in self._ended:
                    run.end(Reason.ASKED)

    async def leave(self) -> None:
        """Take no more jobs; let those that run finish, or hand them over."""
        self._is_leaving = True
        self._waiter.wake()
        await self._until_ended(self._crew.drain)
        for run in self._running():
            run.end(Reason.LEAVING)
        await self._until_ended(FAREWELL)
        for run in self._running():
            logger.error("Job %s does not end; it is handed over all the same", run.attempt.job.id)
            self._over(run, Outcome(Ending.HANDED_OVER))

    def _running(self) -> list[Run]:
        return [run for run in self._runs.values() if run.task is not None and not run.task.done()]

    async def _until_ended(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (running := self._running()) and (left := end - time.monotonic()) > 0:
            await asyncio.wait([run.task for run in running if run.task is not None], timeout=left)

    async def hand_over_rest(self) -> None:
        """Free what still names this process: claims whose answer was lost.

        Raises:
            Unavailable: the database cannot be reached.
        """
        async with self._database.transaction() as connection:
            rows = await self._claims.held(connection, self._liveness.id)
            writes = [
                Write(row.id, row.fence, State.PENDING, row.progress, row.message, given_back=1)
                for row in rows
            ]
            if writes:
                await self._claims.store(connection, writes)
                self._waker.wake_after(connection, TOPIC)
