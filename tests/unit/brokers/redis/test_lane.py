"""Commands to one server: what happens to them when their callers, their answers or the connection go away."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from redis.exceptions import ResponseError
from scripted import OK, Scripted, bulk, scripted, soon

from hubbub.brokers.redis.errors import NotSent, Refused, Unanswered
from hubbub.brokers.redis.lane import Lane


async def nothing() -> None:
    return


@asynccontextmanager
async def running(server: Scripted, greet: Callable[[], Awaitable[None]] = nothing) -> AsyncIterator[Lane]:
    lane = Lane(server.dial, greet)
    lane.start()
    try:
        yield lane
    finally:
        await lane.stop()
        assert len(asyncio.all_tasks()) - len(server.connections) <= 2, "something was left behind"


def echo(command: list[bytes]) -> bytes | None:
    return {b"ECHO": lambda: bulk(command[1]), b"FAIL": lambda: b"-ERR no\r\n", b"WAIT": lambda: None}[
        command[0]
    ]()


async def test_those_who_ask_at_once_each_get_their_own_answer():
    async with scripted(echo) as server, running(server) as lane:
        answers = await asyncio.gather(*(lane.ask("ECHO", number) for number in range(50)))
        assert answers == [b"%d" % number for number in range(50)]
        with pytest.raises(ResponseError, match="no"):
            await lane.ask("FAIL")


async def test_an_answer_that_comes_in_pieces():
    async with scripted(lambda command: None) as server, running(server) as lane:
        asking = [asyncio.create_task(lane.ask("ECHO", each)) for each in "ab"]
        await server.asked(2)
        data = bulk(b"first") + bulk(b"second")
        for at in range(len(data)):
            server.send(data[at : at + 1])
            await server.connections[-1].drain()
            await asyncio.sleep(0)
        assert await asyncio.gather(*asking) == [b"first", b"second"]


async def test_who_gives_up_does_not_get_the_next_ones_answer():
    async with scripted(lambda command: None) as server, running(server) as lane:
        first, second = (asyncio.create_task(lane.ask("ECHO", each)) for each in "ab")
        await server.asked(2)
        first.cancel()
        server.send(bulk(b"a") + bulk(b"b"))
        assert await second == b"b"


async def test_an_answer_that_nobody_asked_for_ends_the_connection(caplog):
    async with scripted(echo) as server, running(server) as lane:
        assert await lane.ask("ECHO", "a") == b"a"
        server.send(bulk(b"stray"))
        await soon(lambda: len(server.connections) == 2)
        assert await lane.ask("ECHO", "b") == b"b"
    assert "what nobody understands" in caplog.text


async def test_what_was_asked_when_the_connection_ends_is_unanswered():
    async with scripted(echo) as server, running(server) as lane:
        asking = [asyncio.create_task(lane.ask("WAIT")) for _ in range(3)]
        await server.asked(3)
        asking[0].cancel()
        server.connections[-1].close()
        for each in asking[1:]:
            with pytest.raises(Unanswered):
                await each
        assert await lane.ask("ECHO", "again") == b"again"


async def test_what_nobody_can_have_heard_is_not_sent(monkeypatch):
    monkeypatch.setattr("hubbub.brokers.redis.lane.PATIENCE", 0.05)

    async def refuse():
        raise NotSent("nobody is there")

    lane = Lane(refuse, nothing)
    lane.start()
    with pytest.raises(NotSent, match="nobody is there"):
        await lane.ask("ECHO", "a")
    with pytest.raises(NotSent):
        await lane.tell("ECHO", "a")
    await lane.stop()


async def test_nothing_else_is_sent_before_the_greeting_is_over():
    greeted = asyncio.Event()
    async with scripted(echo) as server, running(server, greeted.wait) as lane:
        asking = asyncio.create_task(lane.ask("ECHO", "a"))
        await soon(lambda: lane.is_connected)
        assert await lane.tell("ECHO", "greeting") == b"greeting"
        assert lane.problem is not None
        greeted.set()
        assert await asking == b"a"
        assert lane.problem is None
        assert [command[1] for command in server.commands] == [b"greeting", b"a"]


async def test_a_greeting_that_is_refused_ends_the_waiting():
    async def greet() -> None:
        raise Refused("too old")

    async with scripted(echo) as server, running(server, greet) as lane:
        with pytest.raises(Refused, match="too old"):
            await lane.ready()


async def test_leaving_while_it_connects():
    async with scripted(lambda command: OK) as server:
        lane = Lane(server.dial, nothing)
        lane.start()
        await asyncio.sleep(0)
        await lane.stop()
        await lane.stop()


async def test_a_greeting_that_fails_is_tried_again(caplog):
    caplog.set_level(logging.INFO)
    times: list[int] = []

    async def greet() -> None:
        times.append(1)
        if len(times) < 3:
            raise ZeroDivisionError if len(times) == 1 else NotSent("a replica")

    async with scripted(echo) as server, running(server, greet) as lane:
        assert await lane.ask("ECHO", "a") == b"a"
    assert "could not begin" in caplog.text
    assert "a replica" in caplog.text
