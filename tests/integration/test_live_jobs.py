"""Whoever may watch a job sees it live, on a real hub."""

import asyncio
import contextlib
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial

import pytest
from fastapi import FastAPI
from serving import eventually

from hubbub import Hub, Identity
from hubbub.database import Database
from hubbub.database.schema import migrate
from hubbub.jobs import JobConflict, JobContext, Jobs, Status
from hubbub.jobs.live import LARGE, LiveJobs, job_namespace
from hubbub.testing import connect
from hubbub.types import UserId


async def authenticate(token: str) -> Identity | None:
    scopes = frozenset({"admin"}) if token == "root" else frozenset()
    return Identity(UserId(token), scopes=scopes)


class Scene:
    """An application with jobs."""

    def __init__(self, database):
        self.jobs = Jobs(database)
        self.hub = Hub(authenticate=authenticate)
        job_namespace(self.hub, self.jobs)
        self.app = FastAPI(lifespan=self.hub.lifespan)
        self.app.include_router(self.hub.router)
        self.live = LiveJobs(self.hub, self.jobs)
        self.stack = AsyncExitStack()
        self.gate = asyncio.Event()

        @self.jobs.task(public=True)
        async def steps(ctx: JobContext, number: int = 3) -> dict[str, int]:
            await self.gate.wait()
            for step in range(number):
                await ctx.progress(10 * step, f"step {step}")
            return {"steps": number}

        @self.jobs.task()
        async def large() -> str:
            await self.gate.wait()
            return "x" * (LARGE + 1)

    async def client(self, token):
        return await self.stack.enter_async_context(connect(self.app, "/ws", token=token))


@pytest.fixture
async def scene(tmp_path):
    async with Database(f"sqlite:///{tmp_path}/hubbub.db") as database:
        await migrate(database)
        scene = Scene(database)
        async with scene.hub.lifespan(scene.app), scene.live, scene.jobs, scene.stack:
            yield scene


async def started(scene, user="ada", kind="steps"):
    if kind == "steps":
        return (await scene.jobs.start(Identity(UserId(user)), kind, {})).job.id
    return (await scene.jobs.enqueue(kind, {}, {"owner": user})).job.id


async def until_completed(client):
    seen = []
    while not seen or seen[-1]["status"] != "completed":
        push = await client.expect("job")
        seen.append(push["data"])
    return seen


async def test_the_owner_sees_progress_and_the_end(scene):
    client = await scene.client(token="ada")
    job_id = await started(scene)
    await client.send({"type": "subscribe", "channel": f"job:{job_id}"})
    await client.expect("subscribed")
    scene.gate.set()
    seen = await until_completed(client)
    assert {each["id"] for each in seen} == {job_id}
    assert (seen[-1]["progress"], seen[-1]["result"], seen[-1]["error"]) == (100, {"steps": 3}, None)
    progress = [each["progress"] for each in seen]
    assert progress == sorted(progress)


async def test_whoever_comes_back_gets_the_latest(scene):
    client = await scene.client(token="ada")
    job_id = await started(scene)
    await client.send({"type": "subscribe", "channel": f"job:{job_id}"})
    position = await client.expect("subscribed")
    await client.cut()
    scene.gate.set()

    async def is_over():
        reading = await scene.hub.history(f"job:{job_id}")
        return b'"completed"' in b"".join(each.data for each in reading.publications)

    await eventually(is_over)
    again = await scene.client(token="ada")
    await again.send(
        {
            "type": "subscribe",
            "channel": f"job:{job_id}",
            "since": {"epoch": position["epoch"], "offset": position["offset"]},
        }
    )
    answer = await again.expect("subscribed")
    assert answer["recovered"]
    states = [each["data"]["status"] for each in answer["messages"]]
    assert states[-1] == "completed"
    assert len(states) == len({each["id"] for each in answer["messages"]})


async def test_only_the_owner_and_admins_watch(scene):
    job_id = await started(scene)
    for user, channel in (("bob", job_id), ("ada", "none")):
        client = await scene.client(token=user)
        await client.send({"type": "subscribe", "channel": f"job:{channel}"})
        assert (await client.expect("error"))["code"] == "forbidden"
    admin = await scene.client(token="root")
    await admin.send({"type": "subscribe", "channel": f"job:{job_id}"})
    await admin.expect("subscribed")
    scene.gate.set()


