"""What every engine of background jobs promises (`hubbub.jobs.engine.Engine`).

It stands alone, because it needs the extra ``database``: ``from hubbub.testing.conformance.jobs import EngineSuite``.
"""

import asyncio
import json
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from hubbub.hub.ids import SecretIds
from hubbub.jobs.engine import Crew, Engine
from hubbub.jobs.errors import JobConflict, UnknownJob
from hubbub.jobs.job import Draft, JobView, Query, Status
from hubbub.jobs.schedules import Cron, Schedule
from hubbub.testing.conformance.job_script import Script, Told

DEADLINE = 20.0
EACH_SECOND = Cron("* * * * * *")
KINDS: Mapping[str, int | None] = {"work": None, "alone": 1}


class EngineSuite(ABC):
    """Tests for one implementation."""

    ids = SecretIds()

    @abstractmethod
    def engine(self) -> AbstractAsyncContextManager[Engine]:
        """Make an engine; all that are made in one test share their jobs, as several processes do."""

    def draft(self, kind: str = "work", **values: Any) -> Draft:
        """Make a job that is to be; other keywords than those of a draft are its params."""
        fields = {name: values.pop(name) for name in Draft.__dataclass_fields__ if name in values}
        return Draft(self.ids.new(), kind, json.dumps(values), **fields)

    @asynccontextmanager
    async def running(
        self, script: Script, *, number: int = 1, told: Told | None = None, **crew: Any
    ) -> AsyncIterator[list[Engine]]:
        """Enter engines that run jobs."""
        values: dict[str, Any] = {"kinds": KINDS, "concurrency": 10, "drain": 5.0, **crew}
        async with AsyncExitStack() as stack:
            engines = [await stack.enter_async_context(self.engine()) for _ in range(number)]
            for engine in engines:
                await stack.enter_async_context(engine.work(Crew(script, **values), told or Told()))
            yield engines

    async def until(self, condition: Callable[[], bool | Awaitable[bool]]) -> None:
        """Wait until something is so."""
        async with asyncio.timeout(DEADLINE):
            while True:
                answer = condition()
                if answer if isinstance(answer, bool) else await answer:
                    return
                await asyncio.sleep(0.01)

    async def is_now(self, engine: Engine, job_id: str, status: Status) -> JobView:
        """Wait until a job stands so; return it."""

        async def stands() -> bool:
            job = await engine.get(job_id)
            return job is not None and job.status is status

        await self.until(stands)
        job = await engine.get(job_id)
        assert job is not None
        return job

    async def add(self, engine: Engine, *drafts: Draft) -> list[str]:
        """Enqueue; return the ids."""
        return [made.job.id for made in await engine.enqueue(drafts)]

    # ------------------------------------------------------------------------------------------ keeping

    async def test_a_job_is_kept_as_it_was_enqueued(self) -> None:
        """Every field comes back, before anybody runs it; an unknown one is none."""
        async with self.engine() as engine:
            draft = self.draft(text="ä\u0000\U0001f600", owner="ada", key="k", priority=3, attempts=4)
            (made,) = await engine.enqueue([draft])
            job = await engine.get(draft.id)
            assert made.is_new
            assert made.job == job
            assert job is not None
            assert (job.id, job.kind, job.owner, job.key) == (draft.id, "work", "ada", "k")
            assert job.status is Status.PENDING
            assert (job.params, job.priority) == ({"text": "ä\u0000\U0001f600"}, 3)
            assert (job.attempt, job.attempts, job.progress, job.started, job.finished) == (
                0,
                4,
                0,
                None,
                None,
            )
            assert await engine.get("none") is None
            assert list(await engine.logs("none")) == []

    async def test_of_one_key_there_is_one_unfinished_job(self) -> None:
        """The second gives back the first, in one call too; another kind's key is another; a finished one frees it."""
        script = Script()
        async with self.engine() as engine:
            first, again = await engine.enqueue([self.draft(key="k"), self.draft(key="k")])
            (third,) = await engine.enqueue([self.draft(key="k", delay=60_000)])
            (other,) = await engine.enqueue([self.draft("alone", key="k")])
            assert [first.is_new, again.is_new, third.is_new, other.is_new] == [True, False, False, True]
            assert {first.job.id} == {again.job.id, third.job.id} != {other.job.id}
        async with self.running(script) as (engine,):
            await self.is_now(engine, first.job.id, Status.COMPLETED)
            (fresh,) = await engine.enqueue([self.draft(key="k")])
            assert fresh.is_new

    async def test_many_at_once_with_one_key_make_one_job(self) -> None:
        """Whatever process they come from."""
        async with self.engine() as one, self.engine() as two:
            made = await asyncio.gather(
                *(engine.enqueue([self.draft(key="k")]) for engine in (one, two) for _ in range(10))
            )
            assert sum(each.is_new for (each,) in made) == 1
            assert len({each.job.id for (each,) in made}) == 1

    async def test_pages_show_each_job_once_and_the_newest_first(self) -> None:
        """By owner, kind and status; jobs that come meanwhile disturb nothing."""
        async with self.engine() as engine:
            ids = await self.add(engine, *(self.draft(owner="ada") for _ in range(7)))
            await self.add(engine, self.draft(owner="bob"), self.draft("alone", owner="ada"))
            seen: list[str] = []
            cursor: str | None = None
            while True:
                page = await engine.list(Query(owner="ada", kind="work", limit=3, cursor=cursor))
                seen += [job.id for job in page.jobs]
                await self.add(engine, self.draft(owner="ada"))
                if (cursor := page.next_cursor) is None:
                    break
            assert seen == sorted(ids, reverse=True)
            assert len((await engine.list(Query(owner="bob"))).jobs) == 1
            assert (await engine.list(Query(status=Status.FAILED))).jobs == ()
            assert len((await engine.list(Query(status=Status.PENDING, limit=100))).jobs) == 12

    async def test_counts_have_every_status(self) -> None:
        """Zeros too, of one owner or of all."""
        async with self.engine() as engine:
            await self.add(
                engine, self.draft(owner="ada"), self.draft(owner="ada", delay=60_000), self.draft()
            )
            zeros = dict.fromkeys(Status, 0)
            assert await engine.counts() == {**zeros, Status.PENDING: 3}
            assert await engine.counts("ada") == {**zeros, Status.PENDING: 2}
            assert await engine.counts("bob") == zeros

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

    # ------------------------------------------------------------------------------------------ cancelling

    async def test_a_job_that_waits_is_cancelled_at_once(self) -> None:
        """It never begins; nor does one that is delayed."""
        async with self.engine() as engine:
            waiting, delayed, other = await self.add(
                engine, self.draft(), self.draft(delay=1), self.draft(priority=-1)
            )
            for job_id in (waiting, delayed):
                job = await engine.cancel(job_id)
                assert (job.status, job.finished is None) == (Status.CANCELLED, False)
        script = Script()
        async with self.running(script, concurrency=1) as (engine,):
            await self.is_now(engine, other, Status.COMPLETED)
        assert script.begun == [other]

    async def test_a_job_that_runs_is_told_to_end(self) -> None:
        """By whatever process it runs in, within about a second."""
        script = Script()
        async with self.running(script, number=2) as (one, two):
            ids = await self.add(one, *(self.draft(wait=True, attempts=3) for _ in range(4)))
            await self.until(lambda: len(script.begun) == 4)
            began = time.monotonic()
            for job_id in ids:
                job = await two.cancel(job_id)
                assert (job.status, job.is_cancelling) == (Status.RUNNING, True)
            for job_id in ids:
                job = await self.is_now(one, job_id, Status.CANCELLED)
                assert not job.is_cancelling
            assert time.monotonic() - began < 4
            assert (sorted(script.cancelled), len(script.begun)) == (sorted(ids), 4)

    async def test_a_job_that_waits_for_its_next_attempt_is_cancelled(self) -> None:
        """It is not tried again."""
        script = Script()
        async with self.running(script) as (engine,):
            (job_id,) = await self.add(engine, self.draft(fail=5, attempts=9, delay=1000))

            async def has_failed() -> bool:
                job = await engine.get(job_id)
                return job is not None and job.status is Status.PENDING and job.error == "no 1"

            await self.until(has_failed)
            assert (await engine.cancel(job_id)).status is Status.CANCELLED
            (probe,) = await self.add(engine, self.draft(delay=1100))
            await self.is_now(engine, probe, Status.COMPLETED)
            assert script.begun.count(job_id) == 1

    async def test_what_is_finished_is_not_cancelled(self) -> None:
        """It stays what it is; and there has to be one."""
        script = Script()
        async with self.running(script) as (engine,):
            done, failed = await self.add(engine, self.draft(), self.draft(fail=1))
            before = [await self.is_now(engine, done, Status.COMPLETED)]
            before.append(await self.is_now(engine, failed, Status.FAILED))
            for job in before:
                with pytest.raises(JobConflict):
                    await engine.cancel(job.id)
                assert await engine.get(job.id) == job
            with pytest.raises(UnknownJob):
                await engine.cancel("none")

    async def test_what_failed_or_was_cancelled_is_retried_by_hand(self) -> None:
        """With all its attempts; nothing else is, and no second one with a key."""
        script = Script()
        async with self.running(script) as (engine,):
            failed, done = await self.add(engine, self.draft(fail=1, key="k"), self.draft())
            await self.is_now(engine, failed, Status.FAILED)
            await self.is_now(engine, done, Status.COMPLETED)
            job = await engine.retry(failed)
            assert (job.status, job.attempt, job.error, job.finished) == (Status.PENDING, 0, None, None)
            await self.is_now(engine, failed, Status.FAILED)
            (holder,) = await self.add(engine, self.draft(key="k", wait=True))
            for job_id in (failed, done, holder):
                with pytest.raises(JobConflict):
                    await engine.retry(job_id)
            with pytest.raises(UnknownJob):
                await engine.retry("none")
            await engine.cancel(holder)
            await self.is_now(engine, holder, Status.CANCELLED)
            script.release()
            await engine.retry(holder)
            await self.is_now(engine, holder, Status.COMPLETED)

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
