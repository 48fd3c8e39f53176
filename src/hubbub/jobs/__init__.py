"""Background jobs with live progress, on a database."""

from hubbub.jobs.backoff import Backoff
from hubbub.jobs.context import JobContext
from hubbub.jobs.engine import Engine, Listener
from hubbub.jobs.errors import (
    GiveUp,
    InvalidParams,
    JobConflict,
    JobTooLarge,
    RetryLater,
    UnknownJob,
    UnknownTask,
)
from hubbub.jobs.job import Enqueued, JobView, LogLine, Page, Status
from hubbub.jobs.jobs import Jobs
from hubbub.jobs.schedules import Cron
from hubbub.jobs.sql import SqlEngine
from hubbub.jobs.task import Task

__all__ = [
    "Backoff",
    "Cron",
    "Engine",
    "Enqueued",
    "GiveUp",
    "InvalidParams",
    "JobConflict",
    "JobContext",
    "JobTooLarge",
    "JobView",
    "Jobs",
    "Listener",
    "LogLine",
    "Page",
    "RetryLater",
    "SqlEngine",
    "Status",
    "Task",
    "UnknownJob",
    "UnknownTask",
]
