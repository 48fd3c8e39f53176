"""What every engine of background jobs promises (`hubbub.jobs.engine.Engine`).

It stands alone, because it needs the extra ``database``: ``from hubbub.testing.conformance.jobs import EngineSuite``.
"""

import asyncio
import time

from hubbub.jobs.job import Query, Status
from hubbub.jobs.schedules import Cron, Schedule
from hubbub.testing.conformance.job_script import Script, Told
from hubbub.testing.conformance.jobs_keeping import KeepingSuite

EACH_SECOND = Cron("* * * * * *")


class EngineSuite(KeepingSuite):
    """Tests for one implementation."""

    # ------------------------------------------------------------------------------------------ running

    async def test_a_job_runs_and_its_result_is_kept(self) -> None:
        """It is told when it begins and when it ends."""
        script, told = Script(), Told()
        async with self.running(script, told=told) as (engine,):
            (job_id,) = await self.add(engine, self.draft())
            job = await self.is_now(engine, job_id, Status.COMPLETED)
            assert (job.result, job.error, job.progress, job.attempt) == ({"attempt": 1}, None, 100, 1)
            assert job.started is not None
            assert job.finished is not None
            assert job.created <= job.started <= job.finished
            await self.until(lambda: len(told.of(job_id)) == 2)
            assert told.of(job_id) == [(Status.RUNNING, 0), (Status.COMPLETED, 100)]
            assert told.jobs[-1] == job

    async def test_what_failed_is_tried_again_as_often_as_it_may(self) -> None:
        """Then it is failed, with the last error; or it completes, and no error is left."""
        script = Script()
        async with self.running(script) as (engine,):
            drafts = [self.draft(fail=number, attempts=3) for number in (2, 9)]
            good, bad = await self.add(engine, *drafts)
            done = await self.is_now(engine, good, Status.COMPLETED)
            assert (done.attempt, done.error, done.result) == (3, None, {"attempt": 3})
            failed = await self.is_now(engine, bad, Status.FAILED)
            assert (failed.attempt, failed.error, failed.result) == (3, "no 3", None)
            assert script.begun.count(bad) == 3

    async def test_higher_priorities_begin_first_then_the_older(self) -> None:
        """As far as they wait together."""
        async with self.engine() as engine:
            low, first, second, high = await self.add(
                engine,
                self.draft(priority=-1, due=1),
                self.draft(due=2),
                self.draft(due=3),
                self.draft(priority=5, due=4),
            )
        async with self.running(script := Script(), concurrency=1) as (engine,):
            await self.is_now(engine, low, Status.COMPLETED)
        assert script.finished == [high, first, second, low]

    async def test_a_delayed_job_begins_when_its_time_has_come(self) -> None:
        """Neither much later nor before; whatever time it was due at."""
        script = Script()
        async with self.running(script) as (engine,):
            began = time.monotonic()
            later, overdue = await self.add(engine, self.draft(delay=400), self.draft(due=1))
            await self.is_now(engine, overdue, Status.COMPLETED)
            await self.is_now(engine, later, Status.COMPLETED)
            assert 0.4 <= time.monotonic() - began < 3

    async def test_a_delayed_job_begins_under_load_too(self) -> None:
        """However many wait that could begin before it."""
        script = Script()
        async with self.running(script, concurrency=2) as (engine,):
            (later,) = await self.add(engine, self.draft(delay=150, priority=1))
            await self.add(engine, *(self.draft() for _ in range(400)))
            await self.until(lambda: len(script.finished) == 401)
        assert script.finished.index(later) < 400

    async def test_no_more_run_at_once_than_there_are_places(self) -> None:
        """In one process."""
        script = Script()
        async with self.running(script, concurrency=3) as (engine,):
            ids = await self.add(engine, *(self.draft(wait=True) for _ in range(10)))
            await self.until(lambda: len(script.begun) == 3)
            assert (await engine.counts())[Status.RUNNING] == 3
            script.release()
            await self.until(lambda: len(script.finished) == len(ids))
            assert script.most_at_once == 3

    async def test_a_limit_holds_in_the_whole_cluster_and_holds_up_nobody_else(self) -> None:
        """Two processes, one task that runs alone, and another behind it."""
        script = Script()
        async with self.running(script, number=2) as (one, two):
            alone = await self.add(one, *(self.draft("alone", wait=True) for _ in range(6)))
            await self.until(lambda: len(script.begun) == 1)
            other = await self.add(two, *(self.draft() for _ in range(6)))
            await self.until(lambda: set(other) <= set(script.finished))
            assert len([job_id for job_id in script.begun if job_id in alone]) == 1
            script.most_at_once = script.at_once
            script.release()
            await self.until(lambda: set(alone) <= set(script.finished))
            assert script.most_at_once == 1

    async def test_each_job_runs_once_whoever_runs_it(self) -> None:
        """Three processes, all healthy."""
        script = Script()
        async with self.running(script, number=3) as engines:
            ids = await self.add(engines[0], *(self.draft() for _ in range(200)))
            await self.until(lambda: len(script.finished) >= 200)
        assert sorted(script.begun) == sorted(script.finished) == sorted(ids)

    async def test_what_a_process_does_not_know_is_left_to_others(self) -> None:
        """So a new task can be enqueued while the processes of the release before still run."""
        script = Script()
        async with self.running(script) as (engine,):
            new, known = await self.add(engine, self.draft("new"), self.draft())
            await self.is_now(engine, known, Status.COMPLETED)
            job = await engine.get(new)
            assert job is not None
            assert job.status is Status.PENDING

    async def test_progress_is_told_at_once_and_kept(self) -> None:
        """Lines are kept in order; both are there while it still runs."""
        script, told = Script(), Told()
        async with self.running(script, told=told) as (engine,):
            (job_id,) = await self.add(engine, self.draft(wait=True, note="half"))
            await self.until(lambda: (Status.RUNNING, 40) in told.of(job_id))

            async def is_stored() -> bool:
                job = await engine.get(job_id)
                return job is not None and (job.progress, job.message) == (40, "half")

            await self.until(is_stored)
            assert [(line.attempt, line.text) for line in await engine.logs(job_id)] == [(1, "half")] * 3
            script.release()
            job = await self.is_now(engine, job_id, Status.COMPLETED)
            assert (job.progress, job.message) == (100, "half")

    # ------------------------------------------------------------------------------------------ leaving, clocks

    async def test_whoever_leaves_lets_jobs_finish(self) -> None:
        """Within its time; and takes no new ones."""
        script = Script()
        async with self.running(script, concurrency=2) as (engine,):
            ids = await self.add(engine, *(self.draft(wait=True) for _ in range(4)))
            await self.until(lambda: len(script.begun) == 2)
            asyncio.get_running_loop().call_later(0.2, script.release)
        async with self.engine() as engine:
            found = [await engine.get(job_id) for job_id in ids]
        states = [job.status for job in found if job is not None]
        assert sorted(states) == [Status.COMPLETED, Status.COMPLETED, Status.PENDING, Status.PENDING]
        assert script.cancelled == []

    async def test_whoever_leaves_hands_over_what_does_not_finish(self) -> None:
        """Another one takes it at once, and the attempt does not count."""
        script, other = Script(), Script()
        other.release()
        async with self.running(other, kinds={"none": None}) as (engine,):
            async with self.running(script, drain=0.1) as (leaving,):
                ids = await self.add(leaving, *(self.draft(wait=True) for _ in range(5)))
                await self.until(lambda: len(script.begun) == 5)
            assert sorted(script.cancelled) == sorted(ids)
            for job_id in ids:
                job = await engine.get(job_id)
                assert job is not None
                assert (job.status, job.attempt, job.error) == (Status.PENDING, 0, None)
        async with self.running(other) as (engine,):
            for job_id in ids:
                assert (await self.is_now(engine, job_id, Status.COMPLETED)).attempt == 1

    async def test_a_schedule_fires_once_in_the_cluster_for_each_time(self) -> None:
        """Three processes with the same one."""
        script = Script()
        schedule = Schedule("tick", EACH_SECOND, self.draft)
        async with self.running(script, number=3, schedules=[schedule]) as (engine, *_):
            await self.until(lambda: len(script.begun) >= 3)
            page = await engine.list(Query(limit=100))
        seconds = [job.created // 1000 for job in page.jobs]
        assert len(set(seconds)) == len(seconds) >= 3
