"""Jobs live: what becomes of a job is published on its channel, ``job:<id>``; and on its owner's own that it was begun."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta
from types import TracebackType
from typing import Any, Self

from hubbub.endpoints.facade import Hub
from hubbub.endpoints.namespace import NamespaceHandle
from hubbub.exceptions import PublishError, Refusal
from hubbub.hub.channels import Channel
from hubbub.hub.identity import Identity
from hubbub.hub.namespaces import History
from hubbub.jobs.errors import UnknownJob
from hubbub.jobs.job import JobView, Status
from hubbub.jobs.jobs import Jobs

logger = logging.getLogger(__name__)

NAMESPACE = "job"
EVENT = "job"
KEPT = History(size=32, ttl=timedelta(days=1))
"""So much of a job can be recovered; who missed more is told so (``recovered: false``), and reads the job."""
LARGE = 16_384
"""Characters of a result above which it is not published; a channel takes 64 KiB in one message."""
PAUSE = 0.05
"""Seconds between two rounds of publications."""
AGAIN = 0.5
"""Seconds before what the broker did not take is tried again."""
FAREWELL = 5.0
"""Seconds in which the last updates must be told when the process ends."""
AT_ONCE = 100
"""Jobs that are told of at the same time."""
MOST = 100_000
"""Jobs whose latest state waits while the broker is away; beyond them the oldest are forgotten."""


def job_namespace(hub: Hub, jobs: Jobs) -> NamespaceHandle:
    """Define ``job:<id>`` on a hub: the owner of the job may watch it, and who has the scope ``admin``.

    Raises:
        ConfigurationError: the hub has the namespace already.
    """
    handle = hub.namespace(NAMESPACE, subscribe="hook", publish="nobody", history=KEPT, overflow="conflate")
    handle.authorize(watchers(jobs))
    return handle


def watchers(jobs: Jobs) -> Callable[[Identity, Channel], Awaitable[bool]]:
    """Make the hook that says who may subscribe to a job: its owner, and administrators."""

    async def may_watch(identity: Identity, channel: Channel) -> bool:
        try:
            job = await jobs.get(channel.rest)
        except UnknownJob:
            return False  # as for somebody else's, so that nobody can find out which there are
        return identity.is_admin or (not identity.is_anonymous and job.owner == identity.user_id)

    return may_watch


class LiveJobs:
    """Publishes what becomes of the jobs of this process. An async context manager, entered before the jobs.

    While one publication of a job is under way, only the latest state of those that follow counts. What the broker does not
    take is tried again, unless there is something newer by then. It leaves when everything is told.

    Args:
        hub: publishes; it runs for longer than this.
        jobs: are listened to.
    """

    def __init__(self, hub: Hub, jobs: Jobs) -> None:
        self._hub = hub
        self._latest: dict[str, JobView] = {}
        self._begun: dict[str, JobView] = {}
        self._woken = asyncio.Event()
        self._is_leaving = False
        self._task: asyncio.Task[None] | None = None
        jobs.listen(self)

    def changed(self, job: JobView) -> None:
        """Take a job's new state; see `hubbub.jobs.Listener`."""
        for waiting in (self._latest, self._begun):
            if len(waiting) >= MOST:
                del waiting[next(iter(waiting))]
        self._latest[job.id] = job
        if job.owner and is_beginning(job):
            self._begun[job.id] = job
        self._woken.set()

    async def __aenter__(self) -> Self:
        self._is_leaving = False
        self._woken = asyncio.Event()
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        task, self._task = self._task, None
        if task is None:
            return
        self._is_leaving = True
        self._woken.set()
        await asyncio.wait([task], timeout=FAREWELL)
        if not task.done():
            logger.warning("Of %d jobs the latest could not be told at the end", len(self._latest))
            task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            if not (self._latest or self._begun):
                if self._is_leaving:
                    return
                await self._woken.wait()
            self._woken.clear()
            is_told = await self._round()
            await asyncio.sleep(PAUSE if is_told else AGAIN)

    async def _round(self) -> bool:
        """Tell what is new; return whether the broker took all of it."""
        is_told = True
        for waiting, tell in ((self._latest, self._tell), (self._begun, self._tell_owner)):
            taken = [waiting.pop(job_id) for job_id in list(waiting)[:AT_ONCE]]
            for job, told in zip(taken, await asyncio.gather(*map(tell, taken)), strict=True):
                if not told:
                    waiting.setdefault(job.id, job)
                    is_told = False
        return is_told

    async def _tell(self, job: JobView) -> bool:
        return await self._published(f"{NAMESPACE}:{job.id}", shown(job))

    async def _tell_owner(self, job: JobView) -> bool:
        # Both who enqueued it and who runs it say so; whoever is second publishes nothing.
        return await self._published(f"user:{job.owner}", shown(job), f"job:{job.id}:{job.due}")

    async def _published(self, channel: str, data: Any, key: str | None = None) -> bool:
        try:
            await self._hub.publish(channel, EVENT, data, idempotency_key=key)
        except PublishError:
            return False
        except Refusal as error:
            logger.warning("Nobody is told of a job on %r: %s", channel, error)
        return True


def is_beginning(job: JobView) -> bool:
    """Whether this may be the first that is known of a job, or of it being retried by hand."""
    if job.status is Status.PENDING:
        return job.attempt == 0
    return job.status is Status.RUNNING and job.attempt == 1 and job.progress == 0


def shown(job: JobView) -> dict[str, Any]:
    """Return what is published of a job. A large result is left out: it is there to be read."""
    data = {**job.public(), "cancelling": job.is_cancelling}
    if job.result is not None and len(repr(job.result)) > LARGE:
        data["result"] = None
        data["result_is_left_out"] = True
    return data
