"""Statements on many jobs: what workers ask for. All run in the worker's own transaction."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, case, exists, func, select, update
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from hubbub.database.address import Dialect
from hubbub.database.liveness import processes
from hubbub.jobs.job import LogLine
from hubbub.jobs.sql.statements import statement
from hubbub.jobs.sql.tables import State, current_time, jobs, milliseconds, stands

LOST = "The process that ran it ended before it did, and no attempts are left."
PROMOTED = 1000
"""Delayed jobs whose time has come that one round takes at most."""

_c = jobs.c


@dataclass(frozen=True, slots=True)
class Write:
    """What is to be stored of an attempt, if it is still the current one."""

    id: str
    fence: int
    status: State
    progress: int
    message: str | None
    result: str | None = None
    error: str | None = None
    delay: int = 0
    given_back: int = 0
    """1 where the attempt does not count."""


class Claims:
    """Takes jobs, stores what came of them, and finds those whose process died.

    Args:
        dialect: of which database.
        kinds: the tasks that this process knows, and how many of each may run at once in the cluster.
    """

    def __init__(self, dialect: Dialect, kinds: Mapping[str, int | None]) -> None:
        self._dialect = dialect
        self._kinds = sorted(kinds)
        self._limits = {kind: limit for kind, limit in kinds.items() if limit is not None}
        self._store = statement("store", dialect)
        self._note = statement("note", dialect)
        self.was_held_up = False
        """Whether the last claim left out jobs with a limit because another process was counting them."""

    async def store(self, connection: AsyncConnection, writes: Sequence[Write]) -> list[Row[Any]]:
        """Store what attempts reported; return those that were still the current ones, as they stand now."""
        # In one order everywhere, so that two processes never wait for each other's rows.
        batch = [
            {
                "id": each.id,
                "fence": each.fence,
                "status": each.status.value,
                "progress": each.progress,
                "message": each.message,
                "result": each.result,
                "error": each.error,
                "delay": each.delay,
                "given_back": each.given_back,
            }
            for each in sorted(writes, key=lambda each: each.id)
        ]
        return list((await connection.execute(self._store, self._bound(batch))).all())

    async def note(self, connection: AsyncConnection, lines: Sequence[tuple[str, int, int, LogLine]]) -> None:
        """Keep what attempts noted: of each line the job, its fence, the line's number, and the line."""
        batch = [
            {
                "id": job_id,
                "fence": fence,
                "number": number,
                "attempt": line.attempt,
                "at": line.at,
                "level": line.level,
                "text": line.text,
            }
            for job_id, fence, number, line in lines
        ]
        await connection.execute(self._note, {"batch": json.dumps(batch)})

    def _bound(self, batch: list[dict[str, Any]]) -> dict[str, Any]:
        bound: dict[str, Any] = {"batch": json.dumps(batch)}
        if self._dialect is Dialect.SQLITE:
            bound["now"] = milliseconds()
        return bound

    async def promote(self, connection: AsyncConnection) -> None:
        """Let delayed jobs begin whose time has come."""
        due = (
            select(_c.id)
            .where(stands(State.DELAYED), _c.due <= current_time(self._dialect))
            .order_by(_c.due)
            .limit(PROMOTED)
            .with_for_update(skip_locked=True)
            .cte("picked")
        )
        await connection.execute(
            update(jobs).where(_c.id.in_(select(due.c.id))).values(status=State.PENDING.value)
        )

    async def next_due(self, connection: AsyncConnection) -> float | None:
        """Return in how many seconds the next delayed job begins; `None` where there is none."""
        left = func.min(_c.due) - current_time(self._dialect)
        found = await connection.scalar(select(left).where(stands(State.DELAYED)))
        return None if found is None else max(0.0, found / 1000)

    async def take_over(self, connection: AsyncConnection) -> list[Row[Any]]:
        """Free the jobs of processes that are not alive; those without attempts left fail. Return them."""
        orphans = (
            select(_c.id)
            .where(stands(State.RUNNING), _c.holder.not_in(select(processes.c.id)))
            .with_for_update(skip_locked=True)
            .cte("picked")
        )
        is_last = _c.attempt >= _c.attempts
        ends = _c.cancelling | is_last
        done = (
            update(jobs)
            .where(_c.id.in_(select(orphans.c.id)), stands(State.RUNNING))
            .values(
                status=case(
                    (_c.cancelling, State.CANCELLED.value),
                    (is_last, State.FAILED.value),
                    else_=State.PENDING.value,
                ),
                error=case((is_last, LOST), else_=_c.error),
                holder=None,
                finished=case((ends, current_time(self._dialect)), else_=None),
            )
            .returning(jobs)
        )
        return list((await connection.execute(done)).all())

    async def named(self, connection: AsyncConnection, ids: Sequence[str]) -> list[Row[Any]]:
        """Return jobs as they stand."""
        return list((await connection.execute(select(jobs).where(_c.id.in_(ids)))).all()) if ids else []

    async def held(self, connection: AsyncConnection, holder: str) -> list[Row[Any]]:
        """Return the running jobs that name a process."""
        mine = select(jobs).where(stands(State.RUNNING), _c.holder == holder)
        return list((await connection.execute(mine)).all())

    async def to_cancel(self, connection: AsyncConnection, holder: str) -> set[tuple[str, int]]:
        """Return the jobs of a process that were asked to end, with their fences."""
        asked = select(_c.id, _c.fence).where(stands(State.RUNNING), _c.holder == holder, _c.cancelling)
        return {(row.id, row.fence) for row in await connection.execute(asked)}

    async def claim(self, connection: AsyncConnection, holder: str, number: int) -> list[Row[Any]]:
        """Take up to `number` jobs for a process that is alive, in the order in which they begin."""
        self.was_held_up = False
        if self._limits:
            chosen = await self._choose(connection, number)
            if not chosen:
                return []
            picked = select(_c.id).where(_c.id.in_(chosen), stands(State.PENDING)).cte("picked")
        else:
            picked = self._next(self._kinds, number).cte("picked")
        is_alive = exists().where(processes.c.id == holder)
        claimed = (
            update(jobs)
            .where(_c.id.in_(select(picked.c.id)), is_alive)
            .values(
                status=State.RUNNING.value,
                holder=holder,
                fence=_c.fence + 1,
                attempt=_c.attempt + 1,
                started=current_time(self._dialect),
                progress=0,
                message=None,
            )
            .returning(jobs)
        )
        rows = (await connection.execute(claimed)).all()
        return sorted(rows, key=lambda row: (-row.priority, row.due, row.id))

    def _next(self, kinds: Collection[str], number: int) -> Select[Any]:
        return (
            select(_c.id, _c.kind)
            .where(stands(State.PENDING), _c.kind.in_(kinds))
            .order_by(_c.priority.desc(), _c.due, _c.id)
            .limit(number)
            .with_for_update(skip_locked=True)
        )

    async def _choose(self, connection: AsyncConnection, number: int) -> list[str]:
        """Lock the jobs that begin next and are within the limits of their tasks."""
        chosen: list[str] = []
        rooms: dict[str, int] = {}
        open_kinds = set(self._kinds)
        while open_kinds:
            rows = (await connection.execute(self._next(sorted(open_kinds), number))).all()
            unknown = sorted({row.kind for row in rows} & self._limits.keys() - rooms.keys())
            rooms |= await self._rooms(connection, unknown)
            left_out = False
            for row in rows:
                if row.id in chosen or len(chosen) == number:
                    continue
                if rooms.get(row.kind, 1) > 0:
                    chosen.append(row.id)
                    if row.kind in rooms:
                        rooms[row.kind] -= 1
                else:
                    left_out = True
            if not left_out or len(chosen) == number:
                break
            open_kinds -= {kind for kind, room in rooms.items() if room <= 0}
        return chosen

    async def _rooms(self, connection: AsyncConnection, kinds: Sequence[str]) -> dict[str, int]:
        """Return how many more jobs of each kind may run; until the commit nobody else begins any of them."""
        locked = []
        for kind in kinds:
            if self._dialect is Dialect.POSTGRESQL:
                # One is never waited for: two processes could wait for each other's.
                lock = select(func.pg_try_advisory_xact_lock(func.hashtextextended(kind, LOCK)))
                if not await connection.scalar(lock):
                    self.was_held_up = True
                    continue
            locked.append(kind)
        if not locked:
            return dict.fromkeys(kinds, 0)
        running = (
            select(_c.kind, func.count().label("number"))
            .where(stands(State.RUNNING), _c.kind.in_(locked))
            .group_by(_c.kind)
        )
        found = {row.kind: row.number for row in await connection.execute(running)}
        rooms = dict.fromkeys(kinds, 0)
        return rooms | {kind: max(0, self._limits[kind] - found.get(kind, 0)) for kind in locked}


LOCK = 0x6A6F6273
"""What tells the advisory locks of tasks from other ones."""
