"""Which processes on one database are alive, without a clock that they would have to share.

Each process has a row with a number that it counts up. Every other one watches that number: where it stands still while the
watcher counts up its own `MISSED` times, the process is taken for dead, and its row is deleted. What it held is anybody's from
that transaction on: rows that name a holder are free when there is no such process. A process that was only stopped, or could
not reach the database, finds its own row gone and learns so that it has lost everything it held.

No wall clock is looked at, so none can jump. A database that was away has everybody's numbers stand still, and the watchers'
own among them.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Self

from sqlalchemy import BigInteger, Column, Connection, String, Table, delete, insert, select, update

from hubbub.database.errors import reason
from hubbub.database.metadata import PREFIX, metadata
from hubbub.database.transactions import Transactions
from hubbub.exceptions import Unavailable

logger = logging.getLogger(__name__)

LEASE = 10.0
"""Seconds after which the holdings of a process that died are free, when nothing else is said."""
BEATS = 6
"""How often within a lease a process counts up."""
MISSED = 5
"""After how many beats of a watcher one that stood still is dead."""
FAREWELL = 2.0
"""Seconds that a database has to take note that a process ends, or to answer a beat before it is not asked."""

processes = Table(
    f"{PREFIX}processes",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("beat", BigInteger, nullable=False),
)

Told = Callable[[], None]


class Liveness:
    """Keeps this process among the living, and finds out who is not. An async context manager.

    Args:
        database: where the processes meet.
        new_id: makes ids; a process gets another one each time it was taken for dead.
        lease: seconds after which a process that is silent has lost everything; the same for all of them.
        alone: whether there can be no other process, so that whoever has a row here is one that died.
    """

    def __init__(
        self, database: Transactions, new_id: Callable[[], str], *, lease: float = LEASE, alone: bool = False
    ) -> None:
        self._database = database
        self._new_id = new_id
        self._lease = lease
        self._alone = alone
        self._seen: dict[str, tuple[int, int]] = {}
        """Of each other process its number, and for how many of our beats it has not moved."""
        self._beaten_at = 0.0
        self._asked_at: float | None = None
        """When the beat began that has not been answered yet."""
        self._task: asyncio.Task[None] | None = None
        self._lost: list[Told] = []
        self._died: list[Told] = []
        self.id = ""
        """What rows name that are held by this process."""

    @property
    def is_sure(self) -> bool:
        """Whether nobody can have taken this process for dead yet."""
        return time.monotonic() - self._beaten_at < self._lease * MISSED / BEATS

    @contextmanager
    def told(self, *, lost: Told | None = None, died: Told | None = None) -> Iterator[None]:
        """Be told, for as long as the block runs.

        Args:
            lost: called when this process was taken for dead: what it held may be somebody else's.
            died: called when other processes have died, so that what they held is free.
        """
        with ExitStack() as stack:
            for callback, callbacks in ((lost, self._lost), (died, self._died)):
                if callback is not None:
                    callbacks.append(callback)
                    stack.callback(callbacks.remove, callback)
            yield

    async def __aenter__(self) -> Self:
        await self._enrol()
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        is_silent = self._asked_at is not None and time.monotonic() - self._asked_at > FAREWELL
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        try:
            if is_silent:
                raise TimeoutError
            async with asyncio.timeout(FAREWELL), self._database.transaction() as connection:
                await connection.execute(delete(processes).where(processes.c.id == self.id))
        except (Unavailable, TimeoutError) as error:
            logger.warning(
                "This process could not say that it ends; its jobs wait for its lease: %s", reason(error)
            )

    async def _enrol(self) -> None:
        began, new = time.monotonic(), self._new_id()
        async with self._database.transaction() as connection:
            if self._alone:
                await connection.execute(delete(processes))
            await connection.execute(insert(processes).values(id=new, beat=0))
        self._alone = False  # who is there from now on is of this process
        self.id, self._beaten_at = new, began
        self._seen.clear()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._lease / BEATS)
            self._asked_at = time.monotonic()
            try:
                await self._beat()
            except Unavailable as error:
                logger.warning("This process cannot show that it is alive: %s", reason(error))
            except Exception:
                logger.exception("This process could not show that it is alive")
            self._asked_at = None

    async def _beat(self) -> None:
        began = time.monotonic()
        async with self._database.transaction() as connection:
            is_alive, dead = await connection.run_sync(self._count_up)
        if not is_alive:
            logger.warning("This process was silent for so long that it was taken for dead; it begins anew.")
            self._tell(self._lost)
            await self._enrol()
            return
        self._beaten_at = began
        if dead:
            logger.warning("Taken for dead: %s", ", ".join(dead))
            self._tell(self._died)

    def _count_up(self, connection: Connection) -> tuple[bool, list[str]]:
        own = processes.c.id == self.id
        if not connection.execute(update(processes).where(own).values(beat=processes.c.beat + 1)).rowcount:
            return False, []
        rows = connection.execute(select(processes.c.id, processes.c.beat).where(~own)).all()
        before, self._seen = self._seen, {}
        dead = []
        for other, beat in rows:
            known, still = before.get(other, (beat, 0))
            self._seen[other] = (beat, still + 1) if known == beat else (beat, 0)
            if self._seen[other][1] > MISSED:
                gone = (processes.c.id == other) & (processes.c.beat == beat)
                if connection.execute(delete(processes).where(gone)).rowcount:
                    dead.append(other)
        return True, dead

    def _tell(self, callbacks: list[Told]) -> None:
        for callback in list(callbacks):
            callback()
