"""Tasks that outlive the call that starts them."""

import asyncio
import contextvars
import logging

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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


class TestBegin:
    """At once as far as it gets; the rest is a task."""

    async def test_what_waits_for_nothing_is_done_and_costs_no_task(self):
        done: list[str] = []

        async def inner() -> str:
            return "inner"

        async def work() -> None:
            done.append(await inner())

        async with Background() as background:
            assert background.begin(work()) is None
            assert (done, len(background)) == (["inner"], 0)
            assert len(asyncio.all_tasks()) == 1

    async def test_the_rest_is_a_task_that_goes_on_with_the_result(self):
        done: list[object] = []
        future = asyncio.get_running_loop().create_future()

        async def work() -> None:
            done.append("begun")
            done.append(await future)

        async with Background() as background:
            rest = background.begin(work())
            assert isinstance(rest, asyncio.Task)
            assert (done, len(background)) == (["begun"], 1)
            future.set_result("result")
            await background.settle()
            assert (done, len(background), rest.done()) == (["begun", "result"], 0, True)

    async def test_a_future_that_is_done_before_the_task_looks_at_it(self):
        done: list[object] = []
        result, failure = (asyncio.get_running_loop().create_future() for _ in range(2))

        async def work() -> None:
            done.append(await result)
            try:
                await failure
            except ValueError as error:
                done.append(str(error))

        async with Background() as background:
            background.begin(work())
            result.set_result(1)
            failure.set_exception(ValueError("of the future"))
            await background.settle()
        assert done == [1, "of the future"]

    async def test_nothing_waits_in_a_sleep_of_nothing(self):
        done: list[int] = []

        async def work() -> None:
            for number in range(3):
                await asyncio.sleep(0)
                done.append(number)

        async with Background() as background:
            background.begin(work())
            assert done == []
            await background.settle()
            assert done == [0, 1, 2]

    async def test_settling_waits_for_what_begins_meanwhile(self):
        done: list[str] = []

        async with Background() as background:

            async def second() -> None:
                await asyncio.sleep(0)
                done.append("second")

            async def first() -> None:
                await asyncio.sleep(0)
                background.begin(second())
                done.append("first")

            background.begin(first())
            await background.settle()
            assert (done, len(background)) == (["first", "second"], 0)

    async def test_two_may_wait_for_one_future(self):
        # As two connections do that need the same key set, which is being fetched.
        done: list[tuple[int, str]] = []
        future = asyncio.get_running_loop().create_future()

        async def work(number: int) -> None:
            done.append((number, await future))

        async with Background() as background:
            for number in range(3):
                background.begin(work(number))
            await asyncio.sleep(0)
            future.set_result("key set")
            await background.settle()
        assert done == [(number, "key set") for number in range(3)]

    async def test_cancelling_reaches_it(self):
        ended: list[str] = []

        async def work() -> None:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                await asyncio.sleep(0)
                ended.append("cleaned up")
                raise

        async with Background() as background:
            rest = background.begin(work())
            assert rest is not None
            await asyncio.sleep(0)
            rest.cancel()
            await background.settle()
            assert (ended, rest.cancelled()) == (["cleaned up"], True)

    async def test_cancelling_reaches_it_before_its_task_has_run(self):
        ended: list[str] = []

        async def work() -> None:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                await asyncio.sleep(0)
                ended.append("cleaned up")
                raise

        async with Background() as background:
            rest = background.begin(work())
            assert rest is not None
            rest.cancel()
            await background.settle()
            assert (ended, rest.cancelled()) == (["cleaned up"], True)

    async def test_leaving_cancels_what_does_not_end(self):
        ended: list[str] = []

        async def endless() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ended.append("endless")

        async with Background(grace=0.01) as background:
            background.begin(endless())
        assert (ended, len(background)) == (["endless"], 0)

    @pytest.mark.parametrize("steps", [0, 1, 2])
    async def test_what_it_raises_is_logged_wherever_it_is(self, steps, caplog: pytest.LogCaptureFixture):
        async def fail() -> None:
            for _ in range(steps):
                await asyncio.sleep(0)
            raise ValueError("for a reason")

        with caplog.at_level(logging.ERROR):
            async with Background() as background:
                rest = background.begin(fail())
                assert (rest is None) == (steps == 0)
                await background.settle()
        assert [record.getMessage() for record in caplog.records] == ["A background task failed"]
        assert "for a reason" in caplog.text

    async def test_a_cancelled_future_in_its_first_step_does_not_harm_the_caller(self):
        # The caller is often the event loop itself, reading from a socket, which would be closed for it.
        cancelled = asyncio.get_running_loop().create_future()
        cancelled.cancel()

        async def work() -> None:
            await cancelled

        async with Background() as background:
            background.begin(work())
            await background.settle()

    async def test_an_exception_that_is_caught_goes_on(self):
        done: list[str] = []
        future = asyncio.get_running_loop().create_future()

        async def work() -> None:
            try:
                await future
            except KeyError:
                await asyncio.sleep(0)
                done.append("after it")

        async with Background() as background:
            background.begin(work())
            await asyncio.sleep(0)
            future.set_exception(KeyError())
            await background.settle()
        assert done == ["after it"]

    async def test_context_variables_are_its_own_and_can_be_reset(self):
        variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="before")
        seen: list[str] = []

        async def work() -> None:
            token = variable.set("inside")
            await asyncio.sleep(0)
            seen.append(variable.get())
            variable.reset(token)
            seen.append(variable.get())

        async with Background() as background:
            background.begin(work())
            seen.append(variable.get())
            await background.settle()
        assert seen == ["before", "inside", "before"]

    @settings(max_examples=100, deadline=None)
    @given(
        st.lists(st.sampled_from(["sleep", "ready", "later", "together", "fail", "cancel"]), max_size=8),
        st.lists(st.integers(0, 3), max_size=8),
    )
    async def test_it_ends_as_a_task_would(self, steps, turns):
        """The same coroutine, begun and as a task, comes to the same end."""

        async def work(log: list[str]) -> None:
            for step in steps:
                try:
                    log.append(await STEPS[step](asyncio.get_running_loop()))
                except LookupError as error:
                    log.append(repr(error))
                except asyncio.CancelledError:
                    log.append("cancelled")
            log.append("end")

        begun: list[str] = []
        as_task: list[str] = []
        async with Background() as background:
            background.begin(work(begun))
            for number in turns:
                for _ in range(number):
                    await asyncio.sleep(0)
            await background.settle()
            background.start(work(as_task))
            await background.settle()
        assert begun == as_task
        assert begun[-1] == "end"


async def sleep(_: asyncio.AbstractEventLoop) -> str:
    await asyncio.sleep(0)
    return "slept"


async def ready(loop: asyncio.AbstractEventLoop) -> str:
    future: asyncio.Future[str] = loop.create_future()
    future.set_result("ready")
    return await future


async def later(loop: asyncio.AbstractEventLoop) -> str:
    future: asyncio.Future[str] = loop.create_future()
    loop.call_soon(future.set_result, "later")
    return await future


async def together(loop: asyncio.AbstractEventLoop) -> str:
    return " ".join(await asyncio.gather(later(loop), sleep(loop)))


async def fail(loop: asyncio.AbstractEventLoop) -> str:
    future: asyncio.Future[str] = loop.create_future()
    loop.call_soon(future.set_exception, LookupError("fail"))
    return await future


async def cancel(loop: asyncio.AbstractEventLoop) -> str:
    future: asyncio.Future[str] = loop.create_future()
    loop.call_soon(future.cancel)
    return await future


STEPS = {each.__name__: each for each in (sleep, ready, later, together, fail, cancel)}
