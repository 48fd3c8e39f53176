"""Jobs as an application uses them: `hubbub.jobs.jobs`, `hubbub.jobs.task`, `hubbub.jobs.running`, on both databases."""

import asyncio
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
from serving import eventually
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from hubbub import Identity
from hubbub.database import Address, Database, Dialect, migrate
from hubbub.exceptions import BadRequest, ConfigurationError, Forbidden
from hubbub.jobs import (
    Backoff,
    GiveUp,
    InvalidParams,
    JobContext,
    Jobs,
    JobTooLarge,
    RetryLater,
    Status,
    UnknownJob,
    UnknownTask,
)
from hubbub.types import UserId

SOON = Backoff(first=0.01, factor=1, most=0.01)
ADA = Identity(UserId("ada"))


@pytest.fixture
async def database(database_url):
    async with Database(database_url) as database:
        await migrate(database)
        yield database


@pytest.fixture
def jobs(database):
    return Jobs(database, concurrency=4, drain=2)


async def ended(jobs, made, within=10):
    async def is_finished():
        job = await jobs.get(made.job.id)
        return job if job.status.is_finished else None

    return await eventually(is_finished, within=within, every=0.01)


# ------------------------------------------------------------------------------------------ transactions


async def test_a_job_exists_if_and_only_if_the_callers_transaction_was_committed(database, jobs):
    begun = []

    @jobs.task()
    async def mail(to: str) -> None:
        begun.append(to)

    own = create_async_engine(database.address.url)  # the application's, with settings of its own
    async with jobs:
        async with AsyncSession(own) as session:
            made = await mail.using(transaction=session).enqueue("undone")
            await session.rollback()
            with pytest.raises(UnknownJob):
                await jobs.get(made.job.id)
            kept = await mail.using(transaction=session, key="k").enqueue("kept")
            again = await mail.using(transaction=session, key="k").enqueue("again")
            assert (again.is_new, again.job.id) == (False, kept.job.id)
            with pytest.raises(UnknownJob):
                await jobs.get(kept.job.id)
            began = time.monotonic()
            await session.commit()
        assert (await ended(jobs, kept)).status is Status.COMPLETED
        assert time.monotonic() - began < 0.9, "it is woken, and does not wait for the next look"
        async with own.begin() as connection:
            made = await mail.using(transaction=connection).enqueue("too")
        assert (await ended(jobs, made)).status is Status.COMPLETED
    await own.dispose()
    assert begun == ["kept", "too"]


async def test_what_is_no_transaction_of_this_database_is_told(database, jobs, tmp_path, shared_postgres):
    """Of `hubbub.database.joining`, which the outbox asks too; nothing is enqueued."""

    @jobs.task
    async def mail(to: str) -> None: ...

    other = f"sqlite:///{tmp_path}/own.db"
    if database.dialect is Dialect.SQLITE:
        await shared_postgres.ready()
        other = await shared_postgres.new_database()
    own, elsewhere = (create_async_engine(each) for each in (database.address.url, Address.parse(other).url))
    async with jobs:
        with pytest.raises(ConfigurationError, match="and Hubbub's database is"):
            async with AsyncSession(elsewhere) as session:
                await mail.using(transaction=session).enqueue("ada")
        with pytest.raises(ConfigurationError, match="no one engine"):
            await mail.using(transaction=AsyncSession()).enqueue("ada")
        for wrong in (own, own.sync_engine, Session(own.sync_engine), database, False, "session"):
            with pytest.raises(TypeError, match="AsyncSession or AsyncConnection"):
                await mail.using(transaction=wrong).enqueue("ada")
        assert sum((await jobs.counts()).values()) == 0
    await elsewhere.dispose()
    await own.dispose()


# ------------------------------------------------------------------------------------------ tasks


async def test_params_are_typed_and_checked_when_enqueued(jobs):
    @jobs.task()
    async def resize(
        ctx: JobContext, when: datetime, sizes: set[int], *, name: str = "a"
    ) -> dict[str, object]:
        return {"is": when.tzinfo is not None and sizes == {1, 2}, "name": name, "job": ctx.kind}

    async with jobs:
        made = await resize.enqueue(datetime.now(UTC), {1, 2}, name="b")
        assert (await ended(jobs, made)).result == {"is": True, "name": "b", "job": "resize"}
        by_name = await jobs.enqueue("resize", {"when": "2026-01-01T00:00:00Z", "sizes": [2, 1, 1]})
        assert (await ended(jobs, by_name)).result["is"]
        for params in (
            {},
            {"when": "x", "sizes": []},
            {"when": "2026-01-01T00:00:00Z", "sizes": [], "more": 1},
        ):
            with pytest.raises(InvalidParams):
                await jobs.enqueue("resize", params)
        with pytest.raises(InvalidParams):
            await resize.enqueue()
        with pytest.raises(UnknownTask):
            await jobs.enqueue("none", {})


