"""Workers that are killed, stopped, hang, or are deployed over; clocks that jump; databases that go away. All of it really happens.

Of `hubbub.jobs.sql.worker`, `hubbub.jobs.sql.runs` and `hubbub.jobs.sql.claiming`; `hubbub.jobs.sql.schedules` and
`hubbub.jobs.sql.sweep`. The suite tests `hubbub.jobs.sql.engine` and `hubbub.jobs.sql.keeping`.
"""

import asyncio
import signal
import sqlite3
import time

import pytest
import sqlalchemy
from job_processes import LEASE, Nursery, Stage
from serving import eventually
from sqlalchemy import event, select, update

from hubbub.database import Database
from hubbub.database.schema import migrate
from hubbub.jobs import Backoff, Cron, Jobs, Status
from hubbub.jobs.sql import tables
from hubbub.jobs.sql.schedules import Timetable
from hubbub.jobs.sql.sweep import Sweeper


@pytest.fixture(scope="module")
def nursery():
    nursery = Nursery()
    yield nursery
    nursery.end()


@pytest.fixture
async def stage(database_url, tmp_path, nursery):
    async with Stage(database_url, tmp_path, nursery) as stage:
        yield stage


async def row_of(stage, job_id):
    async with stage.database.reading() as connection:
        return (await connection.execute(select(tables.jobs).where(tables.jobs.c.id == job_id))).one()


def pid_of(job):
    return int(job.result.split()[0])


async def test_a_killed_worker_is_followed_by_another(stage):
    first = await stage.process()
    job_id = await stage.enqueue("hold", gate="gate")
    await stage.begun(job_id)
    second = await stage.process()
    first.send(signal.SIGKILL)
    began = time.monotonic()
    await stage.begun(job_id, 2)
    assert time.monotonic() - began < 3 * LEASE + 1
    stage.open("gate")
    job = await stage.is_now(job_id, Status.COMPLETED)
    assert (pid_of(job), job.attempt) == (second.pid, 2)


async def test_a_stopped_worker_that_wakes_changes_nothing_any_more(stage):
    first = await stage.process()
    job_id = await stage.enqueue("hold", gate="gate")
    await stage.begun(job_id)
    await stage.stop(first)
    second = await stage.process()
    await stage.begun(job_id, 2)
    stage.open("gate")
    job = await stage.is_now(job_id, Status.COMPLETED)
    assert pid_of(job) == second.pid
    await stage.stop(second)  # nobody else may answer now
    before = await row_of(stage, job_id)
    first.send(signal.SIGCONT)
    await first.says("taken for dead")
    probe = await stage.enqueue("step")
    assert pid_of(await stage.is_now(probe, Status.COMPLETED)) == first.pid
    assert await row_of(stage, job_id) == before


async def test_a_worker_that_hangs_is_followed_by_another(stage):
    first = await stage.process()
    job_id = await stage.enqueue("hang", gate="never")
    await stage.begun(job_id)
    second = await stage.process()
    job = await stage.is_now(job_id, Status.COMPLETED)
    assert (pid_of(job), job.attempt) == (second.pid, 2)
    before = await row_of(stage, job_id)
    stage.open("never")
    await first.says("taken for dead")
    assert await row_of(stage, job_id) == before


async def test_only_the_current_fence_writes(stage):
    """Two have the same job for a moment: of the first, neither progress nor lines nor the end are taken."""
    first = await stage.process()
    job_id = await stage.enqueue("hold", gate="gate")
    await stage.begun(job_id)
    async with stage.database.transaction() as connection:  # as if it had been taken over
        await connection.execute(
            update(tables.jobs).values(fence=tables.jobs.c.fence + 1, progress=7, message="the second")
        )
    await first.says("taken over by another process")
    await eventually(lambda: job_id in stage.ledger.of("cancelled"))
    row = await row_of(stage, job_id)
    assert (row.status, row.progress, row.message, row.result) == ("running", 7, "the second", None)


async def test_a_job_that_kills_its_process_fails_after_its_attempts(stage):
    job_id = await stage.enqueue("poison")
    for number in range(3):
        process = await stage.process()
        await stage.begun(job_id, number + 1)
        await eventually(lambda process=process: not process.is_alive)
    await stage.process()
    job = await stage.is_now(job_id, Status.FAILED)
    assert (job.attempt, job.attempts) == (3, 3)
    assert "process that ran it ended" in job.error
    assert len(stage.ledger.of("begin")) == 3
    assert (await stage.jobs.retry(job_id)).status is Status.PENDING


async def test_a_deploy_finishes_or_hands_over_a_hundred_jobs(stage):
    """Nothing is lost, nothing is completed twice, and no attempt is counted."""
    old = await stage.process(concurrency=100, drain=0.5)
    short = [await stage.enqueue("step", seconds=0.3) for _ in range(50)]
    long = [await stage.enqueue("hold", gate="gate") for _ in range(50)]
    await eventually(lambda: len(stage.ledger.of("begin")) == 100, within=30)
    old.send(signal.SIGTERM)
    new = await stage.process(concurrency=100)
    await old.says("left")
    stage.open("gate")
    for job_id in (*short, *long):
        job = await stage.is_now(job_id, Status.COMPLETED)
        assert job.attempt == 1
        if job_id in long:
            assert pid_of(job) == new.pid
    assert sorted(stage.ledger.of("end")) == sorted((*short, *long))


