"""Statements on single jobs: what users ask for."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, Update, case, false, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Row

from hubbub.database.address import Dialect
from hubbub.database.waking import Transaction
from hubbub.jobs.bounds import is_storable
from hubbub.jobs.errors import JobConflict
from hubbub.jobs.job import Draft, Enqueued, JobView, Query, Status, loads
from hubbub.jobs.sql.tables import UNFINISHED, WAITING, State, current_time, jobs, logs, stands, view

AT_ONCE = 500
"""Jobs that one statement inserts; SQLite takes 32,766 values in one."""
TRIES = 5
"""How often a job whose key was taken, and then not, is tried."""

_c = jobs.c


async def insert(transaction: Transaction, dialect: Dialect, drafts: Sequence[Draft]) -> list[Enqueued]:
    """Insert jobs; return what became of each.

    Raises:
        JobConflict: other jobs took a key and ended, again and again.
    """
    made: dict[str, JobView] = {}
    at_once = [draft for draft in drafts if draft.due is None and draft.delay <= 0]
    for start in range(0, len(at_once), AT_ONCE):
        part = at_once[start : start + AT_ONCE]
        made |= await _insert(transaction, dialect, part, State.PENDING, current_time(dialect))
    for draft in drafts:
        if draft.due is not None or draft.delay > 0:
            due = current_time(dialect) + draft.delay if draft.due is None else draft.due
            made |= await _insert(transaction, dialect, [draft], State.DELAYED, due)
    return [
        Enqueued(made[draft.id], is_new=True)
        if draft.id in made
        else await _keyed(transaction, dialect, draft)
        for draft in drafts
    ]


async def _insert(
    transaction: Transaction,
    dialect: Dialect,
    drafts: Sequence[Draft],
    state: State,
    due: ColumnElement[int] | int,
) -> dict[str, JobView]:
    new = postgresql.insert(jobs) if dialect is Dialect.POSTGRESQL else sqlite.insert(jobs)
    statement = (
        new.on_conflict_do_nothing()
        .values(due=due, created=current_time(dialect))
        .returning(_c.id, _c.created, _c.due)
    )
    rows = await transaction.execute(statement, [_row(draft, state) for draft in drafts])
    times = {row.id: (row.created, row.due) for row in rows}
    return {draft.id: _new(draft, *times[draft.id]) for draft in drafts if draft.id in times}


def _row(draft: Draft, state: State) -> dict[str, Any]:
    return {
        "id": draft.id,
        "kind": draft.kind,
        "status": state.value,
        "owner": draft.owner,
        "key": draft.key,
        "priority": draft.priority,
        "params": draft.params,
        "attempt": 0,
        "attempts": draft.attempts,
        "fence": 0,
        "cancelling": False,
        "progress": 0,
    }


def _new(draft: Draft, created: int, due: int) -> JobView:
    return JobView(
        id=draft.id,
        kind=draft.kind,
        status=Status.PENDING,
        owner=draft.owner,
        key=draft.key,
        priority=draft.priority,
        params=loads(draft.params),
        attempt=0,
        attempts=draft.attempts,
        progress=0,
        message=None,
        result=None,
        error=None,
        is_cancelling=False,
        created=created,
        due=due,
        started=None,
        finished=None,
    )


async def _keyed(transaction: Transaction, dialect: Dialect, draft: Draft) -> Enqueued:
    """Find the job that has a draft's key; where it has ended meanwhile, insert the draft after all."""
    state = State.PENDING if draft.due is None and draft.delay <= 0 else State.DELAYED
    for _ in range(TRIES):
        row = (await transaction.execute(holder(draft.kind, draft.key or ""))).one_or_none()
        if row is not None:
            return Enqueued(view(row), is_new=False)
        due = current_time(dialect) + max(draft.delay, 0) if draft.due is None else draft.due
        made = await _insert(transaction, dialect, [draft], state, due)
        if made:
            return Enqueued(made[draft.id], is_new=True)
    raise JobConflict(f"The key {draft.key!r} was taken and free again too often: try again.")


def holder(kind: str, key: str) -> Select[Any]:
    """Read the unfinished job that has a key, by the index of those."""
    return select(jobs).where(_c.kind == kind, _c.key == key, stands(*UNFINISHED))


def matches(column: ColumnElement[Any], text: str) -> ColumnElement[bool]:
    """Compare with a text that came from outside; nothing is like one that no row can have, which PostgreSQL would choke on."""
    return column == text if is_storable(text) else false()


def one(job_id: str) -> Select[Any]:
    """Read a job."""
    return select(jobs).where(matches(_c.id, job_id))


def noted(job_id: str) -> Select[Any]:
    """Read what a job noted, in order."""
    return select(logs).where(matches(logs.c.job_id, job_id)).order_by(logs.c.fence, logs.c.number)


def page(query: Query) -> Select[Any]:
    """Read a page of a list, and one row more where there is another page. Ids begin with the time."""
    statement = select(jobs).order_by(_c.id.desc()).limit(query.limit + 1)
    if query.owner is not None:
        statement = statement.where(matches(_c.owner, query.owner))
    if query.kind is not None:
        statement = statement.where(matches(_c.kind, query.kind))
    if query.status is not None:
        words = WAITING if query.status is Status.PENDING else (State(query.status.value),)
        statement = statement.where(stands(*words))
    if query.cursor is not None:
        statement = statement.where(_c.id < query.cursor)
    return statement


def counted(owner: str | None) -> Select[Any]:
    """Count jobs by status."""
    statement = select(_c.status, func.count().label("number")).group_by(_c.status)
    return statement if owner is None else statement.where(matches(_c.owner, owner))


def unfinished(owner: str) -> Select[Any]:
    """Count the jobs of an owner that wait or run, by the index of those."""
    return select(func.count()).select_from(jobs).where(matches(_c.owner, owner), stands(*UNFINISHED))


def totals(rows: Sequence[Row[Any]]) -> dict[Status, int]:
    """Add up what `counted` read."""
    found = dict.fromkeys(Status, 0)
    for row in rows:
        status = Status.PENDING if row.status == State.DELAYED else Status(row.status)
        found[status] += row.number
    return found


def cancelled(job_id: str, now: ColumnElement[int]) -> Update:
    """Cancel a job that waits, and ask one that runs to end."""
    runs = stands(State.RUNNING)
    return (
        update(jobs)
        .where(matches(_c.id, job_id), stands(*UNFINISHED))
        .values(
            status=case((runs, State.RUNNING.value), else_=State.CANCELLED.value),
            cancelling=case((runs, True), else_=_c.cancelling),
            finished=case((runs, None), else_=now),
        )
        .returning(jobs)
    )


def retried(job_id: str, now: ColumnElement[int]) -> Update:
    """Have a job begin anew."""
    return (
        update(jobs)
        .where(matches(_c.id, job_id), stands(State.FAILED, State.CANCELLED))
        .values(
            status=State.PENDING.value,
            attempt=0,
            cancelling=False,
            progress=0,
            message=None,
            error=None,
            due=now,
            started=None,
            finished=None,
            holder=None,
        )
        .returning(jobs)
    )