async def test_a_sync_task_runs_in_a_thread_and_reports(jobs):
    here = threading.get_ident()

    @jobs.task()
    def shrink(ctx: JobContext, number: int) -> bool:
        ctx.progress(40, "shrinking")
        ctx.log("half \x00")
        return threading.get_ident() != here and not ctx.cancelled and number == 3

    async with jobs:
        job = await ended(jobs, await shrink.enqueue(3))
        assert (job.result, job.message) == (True, "shrinking")
        assert [(line.level, line.text) for line in await jobs.logs(job.id)] == [("info", "half \ufffd")]


async def test_a_timeout_cancels_and_a_thread_is_left_alone_with_its_place(jobs, caplog):
    gate = threading.Event()

    @jobs.task(timeout=0.5, retries=0)
    async def slow() -> None:
        await asyncio.sleep(60)

    @jobs.task(timeout=0.5, retries=0)
    def stuck(ctx: JobContext) -> bool:
        gate.wait(30)
        return ctx.cancelled

    @jobs.task()
    async def quick() -> None: ...

    async with jobs:
        job = await ended(jobs, await slow.enqueue())
        assert (job.status, job.error) == (Status.FAILED, "It took longer than 0.5 s.")
        left = [await ended(jobs, await stuck.enqueue()) for _ in range(4)]
        assert all("cannot be stopped" in job.error for job in left)
        assert "keeps its place" in caplog.text
        waiting = await quick.enqueue()
        assert (await jobs.get(waiting.job.id)).status is Status.PENDING
        gate.set()
        assert (await ended(jobs, waiting)).status is Status.COMPLETED


async def test_errors_are_kept_and_retried_as_the_task_says(jobs):
    @jobs.task(retries=2, backoff=SOON)
    async def unlucky(ctx: JobContext, how: str) -> int:
        if how == "give up":
            raise GiveUp("There is no such picture.")
        if how == "later" and ctx.attempt == 1:
            raise RetryLater(0.05, "not yet")
        if how == "always" or ctx.attempt < 3:
            raise ValueError(f"attempt {ctx.attempt} \x00")
        return ctx.attempt

    async with jobs:
        job = await ended(jobs, await unlucky.enqueue("always"))
        assert (job.status, job.error, job.attempt) == (Status.FAILED, "ValueError: attempt 3 \ufffd", 3)
        job = await ended(jobs, await unlucky.enqueue("later"))
        assert (job.status, job.error, job.result) == (Status.COMPLETED, None, 3)
        job = await ended(jobs, await unlucky.enqueue("give up"))
        assert (job.status, job.error, job.attempt) == (Status.FAILED, "There is no such picture.", 1)
        await jobs.retry(job.id)
        assert (await ended(jobs, await unlucky.enqueue("give up"))).attempt == 1


async def test_what_a_task_makes_of_its_own_cancellation_is_its_own(jobs):
    """One that raises CancelledError unasked has failed; one that completes when it is asked to end is completed."""
    waiting = asyncio.Event()

    @jobs.task(retries=0)
    async def rude() -> None:
        raise asyncio.CancelledError

    @jobs.task()
    async def diligent() -> str:
        waiting.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return "done all the same"

    async with jobs:
        assert (await ended(jobs, await rude.enqueue())).error == "CancelledError"
        made = await diligent.enqueue()
        await waiting.wait()
        assert (await jobs.cancel(made.job.id)).is_cancelling
        job = await ended(jobs, made)
        assert (job.status, job.result) == (Status.COMPLETED, "done all the same")


