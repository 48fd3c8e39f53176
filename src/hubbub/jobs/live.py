"""Jobs live: what becomes of a job is published on its channel, ``job:<id>``."""

import asyncio
import logging
from datetime import timedelta
from types import TracebackType
from typing import Any, Self

from hubbub.endpoints.facade import Hub
from hubbub.endpoints.namespace import NamespaceHandle
from hubbub.exceptions import HubbubError
from hubbub.hub.channels import Channel
from hubbub.hub.identity import Identity
from hubbub.hub.namespaces import History
from hubbub.jobs.errors import UnknownJob
from hubbub.jobs.job import JobView
from hubbub.jobs.jobs import Jobs

logger = logging.getLogger(__name__)

NAMESPACE = "job"
EVENT = "job"
KEPT = History(size=32, ttl=timedelta(days=1))
"""So much of a job can be recovered; who missed more is told so (``recovered: false``), and reads the job."""
FAREWELL = 5.0
"""Seconds in which what is left is published at the end."""


def job_namespace(hub: Hub, jobs: Jobs) -> NamespaceHandle:
    """Define ``job:<id>`` on a hub: the owner of the job may watch it, and who has the scope ``admin``.

    Raises:
        ConfigurationError: the hub has the namespace already.
    """
    handle = hub.namespace(NAMESPACE, subscribe="hook", publish="nobody", history=KEPT, overflow="conflate")

    @handle.authorize
    async def may_watch(identity: Identity, channel: Channel) -> bool:
        if identity.is_admin:
            return True
        try:
            job = await jobs.get(channel.name.partition(":")[2])
        except UnknownJob:
            return False  # as for somebody else's, so that nobody can find out which there are
        return not identity.is_anonymous and job.owner == identity.user_id

    return handle


class LiveJobs:
    """Publishes what becomes of the jobs of this process. An async context manager, entered before the jobs.

    Of a job that changes faster than the broker takes it, what is in between is left out; its end never is. What the broker
    does not take is logged: the database has it.

    Args:
        hub: has the namespace ``job`` (`job_namespace`), and runs for as long.
        jobs: are listened to.
    """

    def __init__(self, hub: Hub, jobs: Jobs) -> None:
        self._hub = hub
        self._latest: dict[str, JobView] = {}
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        jobs.listen(self)

    def changed(self, job: JobView) -> None:
        """Take a job's new state."""
        self._latest[job.id] = job
        self._changed.set()

    async def __aenter__(self) -> Self:
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
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        try:
            async with asyncio.timeout(FAREWELL):
                await self._publish()
        except TimeoutError:
            logger.warning("%d jobs' last states were not published in time", len(self._latest))

    async def _run(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            await self._publish()

    async def _publish(self) -> None:
        while self._latest:
            job = next(iter(self._latest.values()))
            try:
                await self._hub.publish(f"{NAMESPACE}:{job.id}", EVENT, shown(job))
            except HubbubError as error:
                logger.warning("Job %s: its state could not be published: %s", job.id, error)
            if self._latest.get(job.id) is job:  # else it has changed meanwhile
                del self._latest[job.id]


def shown(job: JobView) -> dict[str, Any]:
    """Return what is published of a job. A large result is left out: it is there to be read."""
    data = job.public()
    if job.result is not None and len(repr(job.result)) > LARGE:
        data["result"] = None
        data["result_is_left_out"] = True
    return data


LARGE = 16_384
"""Characters of a result above which it is not published; a channel takes 64 KiB in one message."""
