"""Tasks that outlive the call that starts them."""

import asyncio
import logging

import pytest

from hubbub.hub.background import Background


async def test_what_is_started_runs_and_is_forgotten():
    done: list[int] = []

    async def work(number: int) -> None:
        await asyncio.sleep(0)
        done.append(number)

    async with Background() as background:
        for number in range(3):
            background.start(work(number))
        assert len(background) == 3
        await background.settle()
        assert (done, len(background)) == ([0, 1, 2], 0)


async def test_settling_waits_for_what_is_started_meanwhile():
    done: list[str] = []

    async with Background() as background:

        async def second() -> None:
            done.append("second")

        async def first() -> None:
            await asyncio.sleep(0)
            background.start(second())
            done.append("first")

        background.start(first())
        await background.settle()
        assert done == ["first", "second"]


async def test_what_fails_is_logged(caplog: pytest.LogCaptureFixture):
    async def fail() -> None:
        raise ValueError("for a reason")

    with caplog.at_level(logging.ERROR):
        async with Background() as background:
            background.start(fail())
            await background.settle()
    assert "A background task failed" in caplog.text
    assert "for a reason" in caplog.text


async def test_leaving_waits_then_cancels():
    ended: list[str] = []
    go_on = asyncio.Event()

    async def brief() -> None:
        await go_on.wait()
        ended.append("brief")

    async def endless() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("endless")

    background = Background(grace=0.05)
    async with background:
        background.start(brief())
        background.start(endless())
        asyncio.get_running_loop().call_soon(go_on.set)
    assert ended == ["brief", "endless"]
    assert len(background) == 0


async def test_leaving_waits_for_what_is_started_while_it_waits():
    done: list[str] = []

    async with Background() as background:

        async def second() -> None:
            for _ in range(10):
                await asyncio.sleep(0)
            done.append("second")

        async def first() -> None:
            await asyncio.sleep(0)
            background.start(second())

        background.start(first())
    assert done == ["second"]
