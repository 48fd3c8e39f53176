"""Jobs as the HTTP API shows them: there they are called tasks."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field

from hubbub.jobs import JobView, LogLine, Status
from hubbub.jobs.job import Page
from hubbub.server.nodes import NextCursor, time

Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
Kind = Annotated[str | None, Query(min_length=1, max_length=255, description="Only those of this kind.")]
Standing = Annotated[Status | None, Query(description="Only those that stand so.")]


class Start(BaseModel):
    """What shall run."""

    model_config = ConfigDict(extra="forbid")

    kind: str = Field(min_length=1, max_length=255, description="The name of a task that clients may start.")
    params: dict[str, Any] = Field(default_factory=dict, description="What the task takes.")
    idempotency_key: str | None = Field(
        default=None,
        min_length=1,
        max_length=255,
        description="While your job of this kind with this key is not finished, the same key starts no other.",
    )


class Task(BaseModel):
    """A job as it stands; the same is told on the channel `job:{id}`."""

    id: str
    kind: str
    status: Status
    progress: int = Field(description="0 to 100.")
    message: str | None = Field(description="What it said last.")
    result: Any = Field(description="What it returned.")
    error: str | None = Field(description="Why it, or its last attempt, failed.")
    cancelling: bool = Field(description="Whether it runs and was asked to end.")
    attempt: int = Field(description="How often it was begun.")
    attempts: int = Field(description="How often it is begun at most.")
    created_at: Time
    started_at: Time | None
    finished_at: Time | None


class OwnedTask(Task):
    """A job of anybody."""

    owner: str | None = Field(description="Whose it is; null for the application's own.")


class Tasks(BaseModel):
    """One page of one's own jobs, the newest first."""

    tasks: list[Task]
    next_cursor: NextCursor


class OwnedTasks(BaseModel):
    """One page of everybody's jobs, the newest first."""

    tasks: list[OwnedTask]
    counts: dict[Status, int] = Field(description="How many there are of each status, whatever is listed.")
    next_cursor: NextCursor


class Line(BaseModel):
    """What a job noted."""

    attempt: int
    at: Time
    level: str
    text: str


class Log(BaseModel):
    """The last of what a job's attempts noted, in order."""

    lines: list[Line]
    omitted: int = Field(description="How many lines there are before these.")


def shown(job: JobView) -> Task:
    """Show a job to its owner."""
    return Task(**job.public(), cancelling=job.is_cancelling)


def page(found: Page) -> Tasks:
    """Show a page of somebody's jobs."""
    return Tasks(tasks=[shown(job) for job in found.jobs], next_cursor=found.next_cursor)


def owned_page(found: Page, counts: dict[Status, int]) -> OwnedTasks:
    """Show a page of everybody's jobs."""
    tasks = [OwnedTask(**job.public(), cancelling=job.is_cancelling, owner=job.owner) for job in found.jobs]
    return OwnedTasks(tasks=tasks, counts=counts, next_cursor=found.next_cursor)


def log(noted: Sequence[LogLine], limit: int) -> Log:
    """Show the last lines of a log."""
    return Log(lines=[line(each) for each in noted[-limit:]], omitted=max(len(noted) - limit, 0))


def line(noted: LogLine) -> Line:
    """Show a line."""
    at = time(noted.at / 1000).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return Line(attempt=noted.attempt, at=at, level=noted.level, text=noted.text)
