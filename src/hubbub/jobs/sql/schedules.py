"""Schedules: whoever moves the time of the next one on enqueues its job, in the same transaction."""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy import select, update
from sqlalchemy.dialects import postgresql, sqlite

from hubbub.database.address import Dialect
from hubbub.database.database import Database
from hubbub.database.errors import reason
from hubbub.database.waking import Waker
from hubbub.exceptions import Unavailable
from hubbub.jobs.engine import Listener
from hubbub.jobs.job import Enqueued
from hubbub.jobs.schedules import Schedule
from hubbub.jobs.sql.keeping import insert
from hubbub.jobs.sql.tables import current_time, schedules

logger = logging.getLogger(__name__)

LOOK = 1.0
"""Seconds between two looks at the clock, so that one which is put on or back is noticed."""

_c = schedules.c


class Timetable:
    """Enqueues jobs by the clock.

    The clock is PostgreSQL's, or on SQLite the process's. A time that was missed, because nobody ran or the clock was put on, is
    made up for once. A schedule that cannot be kept harms no other. Where a clock was put back by more than two of its times, a schedule goes by the new time.

    Args:
        database: where the cluster agrees.
        waker: wakes those who run the jobs.
        plan: the schedules of this process.
        listener: is told of the jobs.
    """

    def __init__(
        self, database: Database, waker: Waker, plan: Sequence[Schedule], listener: Listener, topic: str
    ) -> None:
        self._database = database
        self._waker = waker
        self._plan = plan
        self._listener = listener
        self._topic = topic
        self._entered: set[str] = set()
        self._failing: set[str] = set()
        """Those whose error has been told."""

    async def run(self) -> None:
        """Enqueue what is due, again and again."""
        while self._plan:
            wait = LOOK
            try:
                await self.enter()
                wait = min(LOOK, await self.look())
            except Unavailable as error:
                logger.warning("No job can be begun by the clock at the moment: %s", reason(error))
            except Exception:
                logger.exception("Jobs could not be begun by the clock")
            await asyncio.sleep(wait)

    async def enter(self) -> None:
        """Enter those schedules into the timetable that are not yet, or change those whose expression has changed."""
        for schedule in self._plan:
            if schedule.name not in self._entered:
                with self._alone(schedule):
                    await self._enter(schedule)
                    self._entered.add(schedule.name)

    async def look(self) -> float:
        """Enqueue what is due; return in how many seconds the next one is."""
        dialect = self._database.dialect
        names = [schedule.name for schedule in self._plan]
        async with self._database.reading() as connection:
            now = await connection.scalar(select(current_time(dialect))) or 0
            rows = await connection.execute(select(schedules).where(_c.name.in_(names)))
            times = {row.name: (row.cron, row.next) for row in rows}
        wait = LOOK
        for schedule in self._plan:
            cron, due = times.get(schedule.name, ("", 0))
            if cron == str(schedule.cron):  # else it is of a later release, which fires it
                with self._alone(schedule):
                    wait = min(wait, (await self._kept(schedule, due, now) - now) / 1000)
        return max(0.0, wait)

    @contextmanager
    def _alone(self, schedule: Schedule) -> Iterator[None]:
        """Have the error of one schedule harm no other. It is tried again with each look, and told once."""
        try:
            yield
        except Unavailable:
            raise
        except Exception:
            if schedule.name not in self._failing:
                logger.exception("The schedule %s cannot be kept; it is tried again", schedule.name)
            self._failing.add(schedule.name)
        else:
            self._failing.discard(schedule.name)

    async def _enter(self, schedule: Schedule) -> None:
        dialect = self._database.dialect
        new = postgresql.insert(schedules) if dialect is Dialect.POSTGRESQL else sqlite.insert(schedules)
        async with self._database.transaction() as connection:
            now = await connection.scalar(select(current_time(dialect))) or 0
            values = {"cron": str(schedule.cron), "next": schedule.cron.following(now)}
            await connection.execute(
                new.values(name=schedule.name, **values).on_conflict_do_update(
                    index_elements=[_c.name], set_=values, where=_c.cron != values["cron"]
                )
            )

    async def _kept(self, schedule: Schedule, due: int, now: int) -> int:
        """Fire a schedule whose time has come; return when it is due next."""
        following = schedule.cron.following(now)
        if due <= now:
            await self._fire(schedule, due, following)
            return following
        if due > schedule.cron.following(following):
            await self._put_back(schedule, due, following)
            return following
        return due

    async def _fire(self, schedule: Schedule, due: int, following: int) -> None:
        made: list[Enqueued] = []
        async with self._database.transaction() as connection:
            moved = update(schedules).where(_c.name == schedule.name, _c.next == due).values(next=following)
            if (await connection.execute(moved)).rowcount:
                made = await insert(connection, self._database.dialect, [schedule.draft()])
        for each in made:
            if each.is_new:
                self._listener.changed(each.job)
        if made:
            self._waker.wake(self._topic)

    async def _put_back(self, schedule: Schedule, due: int, following: int) -> None:
        logger.warning("The clock was put back: %s is next due by the new time", schedule.name)
        async with self._database.transaction() as connection:
            await connection.execute(
                update(schedules).where(_c.name == schedule.name, _c.next == due).values(next=following)
            )
