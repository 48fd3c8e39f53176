"""The canary: what is sent, what it proves, and what others can send in its place."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from redis.exceptions import NoPermissionError
from scripted import Scripted, push, scripted, soon

from hubbub.brokers.redis import vigil as module
from hubbub.brokers.redis.lane import Lane
from hubbub.brokers.redis.listener import Listener
from hubbub.brokers.redis.others import Peers
from hubbub.brokers.redis.vigil import Vigil
from hubbub.testing import FakeClock

CANARY = b"canary"


class Birds:
    """A server that carries canaries, or keeps one of the ways shut."""

    def __init__(self) -> None:
        self.answers = True
        self.carries = True
        self.refusal = b""
        self.server: Scripted | None = None

    def answer(self, command: list[bytes]) -> bytes | None:
        assert self.server is not None
        if command[0] == b"ssubscribe":
            self.listener = self.server.connections[-1]
            return push(b"ssubscribe", command[1], 1)
        if command[0] == b"EVAL":
            if self.refusal:
                return b"-%s\r\n" % self.refusal
            assert command[3] == b"written"
            command = [b"SPUBLISH", command[5], command[4]]
        if command[0] == b"SPUBLISH":
            if self.carries:
                self.listener.write(push(b"smessage", command[1], command[2]))
            return b":1\r\n" if self.answers else None
        return b"+OK\r\n"


class Watched:
    def __init__(self, server: Scripted) -> None:
        self.deaf = 0
        self.greeting = asyncio.Event()
        self.greeting.set()
        self.peers = Peers(FakeClock().monotonic)
        self.lane = Lane(server.dial, self._greet)
        self.listener = Listener(server.dial, self._arrived, print, lambda: None, self._resume)
        self.vigil = Vigil("me", "written", self.lane, self.listener, self.peers, lambda: "life", self._deaf)

    async def _greet(self) -> None:
        await self.greeting.wait()

    async def _resume(self, channels) -> None:
        return

    def _deaf(self) -> None:
        self.deaf += 1

    def _arrived(self, channel: bytes, payload: bytes) -> None:
        self.vigil.heard(payload)


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(module, "INTERVAL", 0.02)
    monkeypatch.setattr(module, "DEADLINE", 0.1)


@asynccontextmanager
async def watching(birds: Birds) -> AsyncIterator[Watched]:
    async with scripted(birds.answer) as birds.server:
        watched = Watched(birds.server)
        watched.lane.start()
        await watched.lane.ready()
        watched.listener.start()
        await watched.listener.subscribe(CANARY)
        watcher = asyncio.create_task(watched.vigil.watch(CANARY))
        try:
            yield watched
        finally:
            watcher.cancel()
            await asyncio.wait([watcher])
            await watched.vigil.say_goodbye(CANARY)
            await watched.listener.stop()
            await watched.lane.stop()


async def test_canaries_that_come_back_prove_both_ways():
    birds = Birds()
    async with watching(birds) as watched:
        await birds.server.asked(10)
        assert watched.deaf == 0
        assert len(birds.server.connections) == 2


async def test_a_redis_that_publishes_and_does_not_write_is_told(caplog):
    birds = Birds()
    async with watching(birds) as watched:
        await birds.server.asked(5)
        assert watched.vigil.refusal is None
        birds.refusal = b"OOM command not allowed"
        await soon(lambda: watched.vigil.refusal)
        assert watched.vigil.refusal == "Redis refuses to write: command not allowed"
        birds.carries = False
        await soon(lambda: watched.deaf)  # it is listened all the same
        birds.carries, birds.refusal = True, b"MOVED 1 other:1"
        await birds.server.asked(5)
        assert watched.vigil.refusal is not None
        birds.refusal = b""
        await soon(lambda: watched.vigil.refusal is None)
    assert caplog.text.count("nothing can be published") == 1


async def test_a_user_who_may_not_write_is_refused_at_once_and_a_full_server_is_not():
    birds = Birds()
    async with watching(birds) as watched:
        birds.refusal = b"OOM command not allowed"
        await watched.vigil.try_writing(CANARY)
        birds.refusal = b"NOPERM this user has no permissions"
        with pytest.raises(NoPermissionError):
            await watched.vigil.try_writing(CANARY)


async def test_a_canary_that_does_not_come_back_means_deaf(caplog):
    birds = Birds()
    async with watching(birds) as watched:
        birds.carries = False
        await soon(lambda: watched.deaf)
        birds.carries = True
        await soon(lambda: watched.listener.problem is None)
        assert watched.lane.problem is None
    assert "did not come back" in caplog.text


async def test_a_canary_that_is_not_answered_ends_both_connections():
    birds = Birds()
    async with watching(birds) as watched:
        birds.answers = birds.carries = False
        await soon(lambda: watched.deaf)
        birds.answers = birds.carries = True
        await soon(lambda: len(birds.server.connections) == 4)
        await soon(lambda: watched.lane.problem is None and watched.listener.problem is None)


async def test_a_lane_that_falls_silent_while_the_listener_is_away_is_given_up():
    birds = Birds()
    async with watching(birds) as watched:
        watched.listener.fail("for the test")
        watched.listener._line._dial = asyncio.Event().wait  # it does not come back
        birds.answers = False
        await soon(lambda: len(birds.server.connections) == 3)
        assert watched.deaf == 0, "it was known to be away"


async def test_a_lane_that_falls_silent_while_it_is_greeted_is_given_up():
    birds = Birds()
    async with watching(birds) as watched:
        watched.greeting.clear()
        watched.lane.fail("for the test")
        await soon(lambda: len(birds.server.connections) == 3)
        birds.answers = False
        await soon(lambda: len(birds.server.connections) == 4)
        birds.answers = True
        watched.greeting.set()
        await soon(lambda: watched.lane.problem is None)


async def test_other_nodes_canaries_and_junk():
    birds = Birds()
    async with watching(birds) as watched:
        watched.vigil.heard(b"other 1 life")
        watched.vigil.heard(b"third 1 another")
        assert watched.peers.outstanding("life") == {"third"}
        for junk in (b"", b"a b", b"a b c", b"\xff 1 x", b"me x life"):
            watched.vigil.heard(junk)
        watched.vigil.heard(b"third 0 leaving")
        assert watched.peers.outstanding("life") == set()
        assert watched.deaf == 0
