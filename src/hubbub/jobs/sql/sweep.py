"""Sweeping: jobs that ended long ago are deleted, with what they noted."""

import asyncio
import logging

from sqlalchemy import delete, select

from hubbub.database.database import Database
from hubbub.database.errors import reason
from hubbub.exceptions import Unavailable
from hubbub.jobs.sql.tables import State, current_time, jobs, stands

logger = logging.getLogger(__name__)

EVERY = 60.0
"""Seconds between two sweeps."""
AT_ONCE = 500
"""Jobs that one transaction deletes."""

_c = jobs.c


class Sweeper:
    """Deletes jobs whose time is over.

    Args:
        database: where they are.
        keep: seconds that completed and cancelled jobs are kept.
        keep_failed: seconds that failed ones are kept; `None` for ever.
    """

    def __init__(self, database: Database, keep: float, keep_failed: float | None) -> None:
        self._database = database
        self._kept = {State.COMPLETED: keep, State.CANCELLED: keep}
        if keep_failed is not None:
            self._kept[State.FAILED] = keep_failed

    async def run(self) -> None:
        """Sweep again and again."""
        while True:
            try:
                await self.sweep()
            except Unavailable as error:
                logger.warning("Old jobs cannot be swept: %s", reason(error))
            except Exception:
                logger.exception("Old jobs could not be swept")
            await asyncio.sleep(EVERY)

    async def sweep(self) -> int:
        """Delete all whose time is over; return how many there were."""
        swept = 0
        for state, seconds in self._kept.items():
            while number := await self._some(state, int(seconds * 1000)):
                swept += number
        return swept

    async def _some(self, state: State, age: int) -> int:
        async with self._database.transaction() as connection:
            old = (
                select(_c.id)
                .where(stands(state), _c.finished <= current_time(self._database.dialect) - age)
                .order_by(_c.finished)
                .limit(AT_ONCE)
                .with_for_update(skip_locked=True)
                .cte("picked")
            )
            # The driver of SQLite counts no rows of a statement that begins with WITH.
            done = delete(jobs).where(_c.id.in_(select(old.c.id))).returning(_c.id)
            return len((await connection.execute(done)).all())
