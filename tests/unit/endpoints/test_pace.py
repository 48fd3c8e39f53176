"""A few in each turn of the event loop, in their order, and nobody is forgotten."""

import asyncio

from hubbub.endpoints.pace import Pace


async def test_so_many_in_each_turn_and_in_their_order():
    pace, begun = Pace(at_once=3), []

    async def begin(number: int) -> None:
        await pace.step()
        begun.append(number)

    tasks = [asyncio.ensure_future(begin(number)) for number in range(10)]
    by_turn = []
    while not all(task.done() for task in tasks):
        before = len(begun)
        await asyncio.sleep(0)
        by_turn.append(len(begun) - before)
    assert begun == list(range(10))
    assert max(by_turn) == 3
    assert by_turn[0] == 3


async def test_others_have_their_turns_in_between():
    pace, log = Pace(at_once=1), []

    async def begin() -> None:
        await pace.step()
        log.append("storm")

    async def other() -> None:
        for _ in range(5):
            log.append("other")
            await asyncio.sleep(0)

    await asyncio.gather(*(begin() for _ in range(5)), other())
    assert log.index("other") < 3
    assert "storm" in log[log.index("other") : len(log) - log[::-1].index("other")]


async def test_a_turn_later_there_is_room_at_once():
    pace = Pace(at_once=2)
    for _ in range(3):
        await asyncio.gather(pace.step(), pace.step())
        await asyncio.sleep(0)
        step = pace.step()
        try:
            step.send(None)  # it does not wait
        except StopIteration:
            pass
        else:
            raise AssertionError("it waited")
        await asyncio.sleep(0)


async def test_one_that_gives_up_takes_nobodys_place():
    pace = Pace(at_once=1)
    first, given_up, next_one = (asyncio.ensure_future(pace.step()) for _ in range(3))
    await asyncio.sleep(0)
    given_up.cancel()
    async with asyncio.timeout(1):
        await asyncio.gather(first, next_one)
    assert given_up.cancelled()
