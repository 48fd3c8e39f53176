"""What is known of a job."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from hubbub.clock import rfc3339
from hubbub.jobs.bounds import HIGHEST, LOWEST, NAME, is_name, is_priority
from hubbub.jobs.errors import InvalidParams


class Status(StrEnum):
    """Where a job stands."""

    PENDING = "pending"
    """Waits for a worker, for its time, or for its next attempt."""
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    """For good; it can be retried by hand."""
    CANCELLED = "cancelled"

    @property
    def is_finished(self) -> bool:
        """Whether nothing more will come, unless somebody retries it by hand."""
        return self in {Status.COMPLETED, Status.FAILED, Status.CANCELLED}


@dataclass(frozen=True, slots=True)
class Draft:
    """A job that is to be.

    Args:
        id: its id, which nobody can guess.
        kind: the name of its task.
        params: a JSON object.
        attempts: how often it is begun at most.
        owner: the id of the user whose job it is; `None` for the application's own.
        key: while a job of this kind with this key is not finished, there is no other.
        priority: higher ones first.
        delay: milliseconds until it may begin.
        due: milliseconds since 1970 at which it may begin; takes the place of `delay`.

    Raises:
        InvalidParams: a kind, owner or key that no database takes, or a priority out of range.
    """

    id: str
    kind: str
    params: str
    attempts: int = 1
    owner: str | None = None
    key: str | None = None
    priority: int = 0
    delay: int = 0
    due: int | None = None

    def __post_init__(self) -> None:
        for what, text in (("kind", self.kind), ("owner", self.owner), ("key", self.key)):
            if text is not None and not is_name(text):
                raise InvalidParams(f"{what} is a text of at most {NAME} characters that can be printed.")
        if not is_priority(self.priority):
            raise InvalidParams(f"priority is a whole number from {LOWEST} to {HIGHEST}.")


@dataclass(frozen=True, slots=True)
class JobView:
    """A job as it stood when it was read.

    Args:
        id: its id.
        kind: the name of its task.
        status: where it stands.
        owner: the id of the user whose job it is.
        key: what makes it unique among those not finished.
        priority: higher ones first.
        params: what it was enqueued with.
        attempt: how often it was begun.
        attempts: how often it is begun at most.
        progress: 0 to 100, as the task said.
        message: what the task said last.
        result: what it returned, a JSON value.
        error: why it, or its last attempt, failed.
        is_cancelling: whether it still runs and was asked to end.
        created: milliseconds since 1970 UTC.
        due: the same, of the time from which on it may begin.
        started: the same, of its last beginning.
        finished: the same, of its end.
    """

    id: str
    kind: str
    status: Status
    owner: str | None
    key: str | None
    priority: int
    params: Mapping[str, Any]
    attempt: int
    attempts: int
    progress: int
    message: str | None
    result: Any
    error: str | None
    is_cancelling: bool
    created: int
    due: int
    started: int | None
    finished: int | None

    def public(self) -> dict[str, Any]:
        """Return what its owner is shown, as JSON values; times are RFC 3339."""
        return {
            "id": self.id,
            "kind": self.kind,
            "status": self.status.value,
            "progress": self.progress,
            "message": self.message,
            "result": self.result,
            "error": self.error,
            "attempt": self.attempt,
            "attempts": self.attempts,
            "created_at": rfc3339(self.created / 1000),
            "started_at": None if self.started is None else rfc3339(self.started / 1000),
            "finished_at": None if self.finished is None else rfc3339(self.finished / 1000),
        }


@dataclass(frozen=True, slots=True)
class Enqueued:
    """What became of a draft.

    Args:
        job: the new job, or the one that has the key.
        is_new: whether it is the new one.
    """

    job: JobView
    is_new: bool


@dataclass(frozen=True, slots=True)
class Query:
    """Which jobs to list, the newest first.

    Args:
        owner: whose; `None` for all.
        kind: of which task; `None` for all.
        status: where they stand; `None` for all.
        limit: how many at most.
        cursor: the `next_cursor` of the page before.
    """

    owner: str | None = None
    kind: str | None = None
    status: Status | None = None
    limit: int = 50
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Some jobs of a list.

    Args:
        jobs: the newest first.
        next_cursor: where the next page begins; `None` where there is none.
    """

    jobs: tuple[JobView, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class LogLine:
    """What a task noted.

    Args:
        attempt: in which attempt.
        at: milliseconds since 1970 UTC, by the clock of the process that ran it.
        level: a name of `logging`, in small letters.
        text: what.
    """

    attempt: int
    at: int
    level: str
    text: str


def clean(text: str, most: int) -> str:
    """Make a text that any database takes: no NUL, no halves of characters, no longer than `most` characters."""
    kept = text if len(text) <= most else text[: most - 1] + "…"
    return kept.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


def loads(text: str | None) -> Any:
    """Read a JSON value that was stored; nothing is `None`."""
    return None if text is None else json.loads(text)
