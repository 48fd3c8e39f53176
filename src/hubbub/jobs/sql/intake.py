"""Taking jobs of many callers with one commit: a disk syncs some hundred times a second, however much is synced."""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from hubbub.database.database import Database
from hubbub.exceptions import Unavailable
from hubbub.jobs.job import Draft, Enqueued
from hubbub.jobs.sql import keeping

AT_ONCE = 500
"""Jobs that one commit takes, or those of one call, if it has more."""


@dataclass(slots=True)
class Call:
    """What one caller handed in."""

    drafts: Sequence[Draft]
    made: asyncio.Future[list[Enqueued]]


class Intake:
    """Inserts jobs, those that come while a commit is under way together with the next one.

    Jobs with a key are not for it: their insert may wait for somebody else's transaction.

    Args:
        database: where the jobs are.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: deque[Call] = deque()
        self._task: asyncio.Task[None] | None = None

    async def take(self, drafts: Sequence[Draft]) -> list[Enqueued]:
        """Insert jobs, all or none of them; return what became of each when it was committed.

        Raises:
            DatabaseUnavailable: the database cannot be reached; whether they were inserted may be unknown.
        """
        call = Call(drafts, asyncio.get_running_loop().create_future())
        self._waiting.append(call)
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        return await call.made

    async def ended(self) -> None:
        """Wait until all that was handed in is inserted, or cannot be."""
        if self._task is not None:
            await self._task

    async def _run(self) -> None:
        try:
            while self._waiting:
                await self._insert(self._next())
        finally:
            self._task = None
            for call in self._waiting:  # only where it was cancelled: the process ends
                call.made.cancel()

    def _next(self) -> list[Call]:
        batch: list[Call] = []
        number = 0
        while self._waiting and (not batch or number + len(self._waiting[0].drafts) <= AT_ONCE):
            call = self._waiting.popleft()
            if not call.made.done():  # its caller may have gone
                batch.append(call)
                number += len(call.drafts)
        return batch

    async def _insert(self, batch: list[Call]) -> None:
        if not batch:
            return
        drafts = [draft for call in batch for draft in call.drafts]
        try:
            async with self._database.transaction() as connection:
                made = await keeping.insert(connection, self._database.dialect, drafts)
        except asyncio.CancelledError:
            for call in batch:
                call.made.cancel()
            raise
        except Exception as error:  # noqa: BLE001 (those who called are told)
            await self._failed(batch, error)
            return
        start = 0
        for call in batch:
            if not call.made.done():
                call.made.set_result(made[start : start + len(call.drafts)])
            start += len(call.drafts)

    async def _failed(self, batch: list[Call], error: Exception) -> None:
        """Tell one caller; of several, find out whose error it is, unless it is the database's."""
        if len(batch) > 1 and not isinstance(error, Unavailable):
            for call in batch:
                await self._insert([call])
            return
        for call in batch:
            if not call.made.done():
                call.made.set_exception(error)
