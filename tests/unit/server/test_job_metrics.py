"""Jobs are counted as they end here, and as they stand in the table."""

import asyncio

import pytest

from hubbub.database import Database, migrate
from hubbub.exceptions import Unavailable
from hubbub.jobs import Backoff, Jobs, Status
from hubbub.server.job_metrics import LOOK, JobMetrics
from hubbub.testing import FakeClock


@pytest.fixture
async def database(tmp_path):
    async with Database(f"sqlite:///{tmp_path}/jobs.db") as database:
        await migrate(database)
        yield database


async def until_ended(jobs, job_id):
    while not (job := await jobs.get(job_id)).status.is_finished:
        pass
    return job


async def test_endings_and_repetitions_are_counted_where_they_happen(database):
    jobs = Jobs(database)
    metrics = JobMetrics(jobs)

    @jobs.task(retries=1, backoff=Backoff(first=0.01))
    async def fragile(fails: bool) -> None:
        if fails:
            raise ZeroDivisionError

    async with jobs:
        for fails in (False, True):
            made = await fragile.enqueue(fails)
            await until_ended(jobs, made.job.id)
    assert metrics.ended == {"completed": 1, "failed": 1}
    assert metrics.tried_again == 1


async def test_the_table_is_counted_now_and_then(database, monkeypatch):
    jobs, clock = Jobs(database, concurrency=0), FakeClock()
    jobs.task(name="step")(step)
    metrics = JobMetrics(jobs, clock)
    async with jobs:
        await metrics.look()
        assert metrics.there == {"pending": 0, "running": 0, "failed": 0}
        await jobs.enqueue("step", {})
        await metrics.look()
        assert metrics.there["pending"] == 0
        clock.advance(LOOK)
        await metrics.look()
        assert metrics.there["pending"] == 1
        assert (await jobs.counts())[Status.PENDING] == 1

        async def counts():
            raise Unavailable("away")

        monkeypatch.setattr(jobs, "counts", counts)
        clock.advance(LOOK)
        await metrics.look()
        assert metrics.there == {}


async def test_a_database_that_does_not_answer_keeps_nobody_from_the_other_metrics(database, monkeypatch):
    monkeypatch.setattr("hubbub.server.job_metrics.PATIENCE", 0.05)
    jobs = Jobs(database, concurrency=0)
    monkeypatch.setattr(jobs, "counts", asyncio.Event().wait)
    metrics = JobMetrics(jobs)
    async with asyncio.timeout(5):
        await metrics.look()
    assert metrics.there == {}


def step() -> None:
    """Nothing."""