async def test_what_is_too_large_or_no_json_is_told(database):
    jobs = Jobs(database, params_bytes=100, result_bytes=100)

    @jobs.task()
    async def repeat(text: str, times: int) -> object:
        return object() if times < 0 else text * times

    async with jobs:
        with pytest.raises(JobTooLarge, match="100 are taken at most"):
            await repeat.enqueue("x" * 100, 1)
        job = await ended(jobs, await repeat.enqueue("x", 101))
        assert (job.status, job.error, job.attempt) == (
            Status.FAILED, "The result has 103 bytes of JSON; 100 are kept at most.", 1,
        )  # fmt: skip
        job = await ended(jobs, await repeat.enqueue("x", -1))
        assert "cannot be written as JSON" in job.error
        assert (await ended(jobs, await repeat.enqueue("x", 5))).result == "xxxxx"


async def test_a_text_no_database_takes_fails_its_job_and_holds_up_nobody(jobs):
    @jobs.task(retries=0)
    async def odd() -> str:
        return "\ud800"

    @jobs.task()
    async def nul() -> str:
        return "\x00"

    async with jobs:
        assert (await ended(jobs, await odd.enqueue())).status is Status.FAILED
        assert (await ended(jobs, await nul.enqueue())).result == "\x00"


async def test_delays_and_options(jobs):
    @jobs.task()
    async def step() -> None: ...

    async with jobs:
        later = await step.using(delay=timedelta(hours=1), owner="ada", key="k", priority=7).enqueue()
        assert later.job.due - later.job.created == pytest.approx(
            3_600_000, abs=50
        )  # read one after the other
        assert (later.job.owner, later.job.key, later.job.priority) == ("ada", "k", 7)
        then = datetime.now(UTC) + timedelta(days=1)
        assert (await step.using(at=then).enqueue()).job.due == int(then.timestamp() * 1000)
        assert [job.id for job in (await jobs.list(owner="ada", status=Status.PENDING)).jobs] == [
            later.job.id
        ]
        assert (await jobs.counts("ada"))[Status.PENDING] == 1
        for wrong in (
            {"at": datetime(2026, 1, 1)},  # noqa: DTZ001 (the mistake)
            {"priority": 10**6},
            {"key": "a\x00"},
            {"owner": "x" * 256},
        ):
            with pytest.raises(InvalidParams):
                await step.using(**wrong).enqueue()
        with pytest.raises(InvalidParams):
            await step.using(delay=float("inf")).enqueue()
        with pytest.raises(BadRequest):
            await jobs.list(limit=0)
        with pytest.raises(UnknownJob):
            await jobs.cancel("none")


async def test_clients_start_only_what_is_public_and_own_it(jobs):
    @jobs.task(public=True)
    async def demo(steps: int = 1) -> int:
        return steps

    @jobs.task()
    async def inner() -> None: ...

    @jobs.task(public=lambda identity: identity.is_admin)
    async def export() -> None: ...

    async with jobs:
        made = await jobs.start(ADA, "demo", {"steps": 4})
        job = await ended(jobs, made)
        assert (job.owner, job.result, job.public()["status"]) == ("ada", 4, "completed")
        with pytest.raises(UnknownTask):
            await jobs.start(ADA, "inner", {})
        with pytest.raises(Forbidden):
            await jobs.start(ADA, "export", {})
        with pytest.raises(Forbidden):
            await jobs.start(Identity(UserId("")), "demo", {})


async def test_a_schedule_begins_its_task(jobs):
    begun = asyncio.Event()

    @jobs.task(cron="* * * * * *")
    async def tick(number: int = 1) -> None:
        begun.set()

    async with jobs, asyncio.timeout(10):
        await begun.wait()


async def test_what_cannot_be_a_task_is_told_at_once(jobs):
    for wrong in ({"retries": -1}, {"timeout": 0}, {"limit": 0}, {"cron": "every day"}, {"name": "x" * 300}):
        with pytest.raises(ConfigurationError):

            @jobs.task(**wrong)
            async def task() -> None: ...

    with pytest.raises(ConfigurationError, match="needs a default"):

        @jobs.task(cron="* * * * *")
        async def ticking(number: int) -> None: ...

    with pytest.raises(ConfigurationError, match="by name"):

        @jobs.task()
        async def starred(*numbers: int) -> None: ...

    @jobs.task()
    async def twice() -> int:
        return 3

    with pytest.raises(ConfigurationError, match="two tasks"):
        jobs.task(name="twice")(twice.function)
    assert await twice() == 3
    with pytest.raises(ConfigurationError):
        Jobs(jobs.engine, concurrency=-1)
