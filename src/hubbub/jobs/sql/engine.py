"""Jobs in a table: SQLite for one machine, PostgreSQL for many."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from types import TracebackType
from typing import Self

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from hubbub.database.database import Database
from hubbub.database.errors import reason
from hubbub.database.joining import joined
from hubbub.database.schema import check_tables, opened
from hubbub.database.waking import Transaction
from hubbub.exceptions import BadRequest, ConfigurationError, Unavailable
from hubbub.jobs.bounds import LONGEST, is_seconds
from hubbub.jobs.engine import Crew, Listener
from hubbub.jobs.errors import JobConflict, UnknownJob
from hubbub.jobs.job import Draft, Enqueued, JobView, LogLine, Page, Query, Status
from hubbub.jobs.sql import keeping
from hubbub.jobs.sql.intake import Intake
from hubbub.jobs.sql.schedules import Timetable
from hubbub.jobs.sql.sweep import Sweeper
from hubbub.jobs.sql.tables import current_time, view
from hubbub.jobs.sql.worker import FAREWELL, TOPIC, Worker

logger = logging.getLogger(__name__)

CANCEL_TOPIC = "jobs.cancel"
KEEP = 7 * 24 * 3600.0
"""Seconds that completed and cancelled jobs are kept, when nothing else is said."""
CURSOR = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
"""The id of a job (`SecretIds`): a page ends with one."""


class SqlEngine:
    """The `Engine` on a database. An async context manager.

    Args:
        database: where the jobs are: one, which its owner has entered; or an engine or a URL, for as long as this is entered. Its
            tables are up to date (`hubbub.database.migrate`). One engine uses it in a process.
        keep: seconds that completed and cancelled jobs are kept.
        keep_failed: seconds that failed ones are kept; `None` until somebody retries them.

    Raises:
        ConfigurationError: there can be no such database, or a value cannot work; or, when it is entered, tables are missing.
    """

    def __init__(
        self,
        database: Database | AsyncEngine | str,
        *,
        keep: float = KEEP,
        keep_failed: float | None = None,
    ) -> None:
        for seconds in (keep, keep_failed):
            if seconds is not None and not is_seconds(seconds, LONGEST):
                raise ConfigurationError(
                    f"keep and keep_failed are seconds, of at most a hundred years, not {seconds!r}."
                )
        self._is_owner = not isinstance(database, Database)
        self._database = database if isinstance(database, Database) else opened(database)
        self._membership = self._database.membership
        self._waker = self._membership.waker
        self._intake = Intake(self._database)
        self._sweeper = Sweeper(self._database, keep, keep_failed)
        self._exits: list[AsyncExitStack] = []

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            if self._is_owner:
                await stack.enter_async_context(self._database)
            await check_tables(self._database)
            await stack.enter_async_context(self._membership)
            stack.push_async_callback(self._intake.ended)
            self._exits.append(stack.pop_all())
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._exits.pop().aclose()

    async def enqueue(
        self, drafts: Sequence[Draft], transaction: Transaction | None = None
    ) -> list[Enqueued]:
        """Take jobs; see `Engine.enqueue`."""
        dialect = self._database.dialect
        if transaction is not None:
            await joined(transaction, dialect)
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
            BadRequest: the limit is not positive, or the cursor is none that a page handed out.
        """
        if query.limit < 1:
            raise BadRequest("limit is 1 or more.")
        if query.cursor is not None and not CURSOR.fullmatch(query.cursor):
            raise BadRequest("cursor is the `next_cursor` of the page before.")
        async with self._database.reading() as connection:
            rows = (await connection.execute(keeping.page(query))).all()
        found = tuple(view(row) for row in rows[: query.limit])
        return Page(found, found[-1].id if len(rows) > query.limit else None)

    async def counts(self, owner: str | None = None) -> dict[Status, int]:
        """Count jobs; see `Engine.counts`."""
        async with self._database.reading() as connection:
            return keeping.totals((await connection.execute(keeping.counted(owner))).all())

    async def unfinished(self, owner: str) -> int:
        """Count the jobs of an owner that wait or run; see `Engine.unfinished`."""
        async with self._database.reading() as connection:
            return await connection.scalar(keeping.unfinished(owner)) or 0

    async def logs(self, job_id: str) -> Sequence[LogLine]:
        """Return what a job noted; see `Engine.logs`."""
        async with self._database.reading() as connection:
            rows = await connection.execute(keeping.noted(job_id))
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
                reason(error),
            )

    async def _known(self, job_id: str) -> JobView:
        job = await self.get(job_id)
        if job is None:
            raise UnknownJob(f"There is no job {job_id!r}.")
        return job