async def test_a_large_result_is_left_out(scene):
    client = await scene.client(token="ada")
    job_id = await started(scene, kind="large")
    await client.send({"type": "subscribe", "channel": f"job:{job_id}"})
    await client.expect("subscribed")
    scene.gate.set()
    last = (await until_completed(client))[-1]
    assert (last["result"], last["result_is_left_out"]) == (None, True)
    job = await scene.jobs.get(job_id)
    assert (job.status, len(job.result)) == (Status.COMPLETED, LARGE + 1)


# ---------------------------------------------------------------------------------------------- several who tell


class TwoProcesses:
    """One that enqueues and cancels, and one that runs; as two processes would they tell of the same jobs on one broker."""

    def __init__(self, url):
        self.hub = Hub(authenticate=authenticate)
        self.databases = [Database(url, lease=5), Database(url, lease=5)]
        self.asking, self.running = (
            Jobs(database, concurrency=concurrency, drain=0)
            for database, concurrency in zip(self.databases, (0, 4), strict=True)
        )
        self.live = [LiveJobs(self.hub, jobs) for jobs in (self.asking, self.running)]
        job_namespace(self.hub, self.asking)
        for jobs in (self.asking, self.running):
            jobs.task(name="work", retries=0)(work)

    @asynccontextmanager
    async def enter(self):
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.hub.lifespan(None))
            for part in (*self.databases, *self.live, self.asking, self.running):
                await stack.enter_async_context(part)
            yield self

    async def told(self, job_id):
        """Return all that was told of a job."""
        reading = await self.hub.history(f"job:{job_id}", limit=100)
        return [each.value() for each in reading.publications]

    async def is_true(self, job_id):
        """Tell whether a job that ended was told of so, last."""
        job, told = await self.asking.get(job_id), await self.told(job_id)
        return job.status.is_finished and bool(told) and told[-1]["status"] == job.status.value


async def work(seconds: float = 0.0, fails: bool = False) -> None:
    await asyncio.sleep(seconds)
    if fails:
        raise ValueError("as asked")


@pytest.fixture
async def two(tmp_path):
    url = f"sqlite:///{tmp_path}/hubbub.db"
    await migrate(url)
    async with TwoProcesses(url).enter() as two:
        yield two


async def test_the_last_that_is_told_is_how_a_job_stands(two):
    made = [await two.asking.enqueue("work", {"seconds": 0.01 * (n % 3)}) for n in range(40)]
    for each in made[::4]:
        with contextlib.suppress(JobConflict):
            await two.asking.cancel(each.job.id)
    for each in made:
        await eventually(partial(two.is_true, each.job.id), within=15)


async def test_a_word_that_came_late_is_put_right(two):
    job_id = (await two.asking.enqueue("work", {})).job.id
    await eventually(partial(two.is_true, job_id), within=15)
    ended = await two.asking.get(job_id)
    # As of a process that was stopped, and wakes.
    two.live[1].changed(replace(ended, status=Status.RUNNING, progress=40, finished=None))
    await eventually(partial(is_last, two, job_id, "running"), within=5, every=0.005)
    await eventually(partial(two.is_true, job_id), within=5)


async def is_last(two, job_id, status):
    return (await two.told(job_id))[-1]["status"] == status


async def test_what_waits_to_begin_is_told_of_when_it_has_waited(two):
    for _ in range(4):
        await two.asking.enqueue("work", {"seconds": 30})
    job_id = (await two.asking.enqueue("work", {})).job.id
    await eventually(partial(two.told, job_id), within=5)
    assert [each["status"] for each in await two.told(job_id)] == ["pending"]


async def test_what_a_process_told_last_is_looked_at_before_it_ends(two):
    job_id = (await two.asking.enqueue("work", {"fails": True})).job.id
    await eventually(partial(two.is_true, job_id), within=15)
    failed = await two.asking.get(job_id)
    await two.asking.retry(job_id)
    leaving = LiveJobs(two.hub, two.asking)
    async with leaving:
        leaving.changed(replace(failed, status=Status.PENDING, attempt=1, error="as asked"))
        await eventually(partial(is_failed_again, two, job_id, failed), within=15)
    assert await two.is_true(job_id)


async def is_failed_again(two, job_id, before):
    job = await two.asking.get(job_id)
    return job.status is Status.FAILED and job.finished > before.finished
