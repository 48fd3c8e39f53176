"""One process: what it enters and leaves, its timers, and what it counts."""

import asyncio
import logging
from typing import Any

import pytest
from stage import Stage, quiet, room, turns, types

from hubbub.exceptions import ConfigurationError
from hubbub.hub.identity import Identity
from hubbub.hub.limits import Limits
from hubbub.hub.namespaces import Namespace, Publish, Subscribe
from hubbub.hub.statistics import Statistics

ROOM = "room:a"


@pytest.mark.parametrize(
    "namespace", [Namespace("room", subscribe=Subscribe.HOOK), Namespace("room", publish=Publish.HOOK)]
)
async def test_it_does_not_start_with_a_policy_that_asks_a_hook_nobody_wrote(namespace):
    with pytest.raises(ConfigurationError, match="no hook"):
        async with Stage(namespace):
            pass


async def test_at_its_end_every_session_is_told_to_come_back():
    async with Stage() as stage:
        guests = [await stage.enter(name) for name in ("ada", "bob", "")]
    assert {guest.outlet.closed_with for guest in guests} == {(1012, "The server is restarting")}
    assert stage.node.statistics.closes == {1012: 3}


async def test_at_its_end_nobody_waits_for_a_slow_session_any_more():
    async with Stage(quiet()) as stage:
        ada = await stage.enter("ada")
        await ada.join("a")
        ada.outlet.stall()
        await stage.say(ROOM, "one")
        assert (ada.session.slow, ada.outlet.proceeded) == (True, 0)
    assert (ada.session.closed, ada.outlet.proceeded) == (True, 1)


async def test_closing_a_slow_session_lets_its_reader_go_on():
    async with Stage(quiet(overflow_bytes=100)) as stage:
        ada = await stage.enter("ada")
        await ada.join("a")
        ada.outlet.stall()
        await stage.say(ROOM, "one")
        assert ada.outlet.proceeded == 0
        await stage.say(ROOM, "x" * 200)
        assert (ada.session.closed, ada.outlet.proceeded) == (True, 1)
        assert stage.node.turn._overflown == []


async def test_a_store_that_waits_has_a_task_around_it_at_the_end_of_a_session_too(monkeypatch):
    async with Stage(room(presence=True)) as stage:
        ada = await stage.enter("ada")
        await ada.join("a")
        tasks = []
        leave = stage.presence.leave

        async def leaving(lease):
            async with asyncio.timeout(5):
                tasks.append(asyncio.current_task())
                return await leave(lease)

        monkeypatch.setattr(stage.presence, "leave", leaving)
        monkeypatch.setattr(stage.node, "_immediate", False)
        asyncio.get_running_loop().call_soon(lambda: stage.node.end(ada.session, clean=True))
        await turns(3)
        await stage.settle()
        assert len(tasks) == 2
        assert None not in tasks
        assert await stage.node.attendance.online(["ada"]) == set()


async def test_its_own_task_turns_the_wheel():
    fired = asyncio.Event()
    async with Stage() as stage:
        stage.node.wheel.after(10, fired.set)
        stage.clock.advance(11)
        async with asyncio.timeout(5):
            await fired.wait()


async def test_a_sweep_that_takes_long_is_not_begun_twice():
    async with Stage() as stage:
        sweeps: list[asyncio.Event] = []
        expire = stage.presence.expire

        async def slow(telling: Any) -> list:
            sweeps.append(asyncio.Event())
            await sweeps[-1].wait()
            return await expire(telling)

        stage.presence.expire = slow  # type: ignore[method-assign]
        for _ in range(5):
            stage.clock.advance(1)
            stage.node.wheel.turn()
            await asyncio.sleep(0)
        assert len(sweeps) == 1
        sweeps[0].set()
        await stage.settle()
        stage.presence.expire = expire  # type: ignore[method-assign]


async def test_a_sweep_that_fails_is_logged_and_tried_again(caplog: pytest.LogCaptureFixture):
    async with Stage(grace=5) as stage:
        ada, bob = await stage.enter("ada"), await stage.enter("bob")
        for guest in (ada, bob):
            await guest.join("a")
        await bob.leave(clean=False)
        expire = stage.presence.expire

        async def broken(telling: Any) -> list:
            raise ConnectionError("no store")

        stage.presence.expire = broken  # type: ignore[method-assign]
        with caplog.at_level(logging.ERROR):
            await stage.pass_time(6)
        assert "no store" in caplog.text
        stage.presence.expire = expire  # type: ignore[method-assign]
        await stage.pass_time(1)
        assert types(ada.news())[-1] == "user_left"


async def test_repeated_work_goes_on_after_a_failure(caplog: pytest.LogCaptureFixture):
    rounds: list[int] = []

    def work() -> None:
        rounds.append(1)
        raise ValueError("of this round")

    async with Stage() as stage:
        stage.node.repeat(1.0, work)
        with caplog.at_level(logging.ERROR):
            for _ in range(3):
                await stage.pass_time(1.2)
    assert len(rounds) == 3


async def test_sessions_have_a_rate_of_their_own():
    async with Stage(limits=Limits(message_rate=1)) as stage:
        ada, bob = await stage.enter("ada"), await stage.enter("bob")
        assert types(await ada.ask("ping")) == ["pong"]
        assert types(await ada.ask("ping")) == ["error"]
        assert types(await bob.ask("ping")) == ["pong"]


async def test_what_is_counted():
    async with Stage(room()) as stage:
        ada = await stage.enter("ada")
        joined = await ada.join("a")
        await stage.say(ROOM, "one")
        for offset in (0, 9):
            await ada.join("a", since={"epoch": joined["epoch"], "offset": offset})
        statistics = stage.node.statistics
        assert statistics.connections == 1
        assert statistics.recoveries == {"recovered": 1, "unrecovered": 1}
        assert statistics.publications >= 1


def test_counting():
    table: dict[str, int] = {}
    Statistics.count(table, "a")
    Statistics.count(table, "a", 4)
    assert table == {"a": 5}
    assert Statistics().recoveries is not Statistics().recoveries


async def test_two_nodes_share_nothing():
    async with Stage() as one, Stage() as other:
        ada = await one.enter("ada")
        await ada.join("a")
        await other.say(ROOM, "elsewhere")
        assert ada.news() == []
        assert len(other.node.connections) == 0
        assert isinstance(ada.session.identity, Identity)
