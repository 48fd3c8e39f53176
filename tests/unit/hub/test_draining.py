"""Sending everybody away: when they are told, when they come back, and what they receive until then."""

import asyncio
import logging
import math
from collections.abc import Sequence

import pytest
from stage import Guest, Stage, quiet, room, turns, types

from hubbub.codes import CloseCode
from hubbub.exceptions import Restarting
from hubbub.hub.draining import AHEAD, GENTLE, LEAD, LINGER

ROOM = "room:a"
RESTARTING = (1012, "The server is restarting")
TICK = 0.1


class Crowd:
    """Guests who are watched while time passes: when each was told, when it comes back, and when it was closed.

    Args:
        stage: where they are.
        guests: who.
        obedient: whether they leave at the moment they were told.
    """

    def __init__(self, stage: Stage, guests: Sequence[Guest], *, obedient: bool = False) -> None:
        self._stage = stage
        self._left = list(guests)
        self._obedient = obedient
        self._began_at = stage.clock.monotonic()
        self.told: list[float] = []
        self.after: list[float] = []
        self.returns: list[float] = []
        self.closed: list[float] = []
        self._due: dict[Guest, float] = {}

    @property
    def now(self) -> float:
        return self._stage.clock.monotonic() - self._began_at

    async def look(self) -> None:
        """See what has happened."""
        for guest in tuple(self._left):
            for message in guest.news():
                if message["type"] == "reconnect":
                    self.told.append(self.now)
                    self.after.append(message["after"])
                    self._due[guest] = self.now + message["after"]
                    self.returns.append(self._due[guest])
            if guest.outlet.closed_with is not None:
                assert guest.outlet.closed_with == RESTARTING
                assert guest in self._due, "closed before it was told"
                self.closed.append(self.now)
                self._left.remove(guest)
                await guest.leave(clean=False)
            elif self._obedient and self._due.get(guest, math.inf) <= self.now:
                self._left.remove(guest)
                await guest.leave(clean=True)

    async def go_away(self, within: float) -> float:
        """Let time pass until nobody is left; return how long that took."""
        await self.look()
        while self._left:
            assert self.now < within
            await self._stage.pass_time(TICK)
            await self.look()
        await self._stage.pass_time(0.3)
        return self.now


def most_in_a_second(moments: Sequence[float]) -> int:
    ordered = sorted(moments)
    return max(sum(1 for other in ordered[index:] if other < each + 1) for index, each in enumerate(ordered))


async def entered(stage: Stage, number: int) -> list[Guest]:
    return [await stage.enter(f"u{index}") for index in range(number)]


async def test_with_nobody_there_it_is_over_at_once():
    async with Stage() as stage:
        draining = stage.node.draining
        assert (draining.is_begun, draining.is_over) == (False, False)
        async with asyncio.timeout(5):
            await draining.run()
        assert (draining.is_begun, draining.is_over) == (True, True)


async def test_one_is_told_then_closed_and_then_it_is_over():
    async with Stage() as stage:
        crowd = Crowd(stage, await entered(stage, 1))
        run = stage.start(stage.node.draining.run())
        await turns()
        await crowd.go_away(within=2)
        assert crowd.told == [0]
        assert LEAD <= crowd.after[0] <= LEAD + 1 / GENTLE
        assert crowd.after[0] + LINGER <= crowd.closed[0] <= crowd.after[0] + LINGER + 0.2 + TICK
        await turns()
        assert run.done()


async def test_who_comes_back_in_time_is_not_waited_for():
    async with Stage() as stage:
        crowd = Crowd(stage, await entered(stage, 20), obedient=True)
        stage.node.draining.begin()
        assert await crowd.go_away(within=2) < LEAD + AHEAD + 0.5
        assert crowd.closed == []
        assert stage.node.draining.is_over
        assert stage.node.statistics.closes == {}


async def test_a_few_go_at_a_gentle_pace():
    async with Stage(quiet(), drain=15) as stage:
        crowd = Crowd(stage, await entered(stage, 150))
        stage.node.draining.begin()
        took = await crowd.go_away(within=5)
        assert 150 / GENTLE < took < 150 / GENTLE + LEAD + LINGER + 0.6
        assert most_in_a_second(crowd.returns) <= GENTLE + 1


@pytest.mark.parametrize("late", [1, 7])
async def test_many_come_back_no_faster_than_the_rate_however_late_the_timers_are(late):
    seconds, number = 3.0, 600
    rate = number / (2 / 3 * seconds)
    assert rate > GENTLE
    async with Stage(quiet(), drain=seconds) as stage:
        guests = await entered(stage, number)
        crowd = Crowd(stage, guests)
        stage.node.draining.begin()
        await crowd.look()
        assert len(crowd.told) <= math.ceil(AHEAD * rate) + 1
        while crowd.now < seconds:
            await stage.pass_time(TICK * late)
            await crowd.look()
        assert len(crowd.told) == number
        assert len(set(crowd.told)) > 2
        assert most_in_a_second(crowd.returns) <= rate + 1
        assert len({round(each, 3) for each in crowd.after}) > number / 10
        if late == 1:
            assert max(crowd.returns) < 2 / 3 * seconds + LEAD + 0.2
            assert max(crowd.after) < LEAD + AHEAD + 0.1
        assert stage.node.draining.is_over


async def test_what_is_published_reaches_everybody_until_their_close():
    async with Stage(quiet()) as stage:
        guests = await entered(stage, 3)
        for guest in guests:
            await guest.join("a")
            guest.news()
        stage.node.draining.begin()
        await stage.say(ROOM, "before the close")
        heard = [guest.news() for guest in guests]
        assert [types(each) for each in heard] == [["reconnect", "message"]] * 3
        await stage.pass_time(2)
        await stage.say(ROOM, "after it")
        assert [guest.news() for guest in guests] == [[]] * 3
        assert {guest.outlet.closed_with for guest in guests} == {RESTARTING}


