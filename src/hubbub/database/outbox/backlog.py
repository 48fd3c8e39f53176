"""How much waits in the outbox."""

from sqlalchemy import case, func, select

from hubbub.clock import Clock
from hubbub.database.database import Database
from hubbub.database.outbox.tables import outbox
from hubbub.hub.statistics import OutboxStatistics

EVERY = 5.0
"""Seconds between two counts: it reads the whole table."""

COUNT = select(
    func.count(),
    func.count(outbox.c.parked),
    func.min(case((outbox.c.parked.is_(None), outbox.c.time))),
).select_from(outbox)


class Backlog:
    """Counts rows now and then.

    Args:
        database: where they are.
        clock: what time it is.
        statistics: where it is noted.
    """

    def __init__(self, database: Database, clock: Clock, statistics: OutboxStatistics) -> None:
        self._database = database
        self._clock = clock
        self._statistics = statistics
        self._next = 0.0

    async def look(self) -> None:
        """Count, if it is time to.

        Raises:
            DatabaseUnavailable: it cannot be reached.
        """
        if self._clock.monotonic() < self._next:
            return
        self._next = self._clock.monotonic() + EVERY
        async with self._database.reading() as connection:
            rows, parked, oldest = (await connection.execute(COUNT)).one()
        self._statistics.waiting = rows - parked
        self._statistics.parked = parked
        self._statistics.oldest = 0.0 if oldest is None else max(0.0, self._clock.time() - oldest)
