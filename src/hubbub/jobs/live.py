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
from hubbub.jobs.settling import SETTLE, Settling

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
AT_ONCE = 8
"""Jobs that are told of between two turns of the event loop: what else is published does not wait for all of them."""
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
    take is tried again, unless there is something newer by then. It leaves when everything is told. A job that waits to begin
    for the first time is told of when it has waited for a second.

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
        self._tasks: tuple[asyncio.Task[None], ...] = ()
        self._settling = Settling(jobs, self._take)
        jobs.listen(self)

    def changed(self, job: JobView) -> None:
        """Take a job's new state; see `hubbub.jobs.Listener`."""
        if job.owner and is_beginning(job):
            put(self._begun, job)
            self._woken.set()
        if job.status is Status.PENDING and job.attempt == 0:
            self._settling.waits(job)  # it has probably begun, and whoever runs it says so
        else:
            self._take(job)

    async def __aenter__(self) -> Self:
        self._is_leaving = False
        self._woken = asyncio.Event()
        self._tasks = (asyncio.create_task(self._run()), asyncio.create_task(self._look()))
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        tasks, self._tasks = self._tasks, ()
        if not tasks:
            return
        telling, looking = tasks
        looking.cancel()
        self._is_leaving = True
        self._woken.set()
        try:
            async with asyncio.timeout(FAREWELL):
                await telling
                await self._settling.look(0.0)
                while self._latest or self._begun:
                    if not await self._round():
                        await asyncio.sleep(AGAIN)
        except TimeoutError:
            logger.warning("Of %d jobs the latest could not be told at the end", len(self._latest))
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            if not (self._latest or self._begun):
                if self._is_leaving:
                    return
                await self._woken.wait()
            self._woken.clear()
            is_told = await self._round()
            await asyncio.sleep(PAUSE if is_told else AGAIN)

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(SETTLE / 2)
            try:
                await self._settling.look()
            except Exception:
                logger.exception("Jobs could not be looked at; they are again")

    def _take(self, job: JobView) -> None:
        put(self._latest, job)
        self._woken.set()

    async def _round(self) -> bool:
        """Tell what is new; return whether the broker took all of it."""
        return await self._tell_all(self._latest, self._tell) and await self._tell_all(
            self._begun, self._tell_owner
        )

    async def _tell_all(
        self, waiting: dict[str, JobView], tell: Callable[[JobView], Awaitable[bool]]
    ) -> bool:
        ids = list(waiting)
        for start in range(0, len(ids), AT_ONCE):
            # Those that were forgotten meanwhile are none.
            some = (waiting.pop(job_id, None) for job_id in ids[start : start + AT_ONCE])
            jobs = [job for job in some if job is not None]
            told = await asyncio.gather(*map(tell, jobs))
            for job, is_told in zip(jobs, told, strict=True):
                if not is_told:
                    waiting.setdefault(job.id, job)
            if not all(told):
                return False
            await asyncio.sleep(0)
        return True

    async def _tell(self, job: JobView) -> bool:
        is_told = await self._published(f"{NAMESPACE}:{job.id}", shown(job))
        if is_told:
            self._settling.told(job)
        return is_told

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
        except Exception:  # the others are told all the same
            logger.exception("A job could not be told of on %r", channel)
        return True


def put(waiting: dict[str, JobView], job: JobView) -> None:
    """Have a job's latest state wait; where there are too many, for the one that waits longest."""
    if len(waiting) >= MOST:
        del waiting[next(iter(waiting))]
    waiting[job.id] = job


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
