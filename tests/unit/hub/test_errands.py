"""Work that comes in crowds."""

import asyncio
import logging

import pytest
from stage import turns

from hubbub.hub.background import Background
from hubbub.hub.errands import Errands


async def test_everything_is_done_in_order_and_a_few_between_two_turns_of_the_loop():
    done: list[int] = []

    async def run(number: int) -> None:
        done.append(number)

    async with Background() as background:
        errands = Errands(background, run, at_once=4)
        for number in range(100):
            errands.add(number)
        assert len(background) == 4
        steps = []
        while len(done) < 100:
            before = len(done)
            await turns(1)
            steps.append(len(done) - before)
        assert done == list(range(100))
        assert max(steps) == 4
        await background.settle()
        assert (len(errands), len(background)) == (0, 0)


async def test_so_many_at_the_same_time_and_no_more():
    running = most = 0
    go_on = asyncio.Event()

    async def run(number: int) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await go_on.wait()
        running -= 1

    async with Background() as background:
        errands = Errands(background, run, at_once=3)
        for number in range(10):
            errands.add(number)
        await turns()
        assert (running, len(errands)) == (3, 7)
        go_on.set()
        await background.settle()
        assert (running, most) == (0, 3)


async def test_one_that_fails_keeps_nobody_from_theirs(caplog: pytest.LogCaptureFixture):
    done: list[int] = []

    async def run(number: int) -> None:
        if number % 2:
            raise ValueError("of the application")
        done.append(number)

    async with Background() as background:
        errands = Errands(background, run, at_once=1)
        with caplog.at_level(logging.ERROR):
            for number in range(5):
                errands.add(number)
            await background.settle()
        assert done == [0, 2, 4]
        assert [record.message for record in caplog.records] == ["An errand in the background failed"] * 2
        errands.add(6)
        await background.settle()
        assert done[-1] == 6
