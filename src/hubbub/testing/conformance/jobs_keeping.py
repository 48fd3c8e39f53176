"""What users ask of an engine of background jobs: the part of `hubbub.testing.conformance.jobs.EngineSuite` on jobs that are kept,
listed, counted and cancelled; and how the suite runs them."""

import asyncio
import json
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from hubbub.exceptions import BadRequest, ConfigurationError
from hubbub.hub.ids import SecretIds
from hubbub.jobs.engine import Crew, Engine
from hubbub.jobs.errors import JobConflict, UnknownJob
from hubbub.jobs.job import Draft, JobView, Query, Status
from hubbub.testing.conformance.job_script import Script, Told

DEADLINE = 20.0
KINDS: Mapping[str, int | None] = {"work": None, "alone": 1}


class KeepingSuite(ABC):
    """Tests for one implementation, which `EngineSuite` goes on with."""

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

    async def test_what_is_unfinished_is_counted(self) -> None:
        """What waits and what runs, of one owner; neither what is finished nor anybody else's."""
        script = Script()
        async with self.running(script) as (engine,):
            assert await engine.unfinished("ada") == 0
            runs, done, later, _ = await self.add(
                engine,
                self.draft(owner="ada", wait=True),
                self.draft(owner="ada"),
                self.draft(owner="ada", delay=60_000),
                self.draft(delay=60_000),
            )
            await self.is_now(engine, runs, Status.RUNNING)
            await self.is_now(engine, done, Status.COMPLETED)
            assert await engine.unfinished("ada") == 2
            await engine.cancel(later)
            assert await engine.unfinished("ada") == 1
            assert await engine.unfinished("bob") == 0
            script.release()

    @pytest.mark.parametrize("text", ["\x00", "a\x00b", "\ud800", "x" * 10_000])
    async def test_what_no_job_can_be_called_is_no_job(self, text: str) -> None:
        """Whatever text comes from outside: a NUL, half a character, a very long one."""
        async with self.engine() as engine:
            await self.add(engine, self.draft(owner="ada"))
            assert await engine.get(text) is None
            assert list(await engine.logs(text)) == []
            for change in (engine.cancel, engine.retry):
                with pytest.raises(UnknownJob):
                    await change(text)
            for query in (Query(owner=text), Query(kind=text), Query(owner="ada", kind=text)):
                assert (await engine.list(query)).jobs == ()
            assert await engine.counts(text) == dict.fromkeys(Status, 0)
            assert await engine.unfinished(text) == 0

    @pytest.mark.parametrize("cursor", ["", "x", "\x00", "\ud800", "x" * 10_000])
    async def test_a_cursor_is_one_that_a_page_handed_out(self, cursor: str) -> None:
        """Anything else is refused, and shows neither nothing nor the first page."""
        async with self.engine() as engine:
            await self.add(engine, self.draft())
            with pytest.raises(BadRequest):
                await engine.list(Query(cursor=cursor))

    @pytest.mark.parametrize("transaction", [False, "transaction", object()])
    async def test_what_is_no_transaction_is_told(self, transaction: Any) -> None:
        """And nothing is enqueued."""
        async with self.engine() as engine:
            with pytest.raises((ConfigurationError, TypeError)):
                await engine.enqueue([self.draft()], transaction)
            assert await engine.counts() == dict.fromkeys(Status, 0)

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
            (job_id,) = await self.add(engine, self.draft(fail=5, attempts=9, pause=3000))

            async def has_failed() -> bool:
                job = await engine.get(job_id)
                return job is not None and job.status is Status.PENDING and job.error == "no 1"

            await self.until(has_failed)
            assert (await engine.cancel(job_id)).status is Status.CANCELLED
            (probe,) = await self.add(engine, self.draft(delay=3100))
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
