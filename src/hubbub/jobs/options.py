"""How a job is enqueued: what callers say, and what it means."""

import math
from datetime import datetime, timedelta
from typing import TypedDict

from hubbub.database.waking import Transaction
from hubbub.jobs.bounds import LONGEST, is_number
from hubbub.jobs.errors import InvalidParams


class Options(TypedDict, total=False):
    """How a job is enqueued.

    Keys:
        transaction: an `AsyncSession` or `AsyncConnection` on the jobs' own database: the job exists if and only if it is
            committed.
        owner: the id of the user whose job it is.
        key: while a job of the task with this key is not finished, there is no other; enqueuing gives that one back.
        priority: higher ones begin first, from -32768 to 32767; 0 by default.
        delay: how long until it may begin; a number is seconds.
        at: when it may begin; with a time zone.
    """

    transaction: Transaction | None
    owner: str | None
    key: str | None
    priority: int
    delay: float | timedelta
    at: datetime


def milliseconds(delay: float | timedelta) -> int:
    """Read a delay; one below 0 is none.

    Raises:
        InvalidParams: it is longer than a hundred years, or no length of time.
    """
    seconds = delay.total_seconds() if isinstance(delay, timedelta) else delay
    if not is_number(seconds, -math.inf, LONGEST):
        raise InvalidParams("delay is a timedelta or a number of seconds, of at most a hundred years.")
    return int(max(seconds, 0.0) * 1000)


def due(at: datetime | None) -> int | None:
    """Read a time in milliseconds since 1970 UTC.

    Raises:
        InvalidParams: it has no time zone, or is no time.
    """
    if at is None:
        return None
    if getattr(at, "tzinfo", None) is None:
        raise InvalidParams("at is a datetime with a time zone, such as datetime.now(UTC) has.")
    return int(at.timestamp() * 1000)
