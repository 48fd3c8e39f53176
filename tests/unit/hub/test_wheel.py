"""The timer wheel, held against a sorted list."""

import logging

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubbub.hub.wheel import Timer, Wheel
from hubbub.testing import FakeClock

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("after"), st.floats(0, 40)),
        st.tuples(st.just("cancel"), st.integers(0, 30)),
        st.tuples(st.just("advance"), st.floats(0, 25)),
        st.tuples(st.just("sleep"), st.floats(1_000, 100_000)),
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
    clock.advance(1e6)
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


def test_timers_that_were_cancelled_leave_nothing_behind():
    # One a connection, as far away as its token's end, and the connection comes and goes.
    clock = FakeClock()
    wheel = Wheel(clock)
    for _ in range(1000):
        wheel.after(30 * 24 * 3600, lambda: None).cancel()
        clock.advance(1)
        wheel.turn()
    assert len(wheel._slots) < 10
