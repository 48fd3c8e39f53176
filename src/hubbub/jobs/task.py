"""Tasks: functions that can be enqueued."""

import inspect
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, Protocol, TypedDict, TypeVar, overload

from hubbub.database.waking import Transaction
from hubbub.exceptions import ConfigurationError
from hubbub.hub.identity import Identity
from hubbub.jobs.backoff import Backoff
from hubbub.jobs.context import JobContext
from hubbub.jobs.job import Enqueued
from hubbub.jobs.parameters import Parameters
from hubbub.jobs.schedules import Cron

if TYPE_CHECKING:
    from hubbub.jobs.jobs import Jobs

P = ParamSpec("P")
R = TypeVar("R")

Permission = Callable[[Identity], Any]
"""Says whether somebody may start a task; sync or async."""


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


class Task(Generic[P, R]):
    """A function that can be enqueued; calling the task calls the function, here and now.

    Made by `Jobs.task`, whose arguments it keeps.
    """

    def __init__(
        self,
        jobs: "Jobs",
        function: Callable[..., Any],
        *,
        kind: str,
        retries: int,
        timeout: float | None,
        backoff: Backoff,
        limit: int | None,
        priority: int,
        cron: Cron | None,
        public: bool | Permission,
    ) -> None:
        if retries < 0 or (timeout is not None and timeout <= 0) or (limit is not None and limit < 1):
            raise ConfigurationError(
                f"Task {kind!r}: retries are 0 or more, a timeout is positive, a limit is 1 or more."
            )
        self._jobs = jobs
        self.function = function
        self.kind = kind
        self.retries = retries
        self.timeout = timeout
        self.backoff = backoff
        self.limit = limit
        self.priority = priority
        self.cron = cron
        self.public = public
        self.is_async = inspect.iscoroutinefunction(function)
        self.parameters = Parameters(function)
        if cron is not None and self.parameters.required:
            raise ConfigurationError(
                f"Task {kind!r} begins by the clock, so every param needs a default; these have none: "
                f"{', '.join(self.parameters.required)}."
            )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function itself."""
        return self.function(*args, **kwargs)

    async def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> Enqueued:
        """Have it run by a worker; `using` says how. The arguments are those of the function, without its context.

        Raises:
            InvalidParams: they are not those that it takes.
            JobTooLarge: they are larger than the limit.
            Unavailable: the jobs cannot be reached; nothing is known of this one.
        """
        return await self._jobs.enqueue_bound(self, self.parameters.bind(args, kwargs), {})

    def using(
        self,
        *,
        transaction: Transaction | None = None,
        owner: str | None = None,
        key: str | None = None,
        priority: int | None = None,
        delay: float | timedelta = 0.0,
        at: datetime | None = None,
    ) -> "Order[P]":
        """Say how: ``await resize.using(transaction=session, owner="ada").enqueue(upload_id)``; see `Options`."""
        options: Options = {"transaction": transaction, "owner": owner, "key": key, "delay": delay}
        if priority is not None:
            options["priority"] = priority
        if at is not None:
            options["at"] = at
        return Order(self._jobs, self, options)


class Order(Generic[P]):
    """A task together with how it is enqueued; made by `Task.using`."""

    def __init__(self, jobs: "Jobs", task: "Task[P, Any]", options: Options) -> None:
        self._jobs = jobs
        self._task = task
        self._options = options

    async def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> Enqueued:
        """Enqueue it; as `Task.enqueue`."""
        return await self._jobs.enqueue_bound(
            self._task, self._task.parameters.bind(args, kwargs), self._options
        )


class Decorator(Protocol):
    """Makes a task of a function, whose params it keeps, but for the context."""

    @overload
    def __call__(self, function: Callable[Concatenate[JobContext, P], R]) -> Task[P, R]: ...

    @overload
    def __call__(self, function: Callable[P, R]) -> Task[P, R]: ...

    def __call__(self, function: Callable[..., Any]) -> Task[..., Any]:
        """Make it."""
        ...