async def test_cancelling_reaches_another_process(stage):
    await stage.process()
    job_id = await stage.enqueue("hold", gate="never")
    await stage.begun(job_id)
    began = time.monotonic()
    assert (await stage.jobs.cancel(job_id)).is_cancelling
    await stage.is_now(job_id, Status.CANCELLED)
    assert time.monotonic() - began < 3
    assert stage.ledger.of("cancelled") == [job_id]


async def test_a_job_asked_to_end_whose_process_dies_does_not_begin_again(stage):
    first = await stage.process()
    job_id = await stage.enqueue("hold", gate="never")
    await stage.begun(job_id)
    await stage.stop(first)
    await stage.jobs.cancel(job_id)
    first.send(signal.SIGKILL)
    await stage.process()
    await stage.is_now(job_id, Status.CANCELLED)
    assert stage.ledger.of("begin") == [job_id]


# ------------------------------------------------------------------------------------------ the database


async def test_what_a_restart_of_the_database_interrupts_is_stored_when_it_is_back(
    postgres, tmp_path, nursery
):
    async with Stage(await postgres.new_database(), tmp_path, nursery) as stage:
        process = await stage.process()
        held = [await stage.enqueue("hold", gate="gate") for _ in range(5)]
        for job_id in held:
            await stage.begun(job_id)
        await postgres.kill()
        stage.open("gate")
        await eventually(lambda: len(stage.ledger.of("end")) == 5)
        await process.says("cannot be claimed or stored")
        await postgres.start()
        for job_id in held:
            assert (await stage.is_now(job_id, Status.COMPLETED)).attempt == 1
        assert sorted(stage.ledger.of("begin")) == sorted(held)


async def test_restarts_under_load_lose_nothing(postgres, tmp_path, nursery):
    """Commits whose answer was lost among them: what was claimed by one of those runs all the same."""
    async with Stage(await postgres.new_database(), tmp_path, nursery) as stage:
        made = [await stage.enqueue("step", seconds=0.05) for _ in range(400)]
        await stage.process()
        for _ in range(3):
            before = len(stage.ledger.of("end"))
            await eventually(lambda before=before: len(stage.ledger.of("end")) >= before + 20, every=0.01)
            await postgres.restart()
        await eventually(lambda: set(stage.ledger.of("end")) == set(made), within=60)
        for job_id in made:
            await stage.is_now(job_id, Status.COMPLETED)


async def test_a_file_that_another_process_locks_holds_up_and_loses_nothing(tmp_path, nursery):
    async with Stage(f"sqlite:///{tmp_path}/hubbub.db", tmp_path, nursery) as stage:
        process = await stage.process()
        job_id = await stage.enqueue("hold", gate="gate")
        await stage.begun(job_id)
        other = sqlite3.connect(tmp_path / "hubbub.db", isolation_level=None, check_same_thread=False)
        await asyncio.to_thread(other.execute, "BEGIN EXCLUSIVE")
        stage.open("gate")
        await process.says("cannot be claimed or stored")  # after it waited for `BUSY` seconds
        other.execute("ROLLBACK")
        other.close()
        job = await stage.is_now(job_id, Status.COMPLETED)
        assert (job.attempt, stage.ledger.of("begin")) == (1, [job_id])


# ------------------------------------------------------------------------------------------ clocks


@pytest.fixture
def clock(monkeypatch):
    """SQLite's time, which is the process's; the test puts it on and back."""

    class Shifted:
        milliseconds = 0

    def now():
        return time.time_ns() // 1_000_000 + Shifted.milliseconds

    monkeypatch.setattr("hubbub.jobs.sql.tables.milliseconds", now)
    monkeypatch.setattr("hubbub.jobs.sql.claiming.milliseconds", now)
    return Shifted


HOUR = 3_600_000


async def test_a_clock_that_jumps_neither_holds_up_nor_repeats(tmp_path, clock):
    async with Database(f"sqlite:///{tmp_path}/hubbub.db") as database:
        await migrate(database)
        jobs = Jobs(database)
        begun = []

        @jobs.task(backoff=Backoff(first=0.01), timeout=5)
        async def step(number: int) -> None:
            begun.append(number)
            await asyncio.sleep(0.2)

        async with jobs:
            for number, jump in enumerate((0, -24 * HOUR, 48 * HOUR, -HOUR)):
                made = await step.enqueue(number)
                clock.milliseconds += jump
                await eventually(lambda number=number: len(begun) == number + 1, within=3)
                ended = await eventually(lambda made=made: is_finished(jobs, made.job.id), within=3)
                assert ended.status is Status.COMPLETED
        assert begun == [0, 1, 2, 3]


async def is_finished(jobs, job_id):
    job = await jobs.get(job_id)
    return job if job.status.is_finished else None


