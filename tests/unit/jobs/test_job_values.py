"""`hubbub.jobs.backoff`, `hubbub.jobs.schedules`, `hubbub.jobs.parameters`, `hubbub.jobs.job`, `hubbub.jobs.threads`,
`hubbub.jobs.context`, `hubbub.jobs.errors`, `hubbub.jobs.engine`."""

import asyncio
import json
import logging
import math
from datetime import UTC, datetime
from typing import Annotated

import pytest
from pydantic import BaseModel, Field

from hubbub import HubbubError
from hubbub.exceptions import ConfigurationError
from hubbub.jobs import Backoff, Cron, InvalidParams, JobContext, errors
from hubbub.jobs.context import LINES
from hubbub.jobs.engine import Attempt
from hubbub.jobs.job import clean
from hubbub.jobs.parameters import Parameters
from hubbub.jobs.threads import in_thread


def test_waits_grow_and_are_bounded():
    backoff = Backoff(first=1, factor=3, most=20, jitter=0.5)
    assert [backoff.after(attempt, lambda: 0) for attempt in (1, 2, 3, 4, 10**6)] == [1, 3, 9, 20, 20]
    assert backoff.after(2, lambda: 1) == 1.5
    for wrong in ({"first": -1}, {"factor": 0.5}, {"most": 0.1}, {"jitter": 2}, {"factor": 1e9}):
        with pytest.raises(ConfigurationError):
            Backoff(**wrong)


def at(*parts: int) -> int:
    return int(datetime(*parts, tzinfo=UTC).timestamp() * 1000)


def test_times_of_a_cron():
    assert Cron("0 3 * * *").following(at(2026, 1, 1, 3)) == at(2026, 1, 2, 3)
    assert Cron("0 3 * * *", "Europe/Berlin").following(at(2026, 7, 1)) == at(2026, 7, 1, 1)
    assert Cron("*/15 * * * *").following(at(2026, 1, 1, 0, 14, 59)) == at(2026, 1, 1, 0, 15)
    for wrong in (("x",), ("61 * * * *",), ("* * * * *", "Mars/Base")):
        with pytest.raises(ConfigurationError):
            Cron(*wrong)


class Size(BaseModel):
    width: int


def test_params_are_written_and_read_as_they_are_annotated():
    def function(
        ctx: JobContext, size: Size, number: Annotated[int, Field(ge=1)], json: str = "x"
    ) -> None: ...

    parameters = Parameters(function)
    assert parameters.takes_context
    written = parameters.bind((Size(width=3),), {"number": 2})
    assert json.loads(written) == {"size": {"width": 3}, "number": 2}
    assert parameters.read(written) == {"size": Size(width=3), "number": 2}
    for wrong in ({"size": {"width": 3}, "number": 0}, {"number": 1}, {"size": {}, "number": 1}):
        with pytest.raises(InvalidParams):
            parameters.write(wrong)
    with pytest.raises(InvalidParams, match="number"):
        parameters.read('{"size":{"width":3},"number":"x"}')


def test_what_is_no_json_is_no_param():
    def function(anything, ctx=None): ...

    parameters = Parameters(function)
    assert not parameters.takes_context, "only the first one is the context"
    for wrong in (object(), "\ud800", math.inf, math.nan, [math.nan]):
        with pytest.raises(InvalidParams):
            parameters.bind((wrong,), {})


def test_texts_that_any_database_takes():
    assert clean("a\x00b\ud800", 10) == "a\ufffdb?"
    assert clean("abcdef", 4) == "abc…"


async def test_a_thread_gives_back_what_it_returned_or_raised():
    assert await in_thread(lambda: 3, "three") == 3
    with pytest.raises(ZeroDivisionError):
        await in_thread(lambda: 1 // 0, "none")

    def stop():
        raise StopIteration

    with pytest.raises(RuntimeError):
        await in_thread(stop, "stop")


class Reports:
    def __init__(self):
        self.number = 0

    def reported(self, attempt):
        self.number += 1


class AJob:
    id, kind, owner, attempt, attempts = "j", "k", None, 1, 1


async def test_reports_are_bounded(caplog):
    caplog.set_level(logging.CRITICAL, "hubbub.jobs")
    attempt, reports = Attempt(AJob(), "{}"), Reports()
    context = JobContext(attempt, reports)
    await context.progress(250, "x" * 9999)
    assert (attempt.progress, len(attempt.message)) == (100, 500)
    await context.progress(-1)
    assert (attempt.progress, len(attempt.message)) == (0, 500)
    for number in range(LINES + 50):
        context.log(number)
    assert (len(attempt.lines), attempt.noted) == (LINES + 1, LINES + 1)
    assert "not kept" in attempt.lines[-1].text
    await asyncio.to_thread(context.progress, 7)
    await asyncio.sleep(0)
    assert attempt.progress == 7
    assert not context.cancelled
    attempt.is_cancelled = True
    assert context.cancelled


def test_errors_are_of_the_one_family():
    raised = [each for each in vars(errors).values() if isinstance(each, type)]
    assert all(issubclass(each, HubbubError) for each in raised if each.__module__ == errors.__name__)
