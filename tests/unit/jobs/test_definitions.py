"""What cannot work is told where it is written: `hubbub.jobs.task`, `hubbub.jobs.bounds`, `hubbub.jobs.options`."""

import functools
import math
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import BaseModel
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from hubbub.database import Database, migrate
from hubbub.exceptions import ConfigurationError
from hubbub.jobs import Backoff, Cron, InvalidParams, JobContext, Jobs, RetryLater, SqlEngine, Task
from hubbub.jobs.bounds import is_storable
from hubbub.jobs.job import Draft
from hubbub.jobs.options import due, milliseconds


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/jobs.db"


@pytest.fixture
def jobs(url):
    return Jobs(url)


def step(text: str = "") -> None:
    """Nothing."""


class Callable:
    def __call__(self, number: int) -> None:
        """Nothing."""


class Unfinished(BaseModel):
    later: "NotThere"  # noqa: F821 (the mistake)


# ------------------------------------------------------------------------------------------ tasks


def test_a_task_needs_no_parentheses(jobs):
    @jobs.task
    async def bare(ctx: JobContext, number: int) -> int:
        return number

    assert isinstance(bare, Task)
    assert (bare.kind, bare.retries, jobs.tasks) == ("bare", 3, {"bare": bare})


@pytest.mark.parametrize(
    "wrong",
    [
        {"retries": 1.5},
        {"retries": -1},
        {"retries": 2**40},
        {"retries": None},
        {"timeout": math.nan},
        {"timeout": math.inf},
        {"timeout": -1},
        {"timeout": "30"},
        {"limit": -1},
        {"limit": 0},
        {"limit": 2.0},
        {"priority": 99999},
        {"priority": 1.5},
        {"backoff": 5},
        {"public": "yes"},
        {"cron": 5},
        {"name": ""},
        {"name": "a\x00"},
        {"name": "x" * 256},
        {"name": 7},
    ],
)
def test_what_cannot_be_a_task_is_refused(jobs, wrong):
    with pytest.raises(ConfigurationError, match="Task "):
        jobs.task(**wrong)(step)
    assert jobs.tasks == {}


@pytest.mark.parametrize("function", [functools.partial(step, "x"), Callable(), Callable, "step", 7])
def test_what_is_no_function_is_no_task(jobs, function):
    with pytest.raises(ConfigurationError, match="a task is a function"):
        jobs.task(function)


def test_a_task_does_not_yield(jobs):
    async def pages():
        yield 1

    def numbers():
        yield 1

    for function in (pages, numbers):
        with pytest.raises(ConfigurationError, match="cannot yield"):
            jobs.task(function)


def test_what_cannot_be_read_of_a_signature_is_told_by_name(jobs):
    def stores(text: str, session: AsyncSession) -> None: ...

    def looks(text: "Elsewhere") -> None: ...  # noqa: F821 (the mistake)

    def waits(model: Unfinished) -> None: ...

    def returns() -> AsyncSession: ...

    expected = {
        stores: r"stores: the param 'session'",
        looks: r"looks: .*'Elsewhere'",
        waits: r"waits: the param 'model'",
        returns: r"returns: what it returns",
    }
    for function, text in expected.items():
        with pytest.raises(ConfigurationError, match=text):
            jobs.task(function)


async def test_a_task_that_comes_after_the_jobs_were_entered_is_refused(url, jobs):
    async with Database(url) as database:
        await migrate(database)
    async with jobs:
        with pytest.raises(ConfigurationError, match="before the jobs are entered"):
            jobs.task(step)
    jobs.task(step)
    idle = Jobs(url, concurrency=0)
    async with idle:  # which runs none, so that it does not matter when
        idle.task(step)


# ------------------------------------------------------------------------------------------ schedules


@pytest.mark.parametrize(
    "wrong",
    [
        ("* * * * * * 1999",),
        ("* * * * * * *",),
        ("* * * *",),
        ("0 0 30 2 *",),
        ("R R * * *",),
        ("0 r(2-4) * * *",),
        ("H * * * *",),
        (",".join(map(str, range(60))) + " * * * " + "1," * 200 + "1",),
        (None,),
        (5,),
        ("* * * * *", None),
        ("* * * * *", ""),
        ("* * * * *", "Europe"),
    ],
)
def test_a_schedule_that_never_comes_is_refused(wrong):
    with pytest.raises(ConfigurationError):
        Cron(*wrong)


