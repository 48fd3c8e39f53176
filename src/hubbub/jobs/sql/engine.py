"""Jobs in a table: SQLite for one machine, PostgreSQL for many."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from types import TracebackType
from typing import Self

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from hubbub.database.database import Database
from hubbub.database.waking import Transaction
from hubbub.exceptions import BadRequest, Unavailable
from hubbub.jobs.engine import Crew, Listener
from hubbub.jobs.errors import JobConflict, UnknownJob
from hubbub.jobs.job import Draft, Enqueued, JobView, LogLine, Page, Query, Status
from hubbub.jobs.sql import keeping
from hubbub.jobs.sql.intake import Intake
from hubbub.jobs.sql.schedules import Timetable
from hubbub.jobs.sql.sweep import Sweeper
from hubbub.jobs.sql.tables import current_time, logs, view
from hubbub.jobs.sql.worker import FAREWELL, TOPIC, Worker

logger = logging.getLogger(__name__)

CANCEL_TOPIC = "jobs.cancel"
KEEP = 7 * 24 * 3600.0
"""Seconds that completed and cancelled jobs are kept, when nothing else is said."""


class SqlEngine:
    """The `Engine` on a database. An async context manager.

    Args:
        database: where the jobs are; its schema is up to date (`hubbub.database.schema.migrate`). One engine uses it in a
            process.
        keep: seconds that completed and cancelled jobs are kept.
        keep_failed: seconds that failed ones are kept; `None` until somebody retries them.
    """

    def __init__(
        self,
        database: Database,
        *,
        keep: float = KEEP,
        keep_failed: float | None = None,
    ) -> None:
        self._database = database
        self._membership = database.membership
        self._waker = database.membership.waker
        self._intake = Intake(database)
        self._sweeper = Sweeper(database, keep, keep_failed)

    async def __aenter__(self) -> Self:
        await self._membership.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._intake.ended()
        await self._membership.__aexit__(exc_type, exc, traceback)

    async def enqueue(
        self, drafts: Sequence[Draft], transaction: Transaction | None = None
    ) -> list[Enqueued]:
        """Take jobs; see `Engine.enqueue`."""
        dialect = self._database.dialect
        if transaction is not None:
            made = await keeping.insert(transaction, dialect, drafts)
            self._waker.wake_after(transaction, TOPIC)
            return made
        if all(draft.key is None for draft in drafts):
            made = await self._intake.take(drafts)
        else:
            async with self._database.transaction() as connection:
                made = await keeping.insert(connection, dialect, drafts)
        self._waker.wake(TOPIC)
        return made

    async def get(self, job_id: str) -> JobView | None:
        """Return a job; see `Engine.get`."""
        async with self._database.reading() as connection:
            row = (await connection.execute(keeping.one(job_id))).one_or_none()
        return None if row is None else view(row)

    async def list(self, query: Query) -> Page:
        """Return jobs; see `Engine.list`.

        Raises:
            BadRequest: the limit is not positive.
        """
        if query.limit < 1:
            raise BadRequest("limit is 1 or more.")
        async with self._database.reading() as connection:
            rows = (await connection.execute(keeping.page(query))).all()
        found = tuple(view(row) for row in rows[: query.limit])
        return Page(found, found[-1].id if len(rows) > query.limit else None)

    async def counts(self, owner: str | None = None) -> dict[Status, int]:
        """Count jobs; see `Engine.counts`."""
        async with self._database.reading() as connection:
            return keeping.totals((await connection.execute(keeping.counted(owner))).all())

    async def logs(self, job_id: str) -> Sequence[LogLine]:
        """Return what a job noted; see `Engine.logs`."""
        statement = select(logs).where(logs.c.job_id == job_id).order_by(logs.c.fence, logs.c.number)
        async with self._database.reading() as connection:
            rows = await connection.execute(statement)
        return [LogLine(row.attempt, row.at, row.level, row.text) for row in rows]

    async def cancel(self, job_id: str) -> JobView:
        """End a job; see `Engine.cancel`."""
        async with self._database.transaction() as connection:
            statement = keeping.cancelled(job_id, current_time(self._database.dialect))
            row = (await connection.execute(statement)).one_or_none()
        if row is None:
            job = await self._known(job_id)
            raise JobConflict(f"The job is {job.status} already.")
        if row.cancelling:
            self._waker.wake(CANCEL_TOPIC)
        return view(row)

    async def retry(self, job_id: str) -> JobView:
        """Have a job begin anew; see `Engine.retry`."""
        try:
            async with self._database.transaction() as connection:
                statement = keeping.retried(job_id, current_time(self._database.dialect))
                row = (await connection.execute(statement)).one_or_none()
        except IntegrityError:
            raise JobConflict("Another job with its key is not finished.") from None
        if row is None:
            job = await self._known(job_id)
            raise JobConflict(
                f"Only a job that failed or was cancelled is retried; this one is {job.status}."
            )
        self._waker.wake(TOPIC)
        return view(row)

    @asynccontextmanager
    async def work(self, crew: Crew, listener: Listener) -> AsyncIterator[None]:
        """Run jobs; see `Engine.work`.

        Raises:
            ConfigurationError: another one does on this `Database`.
        """
        with ExitStack() as stack:
            stack.enter_context(self._membership.role("runs jobs"))
            waiter, cancels = (
                stack.enter_context(self._waker.waiter(topic)) for topic in (TOPIC, CANCEL_TOPIC)
            )
            worker = Worker(self._database, waiter, crew, listener)
            stack.enter_context(self._membership.liveness.told(lost=worker.lost, died=worker.look))
            timetable = Timetable(self._database, self._waker, crew.schedules, listener, TOPIC)
            running = asyncio.create_task(worker.run())
            beside = [
                asyncio.create_task(timetable.run()),
                asyncio.create_task(self._sweeper.run()),
            ]
            watching = asyncio.create_task(worker.watch_cancels(cancels))
            try:
                yield
            finally:
                for task in beside:
                    task.cancel()
                await worker.leave()
                await asyncio.wait([running], timeout=FAREWELL)
                for task in (running, watching):
                    task.cancel()
                await asyncio.gather(running, watching, *beside, return_exceptions=True)
                await self._farewell(worker)

    async def _farewell(self, worker: Worker) -> None:
        try:
            async with asyncio.timeout(FAREWELL):
                await worker.hand_over_rest()
        except (Unavailable, TimeoutError) as error:
            logger.error(  # noqa: TRY400 (its cause says all)
                "What came of the last jobs cannot be stored; they begin again when the lease is over: %s",
                error,
            )

    async def _known(self, job_id: str) -> JobView:
        job = await self.get(job_id)
        if job is None:
            raise UnknownJob(f"There is no job {job_id!r}.")
        return job
