"""`Jobs`: what an application holds."""

import inspect
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Self

from hubbub.database.database import Database
from hubbub.exceptions import BadRequest, ConfigurationError, Forbidden
from hubbub.hub.identity import Identity
from hubbub.hub.ids import SecretIds
from hubbub.jobs.backoff import Backoff
from hubbub.jobs.engine import Crew, Engine, Listener
from hubbub.jobs.errors import InvalidParams, JobTooLarge, UnknownJob, UnknownTask
from hubbub.jobs.job import Draft, Enqueued, JobView, LogLine, Page, Query, Status
from hubbub.jobs.running import Running
from hubbub.jobs.schedules import Cron, Schedule
from hubbub.jobs.sql import SqlEngine
from hubbub.jobs.task import Decorator, Options, Permission, Task

CONCURRENCY = 10
"""Jobs that one process runs at once, when nothing else is said."""
DRAIN = 15.0
"""Seconds that running jobs are given when the process ends, when nothing else is said."""
LARGEST = 1024 * 1024
"""Bytes of JSON that params and results may have, when nothing else is said."""
TIMEOUT = 300.0
"""Seconds that an attempt may take, when nothing else is said."""
NAME = 255


class Jobs:
    """The background jobs of an application. An async context manager: entered, it runs them.

    ::

        jobs = Jobs(Database("sqlite:///app.db"))

        @jobs.task(retries=3, timeout=60)
        async def resize(ctx: JobContext, upload_id: str, width: int = 200) -> str: ...

        async with jobs:
            made = await resize.enqueue("u-7", width=400)

    Args:
        engine: where the jobs are kept and run: a `Database`, or another `Engine`.
        concurrency: how many jobs run at once in this process; 0 for one that only enqueues.
        drain: seconds that running jobs are given when it is left; what is not finished then begins again elsewhere.
        params_bytes: how large params may be, in bytes of JSON.
        result_bytes: how large results may be, in bytes of JSON.

    Raises:
        ConfigurationError: a value that cannot work.
    """

    def __init__(
        self,
        engine: Database | Engine,
        *,
        concurrency: int = CONCURRENCY,
        drain: float = DRAIN,
        params_bytes: int = LARGEST,
        result_bytes: int = LARGEST,
    ) -> None:
        if concurrency < 0 or drain < 0:
            raise ConfigurationError("concurrency and drain are 0 or more.")
        self.engine: Engine = SqlEngine(engine) if isinstance(engine, Database) else engine
        self.tasks: dict[str, Task[..., Any]] = {}
        """By kind."""
        self._concurrency = concurrency
        self._drain = drain
        self._params_bytes = params_bytes
        self._result_bytes = result_bytes
        self._listeners: list[Listener] = []
        self._ids = SecretIds()
        self._exit = AsyncExitStack()

    # ------------------------------------------------------------------------------------------ defining

    def task(
        self,
        *,
        name: str | None = None,
        retries: int = 3,
        timeout: float | None = TIMEOUT,
        backoff: Backoff | None = None,
        limit: int | None = None,
        priority: int = 0,
        cron: str | Cron | None = None,
        public: bool | Permission = False,
    ) -> Decorator:
        """Make a task of a function: ``@jobs.task(retries=3, timeout=60)``. A sync one runs in a thread.

        A job is begun *at least* once: where a process dies, it begins again. So a task must bear to be repeated.

        Args:
            name: what the task is called where it is stored; by default the function's name.
            retries: how often it is tried again after it failed or its process died.
            timeout: seconds that an attempt may take; `None` for any time.
            backoff: how long to wait before it is tried again.
            limit: how many of its jobs may run at once in the whole cluster; `None` for any number.
            priority: of its jobs, where nothing else is said; higher ones begin first.
            cron: when it begins by itself, such as ``"0 3 * * *"`` (UTC), or a `Cron` with a time zone.
            public: whether clients may start it (`start`): all who are signed in, or those for whom a function says so.

        Raises:
            ConfigurationError: there is a task of that name, the signature cannot be read, or a value cannot work.
        """

        def make(function: Any) -> Task[..., Any]:
            kind = name or function.__name__
            if kind in self.tasks:
                raise ConfigurationError(f"There are two tasks {kind!r}: give one of them another name.")
            if not 0 < len(kind) <= NAME:
                raise ConfigurationError(f"The name of a task has 1 to {NAME} characters, unlike {kind!r}.")
            task: Task[..., Any] = Task(
                self,
                function,
                kind=kind,
                retries=retries,
                timeout=timeout,
                backoff=backoff or Backoff(),
                limit=limit,
                priority=priority,
                cron=Cron(cron) if isinstance(cron, str) else cron,
                public=public,
            )
            self.tasks[kind] = task
            return task

        return make  # type: ignore[return-value]  # mypy does not match a function with overloads

    def listen(self, listener: Listener) -> None:
        """Have a listener told what becomes of jobs in this process."""
        self._listeners.append(listener)

    def changed(self, job: JobView) -> None:
        """Tell the listeners; engines call this."""
        for listener in self._listeners:
            listener.changed(job)

    # ------------------------------------------------------------------------------------------ running

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.engine)
            if self._concurrency:
                await stack.enter_async_context(self.engine.work(self._crew(), self))
            self._exit = stack.pop_all()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._exit.aclose()

    def _crew(self) -> Crew:
        return Crew(
            Running(self.tasks, self._result_bytes),
            {kind: task.limit for kind, task in self.tasks.items()},
            self._concurrency,
            self._drain,
            [self._schedule(task, task.cron) for task in self.tasks.values() if task.cron is not None],
        )

    def _schedule(self, task: Task[..., Any], cron: Cron) -> Schedule:
        return Schedule(task.kind, cron, lambda: self._draft(task, "{}", {}))

    # ------------------------------------------------------------------------------------------ enqueuing

    async def enqueue(self, kind: str, params: Mapping[str, Any], options: Options | None = None) -> Enqueued:
        """Enqueue a job by the name of its task; `Task.enqueue` is the typed way.

        Raises:
            UnknownTask: there is none of that name.
            InvalidParams: they are not those that it takes, or an option cannot be.
            JobTooLarge: they are larger than the limit.
            Unavailable: the jobs cannot be reached; nothing is known of this one.
        """
        task = self._task(kind)
        return await self.enqueue_bound(task, task.parameters.write(params), options or {})

    async def start(
        self, identity: Identity, kind: str, params: Mapping[str, Any], *, key: str | None = None
    ) -> Enqueued:
        """Enqueue a public task for somebody, whose job it then is.

        Args:
            identity: who.
            kind: the name of the task.
            params: what it takes.
            key: while a job of the task with this key is not finished, there is no other; see `Options`.

        Raises:
            UnknownTask: there is none of that name that clients may start.
            Forbidden: this one may not.
            InvalidParams, JobTooLarge, Unavailable: as `enqueue`.
        """
        task = self._task(kind)
        if task.public is False:
            raise UnknownTask(f"There is no task {kind!r} that may be started here.")
        allowed = not identity.is_anonymous if task.public is True else task.public(identity)
        if inspect.isawaitable(allowed):
            allowed = await allowed
        if not allowed:
            raise Forbidden(f"You may not start {kind!r}.")
        return await self.enqueue_bound(
            task, task.parameters.write(params), {"owner": identity.user_id, "key": key}
        )

    async def enqueue_bound(self, task: Task[..., Any], params: str, options: Options) -> Enqueued:
        """Enqueue a job whose params are written; for `Task.enqueue`, which see."""
        transaction = options.get("transaction")
        made = (await self.engine.enqueue([self._draft(task, params, options)], transaction))[0]
        if made.is_new and transaction is None:
            self.changed(made.job)
        return made

    def _task(self, kind: str) -> Task[..., Any]:
        task = self.tasks.get(kind)
        if task is None:
            raise UnknownTask(f"There is no task {kind!r}.")
        return task

    def _draft(self, task: Task[..., Any], params: str, options: Options) -> Draft:
        size = len(params.encode())
        if size > self._params_bytes:
            raise JobTooLarge(
                f"The params of {task.kind!r} have {size:,} bytes of JSON, and {self._params_bytes:,} are taken at most: "
                "store the data, and hand over where it is."
            )
        delay = options.get("delay", 0.0)
        seconds = delay.total_seconds() if isinstance(delay, timedelta) else delay
        return Draft(
            self._ids.new(),
            task.kind,
            params,
            task.retries + 1,
            name("owner", options.get("owner")),
            name("key", options.get("key")),
            priority_of(options.get("priority", task.priority)),
            milliseconds(seconds),
            due(options.get("at")),
        )

    # ------------------------------------------------------------------------------------------ jobs

    async def get(self, job_id: str) -> JobView:
        """Return a job as it stands.

        Raises:
            UnknownJob: there is none.
            Unavailable: the jobs cannot be reached.
        """
        job = await self.engine.get(job_id)
        if job is None:
            raise UnknownJob(f"There is no job {job_id!r}.")
        return job

    async def list(
        self,
        *,
        owner: str | None = None,
        kind: str | None = None,
        status: Status | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page:
        """Return jobs, the newest first; with no owner, everybody's.

        Raises:
            BadRequest: the limit is not from 1 to 1000.
            Unavailable: the jobs cannot be reached.
        """
        if not 1 <= limit <= 1000:
            raise BadRequest("limit is from 1 to 1000.")
        return await self.engine.list(Query(owner, kind, status, limit, cursor))

    async def counts(self, owner: str | None = None) -> dict[Status, int]:
        """Return how many jobs there are of each status, zeros too; with no owner, everybody's."""
        return await self.engine.counts(owner)

    async def logs(self, job_id: str) -> Sequence[LogLine]:
        """Return what a job's attempts noted, in order."""
        return await self.engine.logs(job_id)

    async def cancel(self, job_id: str) -> JobView:
        """End a job. One that waits is cancelled at once; one that runs within about a second, unless it completes.

        Raises:
            UnknownJob: there is none.
            JobConflict: it is finished.
            Unavailable: the jobs cannot be reached.
        """
        job = await self.engine.cancel(job_id)
        self.changed(job)
        return job

    async def retry(self, job_id: str) -> JobView:
        """Have a job that failed or was cancelled begin anew, with all its attempts.

        Raises:
            UnknownJob: there is none.
            JobConflict: it neither failed nor was cancelled, or another one has its key.
            Unavailable: the jobs cannot be reached.
        """
        job = await self.engine.retry(job_id)
        self.changed(job)
        return job


def name(what: str, text: str | None) -> str | None:
    """Check the id of an owner, or a key.

    Raises:
        InvalidParams: it cannot be one.
    """
    if text is not None and (len(text) > NAME or not text.isprintable()):
        raise InvalidParams(f"{what} has at most {NAME} characters that can be printed.")
    return text


def priority_of(number: int) -> int:
    """Check a priority.

    Raises:
        InvalidParams: it is out of range.
    """
    if not -32768 <= number <= 32767:
        raise InvalidParams("priority is from -32768 to 32767.")
    return number


def milliseconds(seconds: float) -> int:
    """Check a delay; one below 0 is none.

    Raises:
        InvalidParams: it is longer than a hundred years.
    """
    if not seconds < 100 * 366 * 86400:
        raise InvalidParams("A delay is a number of seconds, of at most a hundred years.")
    return int(max(seconds, 0.0) * 1000)


def due(at: datetime | None) -> int | None:
    """Read a time in milliseconds since 1970 UTC.

    Raises:
        InvalidParams: it has no time zone.
    """
    if at is None:
        return None
    if at.tzinfo is None:
        raise InvalidParams("`at` needs a time zone, such as datetime.now(UTC) has.")
    return int(at.timestamp() * 1000)
