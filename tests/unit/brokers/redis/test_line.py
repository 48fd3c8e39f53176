"""A connection that is kept up."""

import asyncio

from scripted import OK, scripted, soon

from hubbub.brokers.redis.line import READ_AT_ONCE, Line


async def nothing() -> None:
    return


async def test_what_is_sent_in_one_turn_is_taken_in_order_and_others_have_their_turn():
    taken: list[bytes] = []
    async with scripted(lambda command: b"$%d\r\n%b\r\n" % (len(command[1]), command[1])) as server:
        line = Line(server.dial, nothing, taken.append, lambda reason: None, "test")
        line.start()
        await line.ready()
        number = READ_AT_ONCE * 4
        for each in range(number):
            line.send("ECHO", each)
        turns = 0
        while len(taken) < number:
            await asyncio.sleep(0)
            turns += 1
        assert taken == [b"%d" % each for each in range(number)]
        assert turns >= 4
        await line.stop()


async def test_each_break_is_told_and_the_way_back_is_short():
    lost: list[str] = []
    async with scripted(lambda command: OK) as server:
        line = Line(server.dial, nothing, print, lost.append, "test")
        line.start()
        for number in range(1, 4):
            await line.ready()
            line.fail(f"break {number}")
            line.fail("again, which says nothing new")
            await soon(lambda number=number: len(lost) == number)
        await line.ready()
        assert lost == ["break 1", "break 2", "break 3"]
        await line.stop()
        assert lost[3:] == ["the hub stops"]
        assert not line.opened.is_set()


async def test_an_error_in_dialing_that_nobody_expects_is_tried_again(caplog):
    tries: list[int] = []
    async with scripted(lambda command: OK) as server:

        async def dial():
            tries.append(1)
            if len(tries) == 1:
                raise ZeroDivisionError
            return await server.dial()

        line = Line(dial, nothing, print, lambda reason: None, "test")
        line.start()
        await line.ready()
        await line.stop()
    assert "No connection for Redis's test" in caplog.text
