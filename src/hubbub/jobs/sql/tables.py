"""The tables of the jobs, and rows of them as values."""

import time
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    cast,
    func,
    literal,
    text,
)
from sqlalchemy.engine import Row

from hubbub.database.address import Dialect
from hubbub.database.metadata import PREFIX, metadata
from hubbub.jobs.job import JobView, Status, loads

NAME = 255
"""How long kinds, keys and the ids of owners may be."""


class State(StrEnum):
    """What stands in the table as a status: one word more than users see.

    A job whose time has not come is `delayed`. It is made `pending` when it has, so that whoever looks for work passes over no
    job that cannot begin, and a clock that is put back holds up nothing that was to begin at once.
    """

    DELAYED = "delayed"
    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


WAITING = (State.DELAYED, State.PENDING)
UNFINISHED = (State.DELAYED, State.PENDING, State.RUNNING)

jobs = Table(
    f"{PREFIX}jobs",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("kind", String(NAME), nullable=False),
    Column("status", String(16), nullable=False),
    Column("owner", String(NAME)),
    Column("key", String(NAME)),
    Column("priority", Integer, nullable=False),
    Column("params", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("holder", String(64)),
    Column("fence", BigInteger, nullable=False),
    Column("cancelling", Boolean, nullable=False),
    Column("progress", Integer, nullable=False),
    Column("message", Text),
    Column("result", Text),
    Column("error", Text),
    Column("created", BigInteger, nullable=False),
    Column("due", BigInteger, nullable=False),
    Column("started", BigInteger),
    Column("finished", BigInteger),
)
"""Times are milliseconds since 1970. `holder` is the process that runs it; `fence` counts how often it was claimed."""

_c = jobs.c
Index(
    "ix_hubbub_jobs_pending",
    _c.priority.desc(),
    _c.due,
    _c.id,
    sqlite_where=text("status = 'pending'"),
    postgresql_where=text("status = 'pending'"),
)
Index(
    "ix_hubbub_jobs_delayed",
    _c.due,
    sqlite_where=text("status = 'delayed'"),
    postgresql_where=text("status = 'delayed'"),
)
Index(
    "ix_hubbub_jobs_running",
    _c.holder,
    sqlite_where=text("status = 'running'"),
    postgresql_where=text("status = 'running'"),
)
Index(
    "ix_hubbub_jobs_failed",
    _c.id,
    sqlite_where=text("status = 'failed'"),
    postgresql_where=text("status = 'failed'"),
)
Index(
    "uq_hubbub_jobs_key",
    _c.kind,
    _c.key,
    unique=True,
    sqlite_where=text("key IS NOT NULL AND status IN ('delayed', 'pending', 'running')"),
    postgresql_where=text("key IS NOT NULL AND status IN ('delayed', 'pending', 'running')"),
)
Index(
    "ix_hubbub_jobs_unfinished",
    _c.owner,
    sqlite_where=text("owner IS NOT NULL AND status IN ('delayed', 'pending', 'running')"),
    postgresql_where=text("owner IS NOT NULL AND status IN ('delayed', 'pending', 'running')"),
)
Index("ix_hubbub_jobs_owner_id", _c.owner, _c.id)
Index("ix_hubbub_jobs_finished", _c.finished)

logs = Table(
    f"{PREFIX}job_logs",
    metadata,
    Column("job_id", String(64), ForeignKey(_c.id, ondelete="CASCADE"), primary_key=True),
    Column("fence", BigInteger, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("attempt", Integer, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("level", String(16), nullable=False),
    Column("text", Text, nullable=False),
)

schedules = Table(
    f"{PREFIX}job_schedules",
    metadata,
    Column("name", String(NAME), primary_key=True),
    Column("cron", String(NAME), nullable=False),
    Column("next", BigInteger, nullable=False),
)
"""When each schedule fires next; whoever moves that time on enqueues the job, in the same transaction."""


def current_time(dialect: Dialect) -> ColumnElement[int]:
    """Return the time in milliseconds since 1970: PostgreSQL's own, or on SQLite this process's."""
    if dialect is Dialect.POSTGRESQL:
        return cast(func.floor(func.extract("epoch", func.clock_timestamp()) * 1000), BigInteger)
    return literal(milliseconds(), BigInteger)


def stands(*states: State) -> ColumnElement[bool]:
    """Say that a job has one of these statuses.

    They are written out. Once PostgreSQL has a plan for whatever a parameter may be, it uses no partial index for it.
    """
    words = [literal(state.value, literal_execute=True) for state in states]
    return _c.status == words[0] if len(words) == 1 else _c.status.in_(words)


def milliseconds() -> int:
    """Return this process's time in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def view(row: Row[Any]) -> JobView:
    """Read a whole row of `jobs`."""
    status = Status.PENDING if row.status == State.DELAYED else Status(row.status)
    return JobView(
        row.id,
        row.kind,
        status,
        row.owner,
        row.key,
        row.priority,
        loads(row.params),
        row.attempt,
        row.attempts,
        row.progress,
        row.message,
        loads(row.result),
        row.error,
        row.cancelling and status is Status.RUNNING,
        row.created,
        row.due,
        row.started,
        row.finished,
    )