def test_names_of_days_and_months_are_known():
    for right in ("0 3 * mar,apr fri", "@daily", "*/5 * * * thu", "* * * * * */10"):
        Cron(right)


# ------------------------------------------------------------------------------------------ waits


@pytest.mark.parametrize(
    "wrong",
    [
        {"first": math.nan},
        {"first": math.inf, "most": math.inf},
        {"most": math.inf},
        {"most": 1e30},
        {"factor": math.nan},
        {"jitter": math.nan},
        {"first": "1"},
        {"most": None},
    ],
)
def test_a_backoff_is_made_of_numbers(wrong):
    with pytest.raises(ConfigurationError):
        Backoff(**wrong)


def test_a_job_is_tried_again_within_a_year():
    for wrong in (math.inf, -math.inf, math.nan, 1e30):
        with pytest.raises(ValueError, match="at most a year"):
            RetryLater(wrong)
    for wrong in ("30", None, timedelta(seconds=3)):
        with pytest.raises(TypeError, match="number of seconds"):
            RetryLater(wrong)
    assert [RetryLater(seconds).after for seconds in (-1, 0, 0.5, 86400)] == [-1, 0, 0.5, 86400]


# ------------------------------------------------------------------------------------------ options


def test_delays_and_times():
    assert [milliseconds(delay) for delay in (timedelta(seconds=1), 0.5, -7)] == [1000, 500, 0]
    assert due(datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)) == 1000
    for wrong in (math.nan, math.inf, -math.inf, 1e30, "1", None):
        with pytest.raises(InvalidParams):
            milliseconds(wrong)
    for wrong in ("2026-01-01", 7):
        with pytest.raises(InvalidParams):
            due(wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"owner": "a\x00"},
        {"owner": 7},
        {"key": "\ud800"},
        {"key": "x" * 256},
        {"kind": "a\x00"},
        {"priority": 10**6},
        {"priority": 1.5},
    ],
)
def test_a_draft_is_one_that_any_database_takes(wrong):
    with pytest.raises(InvalidParams, match=next(iter(wrong))):
        Draft(**{"id": "j", "kind": "k", "params": "{}", **wrong})


def test_texts_that_no_database_takes():
    assert is_storable("ä \n\U0001f600")
    assert not any(map(is_storable, ("\x00", "a\n\x00", "\ud800", "\n\udc00")))


# ------------------------------------------------------------------------------------------ where


async def test_jobs_take_a_url_or_an_engine_and_let_go_of_it(url):

    await migrate(url)
    engine = create_async_engine(url.replace("sqlite:", "sqlite+aiosqlite:"))
    for where in (url, engine):
        jobs = Jobs(where, concurrency=0)
        jobs.task(step)
        for _ in range(2):
            async with jobs:
                assert (await jobs.tasks["step"].enqueue()).is_new
            assert jobs.engine._database.engine.pool.checkedin() == 0
    await engine.dispose()


def test_what_jobs_cannot_be_kept_in_is_told(url):
    for wrong in (create_engine(url), None, 7, object()):
        with pytest.raises(ConfigurationError, match="an AsyncEngine of SQLAlchemy"):
            Jobs(wrong)
    with pytest.raises(ConfigurationError):
        Jobs("mysql://host/name")


@pytest.mark.parametrize(
    "wrong",
    [
        {"concurrency": 1.5},
        {"concurrency": -1},
        {"drain": math.nan},
        {"drain": math.inf},
        {"params_bytes": 0},
        {"result_bytes": -1},
    ],
)
def test_values_of_jobs_that_cannot_work(url, wrong):
    with pytest.raises(ConfigurationError):
        Jobs(url, **wrong)


@pytest.mark.parametrize("wrong", [{"keep": math.nan}, {"keep": -1}, {"keep_failed": math.inf}])
def test_values_of_the_engine_that_cannot_work(url, wrong):
    with pytest.raises(ConfigurationError):
        SqlEngine(url, **wrong)


async def test_missing_tables_are_told(jobs):
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="hubbub migrate"):
            await jobs.__aenter__()
