"""Whoever may watch a job sees it live, on a real hub."""

import asyncio
from contextlib import AsyncExitStack

import pytest
from fastapi import FastAPI
from serving import eventually

from hubbub import Hub, Identity
from hubbub.database import Database
from hubbub.database.schema import migrate
from hubbub.jobs import JobContext, Jobs, Status
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
