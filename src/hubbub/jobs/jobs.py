"""`Jobs`: what an application holds."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar, cast, overload

from sqlalchemy.ext.asyncio import AsyncEngine

from hubbub.database.database import Database
from hubbub.exceptions import BadRequest, ConfigurationError, Forbidden
from hubbub.hub.identity import Identity
from hubbub.hub.ids import SecretIds
from hubbub.jobs.backoff import Backoff
from hubbub.jobs.bounds import is_seconds, is_whole
from hubbub.jobs.context import JobContext
from hubbub.jobs.engine import Crew, Engine, Listener
from hubbub.jobs.errors import JobTooLarge, UnknownJob, UnknownTask
from hubbub.jobs.job import Draft, Enqueued, JobView, LogLine, Page, Query, Status
from hubbub.jobs.options import Options, due, milliseconds
from hubbub.jobs.running import Running
from hubbub.jobs.schedules import Cron, Schedule
from hubbub.jobs.sql import SqlEngine
from hubbub.jobs.task import Decorator, Permission, Task

P = ParamSpec("P")
R = TypeVar("R")

CONCURRENCY = 10
"""Jobs that one process runs at once, when nothing else is said."""
DRAIN = 15.0
"""Seconds that running jobs are given when the process ends, when nothing else is said."""
LARGEST = 1024 * 1024
"""Bytes of JSON that params and results may have, when nothing else is said."""
TIMEOUT = 300.0
"""Seconds that an attempt may take, when nothing else is said."""


class Jobs:
    """The background jobs of an application. An async context manager: entered, it runs them.

    ::

        jobs = Jobs(Database("sqlite:///app.db"))

        @jobs.task(retries=3, timeout=60)
        async def resize(ctx: JobContext, upload_id: str, width: int = 200) -> str: ...

        async with jobs:
            made = await resize.enqueue("u-7", width=400)

    Args:
        engine: where the jobs are kept and run: a `Database`, which its owner has entered; an engine of SQLAlchemy or a URL, which
            are used for as long as the jobs are entered; or another `Engine`.
        concurrency: how many jobs run at once in this process; 0 for one that only enqueues.
        drain: seconds that running jobs are given when it is left; what is not finished then begins again elsewhere.
        params_bytes: how large params may be, in bytes of JSON.
        result_bytes: how large results may be, in bytes of JSON.

    Raises:
        ConfigurationError: a value that cannot work; or, when it is entered, the database has not the tables.
    """

    def __init__(
        self,
        engine: Database | AsyncEngine | str | Engine,
        *,
        concurrency: int = CONCURRENCY,
        drain: float = DRAIN,
        params_bytes: int = LARGEST,
        result_bytes: int = LARGEST,
    ) -> None:
        if not is_whole(concurrency, 0):
            raise ConfigurationError("concurrency is a whole number, 0 or more.")
        if not is_seconds(drain):
            raise ConfigurationError("drain is a number of seconds, 0 or more.")
        if not (is_whole(params_bytes, 2) and is_whole(result_bytes, 2)):
            raise ConfigurationError("params_bytes and result_bytes are whole numbers of bytes, 2 or more.")
        self.engine = engine_of(engine)
        self.tasks: dict[str, Task[..., Any]] = {}
        """By kind."""
        self._concurrency = concurrency
        self._drain = drain
        self._params_bytes = params_bytes
        self._result_bytes = result_bytes
        self._listeners: list[Listener] = []
        self._ids = SecretIds()
        self._exit = AsyncExitStack()
        self._is_running = False

    # ------------------------------------------------------------------------------------------ defining

    @overload
    def task(self, function: Callable[Concatenate[JobContext, P], R], /) -> Task[P, R]: ...

    @overload
    def task(self, function: Callable[P, R], /) -> Task[P, R]: ...

    @overload
    def task(
        self,
        /,
        *,
        name: str | None = None,
        retries: int = 3,
        timeout: float | None = TIMEOUT,
        backoff: Backoff | None = None,
        limit: int | None = None,
        priority: int = 0,
        cron: str | Cron | None = None,
        public: bool | Permission = False,
    ) -> Decorator: ...

    def task(
        self,
        function: Callable[..., Any] | None = None,
        /,
        *,
        name: str | None = None,
        retries: int = 3,
        timeout: float | None = TIMEOUT,
        backoff: Backoff | None = None,
        limit: int | None = None,
        priority: int = 0,
        cron: str | Cron | None = None,
        public: bool | Permission = False,
    ) -> Any:
        """Make a task of a function: ``@jobs.task`` or ``@jobs.task(retries=3, timeout=60)``. A sync one runs in a thread.

        A job is begun *at least* once: where a process dies, it begins again. So a task must bear to be repeated.

        Args:
            function: the function, where nothing else is said.
            name: what the task is called where it is stored; by default the function's name.
            retries: how often it is tried again after it failed or its process died.
            timeout: seconds that an attempt may take; `None` for any time.
            backoff: how long to wait before it is tried again.
            limit: how many of its jobs may run at once in the whole cluster; `None` for any number.
            priority: of its jobs, where nothing else is said; higher ones begin first.
            cron: when it begins by itself, such as ``"0 3 * * *"`` (UTC), or a `Cron` with a time zone.
            public: whether clients may start it (`start`): all who are signed in, or those for whom a function says so.

        Raises:
            ConfigurationError: there is a task of that name, the signature cannot be read, or a value cannot work; or the jobs
                run already.
        """

        def make(function: Any) -> Task[..., Any]:
            task: Task[..., Any] = Task(
                self,
                function,
                kind=getattr(function, "__name__", repr(function)) if name is None else name,
                retries=retries,
                timeout=timeout,
                backoff=Backoff() if backoff is None else backoff,
                limit=limit,
                priority=priority,
                cron=Cron(cron) if isinstance(cron, str) else cron,
                public=public,
            )
            self._add(task)
            return task

        return make if function is None else make(function)

    def _add(self, task: Task[..., Any]) -> None:
        if task.kind in self.tasks:
            raise ConfigurationError(f"There are two tasks {task.kind!r}: give one of them another name.")
        if self._is_running:
            raise ConfigurationError(
                f"Task {task.kind!r}: define tasks before the jobs are entered; this process runs those that there were then."
            )
        self.tasks[task.kind] = task

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
                stack.callback(self._stopped)
                self._is_running = True
            self._exit = stack.pop_all()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._exit.aclose()

    def _stopped(self) -> None:
        self._is_running = False

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
            InvalidParams: they are not those that it takes, or would not reach it as they are; or an option cannot be.
            JobTooLarge: they are larger than the limit.
            ConfigurationError: the transaction is one of another kind of database.
            TypeError: it is no transaction.
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
        return Draft(
            self._ids.new(),
            task.kind,
            params,
            task.retries + 1,
            options.get("owner"),
            options.get("key"),
            options.get("priority", task.priority),
            milliseconds(options.get("delay", 0.0)),
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
            BadRequest: the limit is not from 1 to 1000, or the cursor is none that a page can have handed out.
            Unavailable: the jobs cannot be reached.
        """
        if not 1 <= limit <= 1000:
            raise BadRequest("limit is from 1 to 1000.")
        return await self.engine.list(Query(owner, kind, status, limit, cursor))

    async def counts(self, owner: str | None = None) -> dict[Status, int]:
        """Return how many jobs there are of each status, zeros too; with no owner, everybody's.

        Those that are finished are counted too, which takes a tenth of a second for some hundred thousand; see `unfinished`.
        """
        return await self.engine.counts(owner)

    async def unfinished(self, owner: str) -> int:
        """Return how many jobs of an owner wait or run. Cheap, however many are finished.

        Raises:
            Unavailable: the jobs cannot be reached.
        """
        return await self.engine.unfinished(owner)

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


def engine_of(given: object) -> Engine:
    """Return the engine that jobs are kept in.

    Raises:
        ConfigurationError: there can be none with this.
    """
    if isinstance(given, Database | AsyncEngine | str):
        return SqlEngine(given)
    if all(hasattr(given, method) for method in ("enqueue", "unfinished", "work", "__aenter__")):
        return cast("Engine", given)
    raise ConfigurationError(
        "Jobs takes a hubbub.database.Database, an AsyncEngine of SQLAlchemy, the URL of a database such as sqlite:///app.db, or an "
        f"Engine, not {type(given).__name__}."
    )
