"""Subscriptions on one server, in orders that a real one is seldom seen in."""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

import pytest
from scripted import Scripted, push, scripted, soon

from hubbub.brokers.redis import listener as module
from hubbub.brokers.redis.errors import Moved, NotSent, Refused
from hubbub.brokers.redis.listener import SUBSCRIBE, UNSUBSCRIBE, Listener


def confirm(command: list[bytes]) -> bytes:
    return push(command[0].lower(), command[1], 1)


class Heard:
    def __init__(self, server: Scripted) -> None:
        self.messages: list[tuple[bytes, bytes]] = []
        self.moved: list[bytes] = []
        self.interruptions = 0
        self.resumed: list[set[bytes]] = []
        self.listener = Listener(
            server.dial,
            lambda channel, payload: self.messages.append((channel, payload)),
            self.moved.append,
            self._interrupted,
            self._resume,
        )

    def _interrupted(self) -> None:
        self.interruptions += 1

    async def _resume(self, channels: Collection[bytes]) -> None:
        self.resumed.append(set(channels))


@asynccontextmanager
async def hearing(server: Scripted) -> AsyncIterator[Heard]:
    heard = Heard(server)
    heard.listener.start()
    try:
        async with asyncio.timeout(2):
            await heard.listener.ready()
        yield heard
        assert not heard.listener._commands or server.answer is not confirm
    finally:
        await heard.listener.stop()
        assert heard.listener._confirming.keys() <= heard.listener.channels


async def test_a_channel_is_heard_from_its_confirmation_on():
    async with scripted(lambda command: None) as server, hearing(server) as heard:
        subscribing = asyncio.create_task(heard.listener.subscribe(b"a"))
        await server.asked(1)
        assert not subscribing.done()
        server.send(push(SUBSCRIBE, b"a", 1) + push(b"smessage", b"a", b"hello"))
        await subscribing
        await soon(lambda: heard.messages == [(b"a", b"hello")])


async def test_subscribing_again_waits_for_its_own_confirmation():
    async with scripted(lambda command: None) as server, hearing(server) as heard:
        first = asyncio.create_task(heard.listener.subscribe(b"a"))
        await server.asked(1)
        heard.listener.unsubscribe(b"a")
        second = asyncio.create_task(heard.listener.subscribe(b"a"))
        await server.asked(3)
        await first
        server.send(push(SUBSCRIBE, b"a", 1) + push(UNSUBSCRIBE, b"a", 0) + push(b"smessage", b"b", b"1"))
        await soon(lambda: heard.messages)
        assert not second.done(), "the confirmation was that of the one before"
        server.send(push(SUBSCRIBE, b"a", 1))
        await second
        assert heard.moved == []


async def test_who_gives_up_leaves_nothing_behind():
    async with scripted(lambda command: None) as server, hearing(server) as heard:
        subscribing = asyncio.create_task(heard.listener.subscribe(b"a"))
        await server.asked(1)
        subscribing.cancel()
        await asyncio.wait([subscribing])
        await server.asked(2)
        assert [command[0] for command in server.commands] == [b"ssubscribe", b"sunsubscribe"]
        assert not heard.listener.channels
        assert not heard.listener._confirming


async def test_a_subscription_that_is_not_confirmed_in_time(monkeypatch):
    monkeypatch.setattr(module, "CONFIRMATION", 0.05)
    async with scripted(lambda command: None) as server, hearing(server) as heard:
        with pytest.raises(NotSent, match="slow"):
            await heard.listener.subscribe(b"a")
        assert not heard.listener.channels


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (b"-MOVED 1 127.0.0.1:1\r\n", Moved),
        (b"-CLUSTERDOWN Hash slot not served\r\n", Moved),
        (b"-NOPERM no permissions\r\n", Refused),
        (b"-ERR no\r\n", NotSent),
    ],
)
async def test_a_refusal_is_told_to_whoever_asked(said, error):
    def answer(command: list[bytes]) -> bytes:
        return said if command[1] == b"a" else confirm(command)

    async with scripted(answer) as server, hearing(server) as heard:
        with pytest.raises(error):
            await heard.listener.subscribe(b"a")
        await heard.listener.subscribe(b"b")
        assert heard.listener.channels == {b"b"}


async def test_a_channel_that_the_server_takes_away_is_told_once():
    async with scripted(confirm) as server, hearing(server) as heard:
        await heard.listener.subscribe(b"a")
        server.send(push(UNSUBSCRIBE, b"a", 0) + push(UNSUBSCRIBE, b"never", 0))
        await soon(lambda: heard.moved)
        await heard.listener.subscribe(b"b")
        assert heard.moved == [b"a"]
        assert heard.listener.channels == {b"b"}


async def test_after_a_break_everything_is_subscribed_to_and_then_read():
    async with scripted(confirm) as server, hearing(server) as heard:
        for channel in (b"a", b"b", b"c"):
            await heard.listener.subscribe(channel)
        heard.listener.unsubscribe(b"c")
        await server.asked(4)
        server.answer = lambda command: b"-MOVED 1 h:1\r\n" if command[1] == b"b" else confirm(command)
        server.connections[-1].close()
        await soon(lambda: len(heard.resumed) == 2)
        assert heard.interruptions == 1
        assert heard.resumed[-1] == {b"a"}
        assert heard.moved == [b"b"]
        await heard.listener.ready()


async def test_subscribing_while_there_is_no_connection(monkeypatch):
    async with scripted(confirm) as server, hearing(server) as heard:
        heard.listener.fail("for the test")
        subscribing = [asyncio.create_task(heard.listener.subscribe(b"%d" % each)) for each in range(20)]
        await asyncio.sleep(0)
        heard.listener.unsubscribe(b"3")
        await asyncio.gather(*subscribing)
        assert heard.listener.channels == {b"%d" % each for each in range(20) if each != 3}


async def test_a_confirmation_that_nobody_asked_for_ends_the_connection():
    async with scripted(confirm) as server, hearing(server) as heard:
        server.send(push(SUBSCRIBE, b"a", 1))
        await soon(lambda: len(server.connections) == 2)
        assert heard.interruptions == 1


async def test_an_error_that_answers_nothing_ends_the_connection():
    async with scripted(confirm) as server, hearing(server):
        server.send(b"-ERR something\r\n")
        await soon(lambda: len(server.connections) == 2)
