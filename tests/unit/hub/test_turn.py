"""The end of a turn of the event loop: what is let go, and in what order."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest
from stage import Stage, quiet, turns, types

from hubbub.hub.audience import CROWD
from hubbub.hub.statistics import Statistics
from hubbub.hub.turn import LONGEST_REST, REST, REST_AFAR, SHORTEST_REST, Turn
from hubbub.testing import FakeClock


class Part:
    """A feed or an outlet that says when it is flushed, and then does what the test wants."""

    def __init__(self, log: list[str], name: str, *, is_crowd: bool = False) -> None:
        self.log = log
        self.name = name
        self.is_crowd = is_crowd
        self.then: Callable[[], object] = lambda: None

    def flush(self) -> None:
        self.log.append(self.name)
        self.then()


class Scene:
    """A turn whose end is called by the test."""

    def __init__(self, rest: float = REST) -> None:
        self.log: list[str] = []
        self.scheduled: list[Callable[[], None]] = []
        self.clock = FakeClock()
        self.timers: list[tuple[float, Callable[[], None]]] = []
        self.turn = Turn(self.scheduled.append, self._later, self.clock, self._overflow, Statistics(), rest)

    def _later(self, seconds: float, callback: Callable[[], None]) -> None:
        self.timers.append((seconds, callback))

    def _overflow(self, session: Any) -> None:
        self.log.append(f"closed {session}")

    def feed(self, name: str) -> Part:
        return Part(self.log, name)

    def crowd(self, name: str) -> Part:
        return Part(self.log, name, is_crowd=True)

    def slow_crowd(self, name: str, seconds: float) -> Part:
        """A crowd that takes so long to write to."""
        crowd = self.crowd(name)
        crowd.then = lambda: self.clock.advance(seconds)
        return crowd

    def outlet(self, name: str) -> Part:
        return Part(self.log, name)

    def overflown(self, name: Any) -> None:
        self.turn.overflown(name)

    def rest(self) -> float:
        """Let the one rest end that there is; return how long it was."""
        ((seconds, callback),) = self.timers
        self.timers.clear()
        callback()
        return seconds

    def end(self) -> list[str]:
        """Do what was scheduled, once; return what happened."""
        self.log.clear()
        scheduled = self.scheduled[:]
        self.scheduled.clear()
        for callback in scheduled:
            callback()
        return self.log[:]


def test_small_feeds_then_outlets_then_crowds_then_who_fell_too_far_behind():
    scene = Scene()
    scene.overflown("ada")
    scene.turn.put_off(scene.crowd("crowd 1"))
    scene.turn.put_off_outlet(scene.outlet("outlet 1"))
    scene.turn.put_off(scene.feed("feed 1"))
    scene.turn.put_off(scene.crowd("crowd 2"))
    scene.turn.put_off_outlet(scene.outlet("outlet 2"))
    scene.turn.put_off(scene.feed("feed 2"))
    assert scene.log == []
    assert scene.end() == [
        "feed 1",
        "feed 2",
        "outlet 1",
        "outlet 2",
        "crowd 1",
        "crowd 2",
        "closed ada",
    ]
    assert (scene.end(), scene.scheduled) == ([], [])


@pytest.mark.parametrize("first", ["feed", "outlet", "overflown"])
def test_the_end_is_scheduled_once(first):
    scene = Scene()
    steps = {
        "feed": lambda: scene.turn.put_off(scene.feed("feed")),
        "outlet": lambda: scene.turn.put_off_outlet(scene.outlet("outlet")),
        "overflown": lambda: scene.overflown("ada"),
    }
    for name in (first, *steps):
        steps[name]()
    assert len(scene.scheduled) == 1
    scene.end()
    steps[first]()
    assert len(scene.scheduled) == 1


def test_what_a_feed_gives_an_outlet_at_the_end_leaves_at_the_same_end():
    scene = Scene()
    feed, outlet = scene.feed("feed"), scene.outlet("outlet")
    feed.then = lambda: scene.turn.put_off_outlet(outlet)
    scene.turn.put_off(feed)
    assert scene.end() == ["feed", "outlet"]


def test_an_outlet_that_has_something_again_is_asked_again_before_the_crowds():
    scene = Scene()
    outlet, crowd = scene.outlet("outlet"), scene.crowd("crowd")
    again = scene.outlet("again")
    outlet.then = lambda: scene.turn.put_off_outlet(again)
    scene.turn.put_off(crowd)
    scene.turn.put_off_outlet(outlet)
    assert scene.end() == ["outlet", "again", "crowd"]


@pytest.mark.parametrize("late", ["feed", "crowd", "outlet", "overflown"])
@pytest.mark.parametrize("during", ["feed", "outlet", "crowd"])
def test_nothing_is_lost_that_comes_during_the_end(during, late):
    scene = Scene()
    parts = {"feed": scene.feed("feed"), "outlet": scene.outlet("outlet"), "crowd": scene.crowd("crowd")}
    lates: dict[str, Callable[[], object]] = {
        "feed": lambda: scene.turn.put_off(scene.feed("late")),
        "crowd": lambda: scene.turn.put_off(scene.crowd("late")),
        "outlet": lambda: scene.turn.put_off_outlet(scene.outlet("late")),
        "overflown": lambda: scene.overflown("late"),
    }
    parts[during].then = lates[late]
    scene.turn.put_off(parts["feed"])
    scene.turn.put_off(parts["crowd"])
    scene.turn.put_off_outlet(parts["outlet"])
    if late == "outlet" and during != "crowd":
        expected = ["feed", "outlet", "late", "crowd"]
    else:
        expected = ["feed", "outlet", "crowd", "closed late" if late == "overflown" else "late"]
    assert scene.end() + scene.end() == expected
    scene.turn.put_off(scene.feed("next"))
    assert scene.end() == ["next"]


def test_who_is_closed_may_make_another_one_fall_behind():
    log: list[Any] = []
    scheduled: list[Callable[[], None]] = []

    def overflow(session: Any) -> None:
        log.append(session)
        if session == "ada":
            turn.overflown("bob")  # type: ignore[arg-type]

    turn = Turn(scheduled.append, lambda *_: None, FakeClock(), overflow, Statistics())
    turn.overflown("ada")  # type: ignore[arg-type]
    while scheduled:
        scheduled.pop()()
    assert log == ["ada", "bob"]


def test_one_that_cannot_be_closed_deafens_nobody(caplog: pytest.LogCaptureFixture):
    scheduled: list[Callable[[], None]] = []
    log: list[str] = []

    def overflow(session: Any) -> None:
        raise RuntimeError(f"{session} cannot be closed")

    turn = Turn(scheduled.append, lambda *_: None, FakeClock(), overflow, Statistics())
    turn.overflown("ada")  # type: ignore[arg-type]
    scheduled.pop()()
    turn.put_off(Part(log, "feed"))
    scheduled.pop()()
    assert log == ["feed"]
    assert "ada cannot be closed" in caplog.text


def test_outlets_can_be_flushed_before_the_end_and_are_not_flushed_twice():
    scene = Scene()
    scene.turn.put_off(scene.feed("feed"))
    scene.turn.put_off_outlet(scene.outlet("outlet"))
    scene.turn.flush_outlets()
    assert scene.log == ["outlet"]
    assert scene.end() == ["feed"]


@pytest.mark.parametrize("broken", ["feed", "outlet", "crowd"])
def test_one_that_fails_holds_up_nobody_else(broken, caplog: pytest.LogCaptureFixture):
    # Whoever is taken off the list and not flushed would never put anything off again: deaf, or mute, for ever.
    scene = Scene()

    def fail() -> None:
        raise RuntimeError("the handler is closed")

    parts = {"feed": scene.feed("feed"), "outlet": scene.outlet("outlet"), "crowd": scene.crowd("crowd")}
    parts[broken].then = fail
    for crowd in (parts["crowd"], scene.crowd("crowd 2")):
        scene.turn.put_off(crowd)
    for feed in (parts["feed"], scene.feed("feed 2")):
        scene.turn.put_off(feed)
    for outlet in (parts["outlet"], scene.outlet("outlet 2")):
        scene.turn.put_off_outlet(outlet)
    scene.overflown("ada")
    with caplog.at_level(logging.ERROR):
        happened = scene.end()
    assert happened == ["feed", "feed 2", "outlet", "outlet 2", "crowd", "crowd 2", "closed ada"]
    assert "the handler is closed" in caplog.text


class TestRest:
    def test_what_comes_while_a_crowd_rests_is_flushed_once_when_it_has_rested(self):
        scene = Scene()
        crowd = scene.slow_crowd("crowd", 0.02)
        scene.turn.put_off(crowd)
        assert scene.end() == ["crowd"]
        for _ in range(3):
            scene.turn.put_off(crowd)
            assert scene.end() == []
        assert scene.rest() == pytest.approx(0.02 * REST)
        assert scene.end() == ["crowd"]
        scene.rest()
        assert (scene.end(), scene.scheduled, scene.timers) == ([], [], [])
        scene.turn.put_off(crowd)
        assert scene.end() == ["crowd"]

    def test_it_rests_for_longer_where_the_broker_is_another_process(self):
        scene = Scene(REST_AFAR)
        scene.turn.put_off(scene.slow_crowd("crowd", 0.02))
        scene.end()
        assert scene.rest() == pytest.approx(0.02)

    def test_a_crowd_to_which_nothing_comes_is_left_alone(self):
        scene = Scene()
        scene.turn.put_off(scene.slow_crowd("crowd", 0.02))
        scene.end()
        scene.rest()
        assert (scene.end(), scene.scheduled, scene.timers) == ([], [], [])

    def test_nobody_else_waits_for_it(self):
        scene = Scene()
        crowd = scene.slow_crowd("crowd", 0.02)
        scene.turn.put_off(crowd)
        scene.end()
        scene.turn.put_off(crowd)
        scene.turn.put_off(scene.crowd("another"))
        scene.turn.put_off(scene.feed("feed"))
        scene.turn.put_off_outlet(scene.outlet("outlet"))
        scene.overflown("ada")
        assert scene.end() == ["feed", "outlet", "another", "closed ada"]

    @pytest.mark.parametrize("seconds", [0.0, 0.9 * SHORTEST_REST / REST])
    def test_a_small_one_does_not_rest(self, seconds):
        scene = Scene()
        crowd = scene.slow_crowd("crowd", seconds)
        for _ in range(3):
            scene.turn.put_off(crowd)
            assert scene.end() == ["crowd"]
        assert scene.timers == []

    def test_a_process_that_was_stopped_in_the_middle_does_not_rest_for_long(self):
        scene = Scene()
        scene.turn.put_off(scene.slow_crowd("crowd", 3600.0))
        scene.end()
        assert scene.rest() == LONGEST_REST

    def test_one_that_has_shrunk_is_flushed_with_the_small_ones(self):
        scene = Scene()
        crowd = scene.slow_crowd("crowd", 0.02)
        scene.turn.put_off(crowd)
        scene.end()
        crowd.is_crowd = False
        scene.turn.put_off(crowd)
        assert scene.end() == ["crowd"]


class TestOfANode:
    async def test_everything_of_one_turn_is_one_frame_and_the_loop_ends_the_turn_by_itself(self):
        async with Stage(quiet()) as stage:
            ada = await stage.enter("ada")
            await ada.join("a")
            frames = ada.outlet.progress
            for number in range(5):
                await stage.node.publisher.publish("room:a", "message", {"content": number})
            assert ada.outlet.progress == frames
            await turns(2)
            assert ada.outlet.progress == frames + 1
            assert [message["content"] for message in ada.outlet.sent[-5:]] == list(range(5))

    async def test_what_arrives_in_callbacks_of_the_same_round_is_joined(self):
        async with Stage(quiet()) as stage:
            ada = await stage.enter("ada")
            await ada.join("a")
            frames = ada.outlet.progress
            loop = asyncio.get_running_loop()

            async def publish(number: int) -> None:
                await stage.node.publisher.publish("room:a", "message", {"content": number})

            for number in range(3):  # as from three sockets that were readable at once
                loop.call_soon(stage.node.background.begin, publish(number))
            await turns(3)
            assert ada.outlet.progress == frames + 1
            assert ada.contents() == [0, 1, 2]

    async def test_who_fell_too_far_behind_is_closed_when_everybody_else_was_served(self):
        async with Stage(quiet(overflow_bytes=10)) as stage:
            ada, bob = await stage.enter("ada"), await stage.enter("bob")
            for guest in (ada, bob):
                await guest.join("a")
            ada.outlet.stall()
            await stage.say("room:a", "pauses")
            for _ in range(3):
                await stage.node.publisher.publish("room:a", "message", {"content": "too much"})
            assert ada.outlet.closed_with is None
            await turns(3)
            assert ada.outlet.closed_with == (4008, "Too slow: come back with your positions")
            assert stage.node.statistics.closes == {4008: 1}
            assert types(bob.news()) == ["message"] * 4

    async def test_a_crowd_that_rests_is_given_everything_when_it_has_rested(self):
        async with Stage(quiet()) as stage:
            guests = [await stage.enter(f"user {number}") for number in range(CROWD)]
            for guest in guests:
                await guest.join("a")
            first, written = guests[0].outlet, asyncio.Event()
            write_through = first.write_through

            def writing(frame: Any) -> None:
                stage.clock.advance(1.0)
                write_through(frame)
                if first.written_through == 2:
                    written.set()

            first.write_through = writing  # type: ignore[method-assign]
            for number in range(2):
                await stage.node.publisher.publish("room:a", "message", {"content": number})
                await turns(2)
            async with asyncio.timeout(5):
                await written.wait()
            await turns(2)
            assert guests[-1].contents() == [0, 1]
