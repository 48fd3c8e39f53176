"""The timer wheel, held against a sorted list."""

import logging
import weakref

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubbub.hub.wheel import Timer, Wheel
from hubbub.testing import FakeClock

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("after"), st.floats(0, 40)),
        st.tuples(
            st.just("after"), st.sampled_from([25.5, 25.6, 25.7, 6_553.6, 1.6e6, 3e6]) | st.floats(0, 1e7)
        ),
        st.tuples(st.just("cancel"), st.integers(0, 30)),
        st.tuples(st.just("advance"), st.floats(0, 25)),
        st.tuples(st.just("sleep"), st.floats(1_000, 100_000) | st.floats(1_000, 5e6)),
        st.tuples(st.just("turn"), st.just(0)),
    ),
    max_size=60,
)


@settings(deadline=None)
@given(STEPS, st.sampled_from([0.1, 0.25, 1.0]))
def test_it_does_what_a_sorted_list_does_up_to_one_slot_late(steps, resolution):
    clock = FakeClock()
    wheel = Wheel(clock, resolution)
    due: dict[int, float] = {}
    timers: dict[int, Timer] = {}
    fired: list[int] = []
    for number, (step, value) in enumerate(steps):
        match step:
            case "after":
                due[number] = clock.monotonic() + value
                timers[number] = wheel.after(value, lambda number=number: fired.append(number))
            case "cancel":
                if timers:
                    chosen = sorted(timers)[int(value) % len(timers)]
                    timers[chosen].cancel()
                    due.pop(chosen, None)
            case "turn":
                fired.clear()
                wheel.turn()
                now = clock.monotonic()
                slots = [due[each] // resolution for each in fired]
                assert slots == sorted(slots)
                for each in fired:
                    assert due.pop(each) <= now
                assert all(when + resolution * 1.001 > now for when in due.values())
            case _:
                clock.advance(value)
        assert len(wheel) == len(due)
    clock.advance(1e7 + 1)
    fired.clear()
    wheel.turn()
    assert sorted(fired) == sorted(due)
    assert len(wheel) == 0


def test_nothing_fires_early_or_twice():
    clock, fired = FakeClock(), []
    wheel = Wheel(clock, 0.1)
    wheel.after(1.0, lambda: fired.append("once"))
    clock.advance(1.0)
    wheel.turn()
    assert fired == []
    clock.advance(0.1)
    wheel.turn()
    wheel.turn()
    clock.advance(5)
    wheel.turn()
    assert fired == ["once"]


@pytest.mark.parametrize("arguments", [(), (1,), (1, 2), ((1, 2),), ((),), (None,)])
def test_callbacks_get_what_was_given(arguments):
    clock, fired = FakeClock(), []
    wheel = Wheel(clock)
    wheel.after(1, lambda *given: fired.append(given), *arguments)
    clock.advance(2)
    wheel.turn()
    assert fired == [arguments]


def test_a_callback_that_raises_leaves_the_others(caplog: pytest.LogCaptureFixture):
    clock, fired = FakeClock(), []
    wheel = Wheel(clock)

    def fail() -> None:
        raise ValueError("of the application")

    for _ in range(3):
        wheel.after(1, lambda: fired.append(1))
        wheel.after(1, fail)
    clock.advance(2)
    with caplog.at_level(logging.ERROR):
        wheel.turn()
    assert fired == [1, 1, 1]
    assert len(caplog.records) == 3


def test_a_callback_sets_a_timer_for_the_next_turn_at_the_earliest():
    clock, fired = FakeClock(), []
    wheel = Wheel(clock)

    def again() -> None:
        fired.append(1)
        wheel.after(0, again)

    wheel.after(0, again)
    for count in range(1, 4):
        clock.advance(0.2)
        wheel.turn()
        assert fired == [1] * count


def test_a_callback_cancels_others_of_its_slot_and_of_later_ones_that_are_due_too():
    clock, fired = FakeClock(), []
    wheel = Wheel(clock)
    doomed: list[Timer] = []

    def cancel_all() -> None:
        fired.append("cancelled")
        for timer in doomed:
            timer.cancel()

    # Whichever of the first slot comes first spares itself alone.
    doomed += [wheel.after(1, cancel_all) for _ in range(2)]
    doomed += [wheel.after(seconds, lambda: fired.append("late")) for seconds in (2, 2, 3)]
    survivor = wheel.after(3, lambda: fired.append("survivor"))
    clock.advance(10)
    wheel.turn()
    assert fired == ["cancelled", "survivor"]
    assert len(wheel) == 0
    survivor.cancel()
    survivor.cancel()


def test_after_a_long_sleep_what_is_due_fires_in_order_and_the_rest_stays():
    clock, fired = FakeClock(), []
    wheel = Wheel(clock)
    for seconds in (3_000, 10, 7 * 24 * 3600, 500):
        wheel.after(seconds, lambda seconds=seconds: fired.append(seconds))
    clock.advance(24 * 3600)
    wheel.turn()
    assert fired == [10, 500, 3_000]
    assert len(wheel) == 1


@pytest.mark.parametrize("seconds", [20, 30, 7_000, 20 * 24 * 3600])
def test_a_wheel_turned_slot_by_slot_fires_what_is_far_on_time(seconds):
    # Turned as a node does it, so that every wide slot is dealt out in its turn.
    clock, fired = FakeClock(), []
    wheel = Wheel(clock, 1.0)
    for late in range(3):
        wheel.after(seconds + late, lambda: fired.append(clock.monotonic()))
    start = clock.monotonic()
    while len(fired) < 3:
        clock.advance(1 if seconds < 10_000 else 100)
        wheel.turn()
    assert [0 <= moment - start - seconds - late <= 101 for late, moment in enumerate(fired)] == [True] * 3


def test_those_that_stay_in_a_wide_slot_keep_their_times_when_others_are_cancelled():
    clock, fired = FakeClock(), []
    wheel = Wheel(clock, 1.0)
    timers = {due: wheel.after(due, lambda due=due: fired.append(due)) for due in range(1_030, 1_130, 10)}
    for due in (1_030, 1_080, 1_100):
        timers.pop(due).cancel()
    for due in timers:
        clock.advance(due - clock.monotonic() + 1_000)
        wheel.turn()
        assert due not in fired
        clock.advance(1)
        wheel.turn()
        assert fired[-1] == due
    assert fired == list(timers)


def test_timers_far_apart_share_their_slots():
    clock = FakeClock()
    wheel = Wheel(clock)
    for number in range(10_000):
        wheel.after(60 + number * 8.64, lambda: None)
    assert len(wheel) == 10_000
    assert sum(map(len, wheel._levels)) < 300


def test_a_timer_lets_go_of_what_it_was_given():
    # A session holds its timers; if they held it, it would wait for the garbage collector.
    clock = FakeClock()
    wheel = Wheel(clock)

    class Something:
        def ring(self, other: object) -> None:
            pass

    things = [Something(), Something()]
    timers = [wheel.after(1, thing.ring, thing) for thing in things]
    left = [weakref.ref(thing) for thing in things]
    timers[0].cancel()
    clock.advance(2)
    wheel.turn()
    things.clear()
    assert [ref() for ref in left] == [None, None]


def test_timers_that_were_cancelled_leave_nothing_behind():
    # One a connection, as far away as its token's end, and the connection comes and goes.
    clock = FakeClock()
    wheel = Wheel(clock)
    for _ in range(1000):
        wheel.after(30 * 24 * 3600, lambda: None).cancel()
        clock.advance(1)
        wheel.turn()
    assert sum(map(len, wheel._levels)) == 0