async def test_commands_are_carried_out_until_the_close():
    async with Stage(quiet()) as stage:
        (ada,) = await entered(stage, 1)
        await ada.join("a")
        stage.node.draining.begin()
        assert types(ada.news()) == ["reconnect"]
        answers = await ada.ask("message", room_id="a", content="last words", ref=1)
        assert sorted(types(answers)) == ["ack", "message"]


async def test_a_slow_session_is_told_and_holds_nothing_up():
    async with Stage(quiet(), drain=5) as stage:
        ada, bob = await entered(stage, 2)
        await ada.join("a")
        ada.outlet.stall()
        await stage.say(ROOM, "one")
        assert ada.session.slow
        stage.node.draining.begin()
        assert types(bob.news()) == ["reconnect"]
        await stage.pass_time(2)
        assert ada.outlet.closed_with == bob.outlet.closed_with == RESTARTING
        await stage.pass_time(1.2)
        assert ada.outlet.aborted
        await ada.leave(clean=False)
        await bob.leave(clean=False)
        await stage.pass_time(0.5)
        assert stage.node.draining.is_over


async def test_when_the_time_is_over_everybody_is_told_and_closed(caplog: pytest.LogCaptureFixture):
    async with Stage(quiet(), drain=2) as stage:
        guests = await entered(stage, 500)
        crowd = Crowd(stage, guests)
        run = stage.start(stage.node.draining.run())
        await turns()
        await crowd.look()
        with caplog.at_level(logging.WARNING):
            await stage.pass_time(2.3)  # nothing ran for two seconds
        await crowd.look()
        assert run.done()
        assert len(crowd.told) == len(crowd.closed) == 500
        assert most_in_a_second(crowd.returns) <= 500 / (2 / 3 * 2) + 1
        assert "500 connections were still there" in caplog.text


async def test_cut_short_it_closes_everybody_at_once():
    async with Stage(quiet()) as stage:
        guests = await entered(stage, 300)
        run = stage.start(stage.node.draining.run())
        await turns()
        told = sum(types(guest.news()) == ["reconnect"] for guest in guests)
        assert 0 < told < 300
        run.cancel()
        await turns()
        assert {guest.outlet.closed_with for guest in guests} == {RESTARTING}
        assert sum(types(guest.news()) == ["reconnect"] for guest in guests) == 300 - told
        assert stage.node.draining.is_over
        assert stage.node.statistics.closes == {1012: 300}


async def test_from_its_beginning_on_nobody_is_taken_in():
    async with Stage() as stage:
        (ada,) = await entered(stage, 1)
        late = [stage.guest(f"late{number}") for number in range(3)]
        stage.node.draining.begin()
        told = []
        for guest in late:
            with pytest.raises(Restarting) as caught:
                await stage.node.connections.open(guest.session)
            told.append(caught.value.after)
        assert told == sorted(set(told)), "they share the slots of those who were here"
        assert min(told) > ada.news()[0]["after"]
        assert len(stage.node.connections) == 1


async def test_one_who_is_being_welcomed_is_told_nothing_before_that():
    async with Stage() as stage:
        stage.broker.hold("subscribe")
        guest = stage.guest("ada")
        opening = stage.start(stage.node.connections.open(guest.session))
        held = await stage.broker.held()
        stage.node.draining.begin()
        assert guest.news() == []
        held.release()
        await opening
        assert types(guest.news()) == ["welcome"]
        await stage.pass_time(2)
        assert guest.outlet.closed_with == RESTARTING


@pytest.mark.parametrize("clean", [True, False])
async def test_who_goes_as_told_has_the_grace_whatever_they_say(clean):
    async with Stage(room(), grace=5) as stage:
        ada, bob = await entered(stage, 2)
        for guest in (ada, bob):
            await guest.join("a")
        await stage.all_told()
        ada.news()
        stage.node.draining.begin()
        await bob.leave(clean=clean)
        await stage.pass_time(0.2)
        assert types(ada.news()) == ["reconnect"]
        assert await stage.node.attendance.online(["u1"]) == {"u1"}


async def test_one_that_was_turned_out_has_left_all_the_same():
    async with Stage(room(), grace=5) as stage:
        (ada,) = await entered(stage, 1)
        stage.node.draining.begin()
        stage.node.connections.close(ada.session, CloseCode.FORBIDDEN, "out")
        await ada.leave(clean=False)
        assert await stage.node.attendance.online(["u0"]) == set()


async def test_it_begins_once():
    async with Stage() as stage:
        (ada,) = await entered(stage, 1)
        stage.node.draining.begin()
        stage.node.draining.begin()
        assert types(ada.news()) == ["reconnect"]


async def test_whoever_waits_for_its_beginning_goes_on_then():
    async with Stage() as stage:
        waiting = stage.start(stage.node.draining.until_begun())
        await turns()
        assert not waiting.done()
        stage.node.draining.begin()
        await turns()
        assert waiting.done()


async def test_its_log_says_how_many_and_how_long(caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.INFO):
        async with Stage(quiet(), drain=15) as stage:
            crowd = Crowd(stage, await entered(stage, 200), obedient=True)
            stage.node.draining.begin()
            await crowd.go_away(within=5)
    told = [record.getMessage() for record in caplog.records if record.name == "hubbub.hub.draining"]
    assert told[0] == "Draining: 200 connections, over 2 s, 100 a second."
    assert told[1].startswith("Drained after ")
    assert len(told) == 2
