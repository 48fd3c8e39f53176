"""Background jobs over HTTP: start one, see how it goes, cancel it, have it begin anew."""

import hashlib
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from hubbub import Hub, Identity, LimitExceeded
from hubbub.jobs import Jobs, JobView, Status, UnknownJob, UnknownTask
from hubbub.server.nodes import Cursor, Limit
from hubbub.server.scopes import administrator, signed_in
from hubbub.server.task_views import (
    Kind,
    Log,
    OwnedTasks,
    Standing,
    Start,
    Task,
    Tasks,
    log,
    owned_page,
    page,
    shown,
)

UNFINISHED = 100
"""Jobs of one user that may wait and run: whoever comes next waits for no more than these."""
MOST = 1000
"""Jobs that one list holds; a user with a few more than `UNFINISHED` is within it."""


def task_routes(hub: Hub, jobs: Jobs) -> APIRouter:
    """Serve their own jobs to those who are signed in, and every job to administrators."""
    router = APIRouter(prefix="/tasks", tags=["tasks"])
    somebody = Annotated[Identity, Depends(signed_in(hub))]

    async def known(task_id: str, identity: somebody) -> JobView:
        job = await jobs.get(task_id)
        if not identity.is_admin and job.owner != identity.user_id:
            raise UnknownJob(f"There is no job {task_id!r}.")
        return job

    theirs = Annotated[JobView, Depends(known)]

    @router.post("", status_code=202, include_in_schema=False)
    @router.post("/", status_code=202, summary="Start a task")
    async def start(body: Start, identity: somebody, request: Request, response: Response) -> Task:
        """Of a kind that clients may start. It runs in the background; its progress is told on the channel `job:{id}`."""
        job = await started(jobs, identity, body)
        response.headers["Location"] = f"{request.url.path.rstrip('/')}/{job.id}"
        return shown(job)

    @router.get("", include_in_schema=False)
    @router.get("/", summary="List my jobs")
    async def tasks(
        identity: somebody,
        status: Standing = None,
        kind: Kind = None,
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> Tasks:
        """The newest first."""
        return page(
            await jobs.list(owner=identity.user_id, kind=kind, status=status, limit=limit, cursor=cursor)
        )

    @router.get("/{task_id}", summary="Read a job")
    async def task(job: theirs) -> Task:
        """As it stands. Its progress may be a second behind what its channel tells."""
        return shown(job)

    @router.post("/{task_id}/cancel", summary="Cancel a job")
    async def cancel(job: theirs) -> Task:
        """One that waits is cancelled at once. One that runs is `cancelling`, and ends within about a second, unless it
        completes. 409 where it is finished."""
        return shown(await jobs.cancel(job.id))

    @router.post("/{task_id}/retry", summary="Have a job begin anew")
    async def retry(job: theirs, identity: somebody) -> Task:
        """One that failed or was cancelled, with all its attempts; 409 for any other."""
        if job.owner == identity.user_id and await is_full(jobs, identity.user_id):
            raise too_many()
        return shown(await jobs.retry(job.id))

    @router.get("/{task_id}/logs", summary="Read what a job noted")
    async def logs(job: theirs, limit: Limit = 100) -> Log:
        """The last lines, in order, of all its attempts."""
        return log(await jobs.logs(job.id), limit)

    return router


def admin_task_routes(hub: Hub, jobs: Jobs) -> APIRouter:
    """Serve everybody's jobs to tokens with the scope `admin`."""
    router = APIRouter(prefix="/admin", tags=["admin"], dependencies=[Depends(administrator(hub))])

    @router.get("/tasks", summary="List everybody's jobs")
    async def tasks(
        owner: Annotated[
            str | None, Query(min_length=1, max_length=255, description="Whose; without it everybody's.")
        ] = None,
        status: Standing = None,
        kind: Kind = None,
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> OwnedTasks:
        """The newest first, with how many there are of each status."""
        found = await jobs.list(owner=owner, kind=kind, status=status, limit=limit, cursor=cursor)
        return owned_page(found, await jobs.counts(owner))

    return router


async def started(jobs: Jobs, identity: Identity, body: Start) -> JobView:
    """Start a job of somebody's; with the key of one that is not finished, return that one, however many there are.

    Raises:
        UnknownTask: there is none of that kind that clients may start. Which others there are is not told.
        LimitExceeded: too many of theirs are not finished.
    """
    key = None if body.idempotency_key is None else own_key(identity, body.idempotency_key)
    if await is_full(jobs, identity.user_id):
        known = None if key is None else await keyed(jobs, identity.user_id, body.kind, key)
        if known is None:
            raise too_many()
        return known
    try:
        return (await jobs.start(identity, body.kind, body.params, key=key)).job
    except UnknownTask:
        raise UnknownTask(f"There is no task {body.kind!r} that may be started here.") from None


async def is_full(jobs: Jobs, user_id: str) -> bool:
    """Say whether somebody has as many unfinished jobs as they may have.

    Nothing is locked: those who ask at the same moment are all told the same, and pass it by a few.
    """
    return await jobs.unfinished(user_id) >= UNFINISHED


async def keyed(jobs: Jobs, owner: str, kind: str, key: str) -> JobView | None:
    """Find somebody's unfinished job with a key."""
    for status in (Status.PENDING, Status.RUNNING):
        found = await jobs.list(owner=owner, kind=kind, status=status, limit=MOST)
        for job in found.jobs:
            if job.key == key:
                return job
    return None


def too_many() -> LimitExceeded:
    """Say that somebody has to wait."""
    return LimitExceeded(f"{UNFINISHED} of your jobs are not finished yet: wait, or cancel some.")


def own_key(identity: Identity, key: str) -> str:
    """Make a key that no other user's can be."""
    return hashlib.sha256(f"{identity.user_id}\n{key}".encode()).hexdigest()
