"""Tasks: functions that can be enqueued."""

import inspect
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar, overload

from hubbub.database.waking import Transaction
from hubbub.exceptions import ConfigurationError
from hubbub.hub.identity import Identity
from hubbub.jobs.backoff import Backoff
from hubbub.jobs.bounds import HIGHEST, LOWEST, MOST_RETRIES, NAME, is_name, is_priority, is_seconds, is_whole
from hubbub.jobs.context import JobContext
from hubbub.jobs.job import Enqueued
from hubbub.jobs.options import Options
from hubbub.jobs.parameters import Parameters
from hubbub.jobs.schedules import Cron

if TYPE_CHECKING:
    from hubbub.jobs.jobs import Jobs

P = ParamSpec("P")
R = TypeVar("R")

Permission = Callable[[Identity], Any]
"""Says whether somebody may start a task; sync or async."""


class Task(Generic[P, R]):
    """A function that can be enqueued; calling the task calls the function, here and now.

    Made by `Jobs.task`, whose arguments it keeps.

    Raises:
        ConfigurationError: one of them cannot work, or the signature cannot be read.
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
        self.parameters = Parameters(function)
        checks = {
            f"a name is a text of 1 to {NAME} characters that can be printed": is_name(kind) and bool(kind),
            "retries are a whole number, 0 or more": is_whole(retries, 0, MOST_RETRIES),
            "a timeout is a positive number of seconds, or None for any time": timeout is None
            or (is_seconds(timeout) and timeout > 0),
            "backoff is a Backoff": isinstance(backoff, Backoff),
            "a limit is a whole number, 1 or more, or None for any number": limit is None
            or is_whole(limit, 1),
            f"a priority is a whole number from {LOWEST} to {HIGHEST}": is_priority(priority),
            "cron is an expression or a Cron": cron is None or isinstance(cron, Cron),
            "public is True, False, or a function of an Identity": isinstance(public, bool)
            or callable(public),
        }
        for rule, is_kept in checks.items():
            if not is_kept:
                raise ConfigurationError(f"Task {kind!r}: {rule}.")
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
            InvalidParams: they are not those that it takes, or would not reach it as they are; or an option cannot be.
            JobTooLarge: they are larger than the limit.
            ConfigurationError: the transaction is one of another kind of database.
            TypeError: it is no transaction.
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
