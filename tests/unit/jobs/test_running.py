"""What a task may do to its process, and how one ends that does not want to."""

import asyncio
import sys

import pytest

from hubbub.database import Database, migrate
from hubbub.jobs import Jobs, Status


@pytest.fixture(autouse=True)
def short_grace(monkeypatch):
    monkeypatch.setattr("hubbub.jobs.running.GRACE", 0.1)


@pytest.fixture
async def jobs(tmp_path):
    async with Database(f"sqlite:///{tmp_path}/jobs.db") as database:
        await migrate(database)
        yield Jobs(database, concurrency=1, drain=0)


async def ended(jobs, made):
    async with asyncio.timeout(10):
        while True:
            job = await jobs.get(made.job.id)
            if job.status.is_finished:
                return job
            await asyncio.sleep(0.01)


async def leaves() -> None:
    sys.exit(3)


def leaves_in_a_thread() -> None:
    sys.exit(3)


def interrupts_in_a_thread() -> None:
    raise KeyboardInterrupt


async def good() -> str:
    return "good"


@pytest.mark.parametrize(
    ("function", "error"),
    [
        (leaves, "RuntimeError: The task raised SystemExit: 3"),
        (leaves_in_a_thread, "RuntimeError: The task raised SystemExit: 3"),
        (interrupts_in_a_thread, "RuntimeError: The task raised KeyboardInterrupt"),
    ],
)
async def test_the_end_of_a_task_is_not_the_end_of_its_process(jobs, function, error):
    bad, next_one = jobs.task(name="bad", retries=0)(function), jobs.task()(good)
    async with jobs:
        job = await ended(jobs, await bad.enqueue())
        assert (job.status, job.error) == (Status.FAILED, error)
        assert (await ended(jobs, await next_one.enqueue())).result == "good"


class Stubborn:
    """A task that goes on whoever cancels it, until the test lets it end."""

    def __init__(self, jobs, **options):
        self.gate = asyncio.Event()
        self.begun = asyncio.Event()
        self.is_cancelled = False

        @jobs.task(name="stubborn", retries=0, **options)
        async def stubborn() -> None:
            self.begun.set()
            while not self.gate.is_set():
                try:
                    await self.gate.wait()
                except asyncio.CancelledError:
                    self.is_cancelled = True
            raise ValueError("at last")

        self.task = stubborn


async def test_a_task_that_does_not_end_is_given_up_and_keeps_its_place(jobs):
    stubborn, next_one = Stubborn(jobs, timeout=0.5), jobs.task()(good)
    async with jobs:
        job = await ended(jobs, await stubborn.task.enqueue())
        assert (job.status, stubborn.is_cancelled) == (Status.FAILED, True)
        assert job.error == "It took longer than 0.5 s. It goes on all the same, and cannot be stopped."
        waiting = await next_one.enqueue()
        await asyncio.sleep(0.3)  # nobody says that nothing will happen
        assert (await jobs.get(waiting.job.id)).status is Status.PENDING
        stubborn.gate.set()
        assert (await ended(jobs, waiting)).result == "good"


async def test_a_task_that_does_not_end_is_cancelled_all_the_same(jobs):
    stubborn = Stubborn(jobs)
    async with jobs:
        made = await stubborn.task.enqueue()
        await stubborn.begun.wait()
        await jobs.cancel(made.job.id)
        assert (await ended(jobs, made)).status is Status.CANCELLED
        stubborn.gate.set()


async def test_a_task_that_ends_in_time_when_it_is_told_to_says_what_came_of_it(jobs):
    @jobs.task(timeout=0.5, retries=0)
    async def tidies() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "tidied"
        return "never"

    @jobs.task(timeout=0.5, retries=0)
    async def waits() -> None:
        await asyncio.Event().wait()

    async with jobs:
        assert (await ended(jobs, await tidies.enqueue())).result == "tidied"
        assert (await ended(jobs, await waits.enqueue())).error == "It took longer than 0.5 s."