class Plan:
    """A timetable whose times the test looks at."""

    def __init__(self, database, jobs, cron):
        jobs.task(name="tick", cron=cron)(tick)
        self.database, self.jobs = database, jobs
        self.timetable = Timetable(database, jobs.engine._waker, jobs._crew().schedules, jobs, "jobs")

    async def fired(self):
        await self.timetable.look()
        return (await self.jobs.counts())[Status.PENDING]


def tick() -> None:
    """Nothing."""


async def test_a_schedule_goes_by_the_clock_whatever_it_does(tmp_path, clock):
    async with Database(f"sqlite:///{tmp_path}/hubbub.db") as database:
        await migrate(database)
        jobs = Jobs(database)
        plan = Plan(database, jobs, Cron("0 * * * *"))
        await plan.timetable.enter()
        assert await plan.fired() == 0
        clock.milliseconds += HOUR
        assert await plan.fired() == 1
        assert await plan.fired() == 1
        clock.milliseconds += 7 * 24 * HOUR  # nobody ran for a week
        assert await plan.fired() == 2
        assert await plan.fired() == 2
        clock.milliseconds -= HOUR // 60  # put right by a minute
        assert await plan.fired() == 2
        clock.milliseconds -= 365 * 24 * HOUR
        assert await plan.fired() == 2
        clock.milliseconds += HOUR
        assert await plan.fired() == 3


async def test_a_changed_schedule_is_taken_over(tmp_path, clock):
    async with Database(f"sqlite:///{tmp_path}/hubbub.db") as database:
        await migrate(database)
        old = Plan(database, Jobs(database), Cron("0 * * * *"))
        await old.timetable.enter()
        new = Plan(database, Jobs(database), Cron("30 * * * *"))
        await new.timetable.enter()
        clock.milliseconds += HOUR
        assert await old.fired() == 0  # the release before leaves it to the new one
        assert await new.fired() == 1


async def test_what_ended_long_ago_is_swept(stage):
    await stage.process()
    done = await stage.enqueue("step")
    await stage.is_now(done, Status.COMPLETED)
    assert await Sweeper(stage.database, 3600.0, None).sweep() == 0
    async with stage.database.transaction() as connection:
        await connection.execute(update(tables.jobs).values(finished=1))
    assert await Sweeper(stage.database, 3600.0, None).sweep() == 1
    with pytest.raises(Exception, match="no job"):
        await stage.jobs.get(done)


async def test_failed_jobs_stay_until_somebody_says_how_long(stage):
    job_id = await stage.enqueue("poison")
    async with stage.database.transaction() as connection:
        await connection.execute(update(tables.jobs).values(status="failed", finished=1))
    assert await Sweeper(stage.database, 1.0, None).sweep() == 0
    assert (await stage.jobs.get(job_id)).status is Status.FAILED
    assert await Sweeper(stage.database, 1.0, 3600.0).sweep() == 1


async def test_what_cannot_be_stored_fails_and_holds_up_nobody(tmp_path):
    async with Database(f"sqlite:///{tmp_path}/hubbub.db") as database:
        await migrate(database)
        jobs = Jobs(database)

        @jobs.task()
        async def repeat(text: str) -> str:
            return text

        async with database.transaction() as connection:
            await connection.execute(
                sqlalchemy.text(
                    "CREATE TRIGGER refuse BEFORE UPDATE ON hubbub_jobs WHEN NEW.result = '\"bad\"' "
                    "BEGIN SELECT RAISE(ABORT, 'refused'); END"
                )
            )
        async with jobs:
            made = [await repeat.enqueue(text) for text in ("good", "bad", "better")]
            good, bad, better = [
                await eventually(lambda job=each.job: is_finished(jobs, job.id)) for each in made
            ]
        assert (good.result, better.result) == ("good", "better")
        assert (bad.status, bad.error) == (Status.FAILED, "What came of it could not be stored.")


async def test_what_came_of_jobs_waits_until_the_table_is_put_right(database_url, caplog):
    async with Database(database_url, lease=LEASE) as database:
        await migrate(database)
        jobs = Jobs(database)
        ending = asyncio.Event()

        @jobs.task(retries=0)
        async def wait(number: int) -> int:
            await ending.wait()
            return number

        async def rename(one, other):
            async with database.transaction() as connection:
                await connection.execute(sqlalchemy.text(f"ALTER TABLE {one} RENAME TO {other}"))

        async with jobs:
            made = [(await wait.enqueue(number)).job.id for number in range(5)]
            await eventually(lambda: is_running(jobs, made[-1]))
            await rename("hubbub_jobs", "elsewhere")
            ending.set()
            refused = []
            event.listen(database.engine.sync_engine, "handle_error", refused.append)
            await eventually(lambda: len(refused) > 4)  # it is tried several times
            await rename("elsewhere", "hubbub_jobs")
            ended = [await eventually(lambda job_id=job_id: is_finished(jobs, job_id)) for job_id in made]
    assert [(job.status, job.result) for job in ended] == [(Status.COMPLETED, n) for n in range(5)]
    assert caplog.text.count("could not be claimed or stored") == 1


async def is_running(jobs, job_id):
    return (await jobs.get(job_id)).status is Status.RUNNING
