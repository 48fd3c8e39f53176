"""A timer wheel: thousands of deadlines, one task that turns it, O(1) to set and to cancel.

It does no I/O and waits for nothing: somebody calls `turn` now and then. Deadlines fire up to one slot late.

The next 256 slots stand one by one. What is due later waits in slots 256 times as wide, and later still in wider
ones, and is dealt out when the wide slot's time begins, at most three times in a timer's life. So the ends of tokens, a
day away and each in another second, share a few lists, where a slot each would cost more than the timer.
"""

import logging
from array import array
from collections.abc import Callable
from typing import Any

from hubbub.clock import Clock

logger = logging.getLogger(__name__)

BITS = 8
"""Each level's slots are so many bits wider than those of the one below."""
LEVELS = 4
"""With slots of 100 ms: 0.1 s, 26 s, 109 minutes, and 19 days for everything beyond."""

Callback = Callable[..., None]


class Arguments(tuple[Any, ...]):
    """What a callback is called with, where that is not one value: a tuple around one would be 48 bytes."""

    __slots__ = ()


class Timer:
    """A deadline that can be cancelled."""

    __slots__ = ("argument", "callback", "place", "slot")

    def __init__(self, callback: Callback, arguments: tuple[Any, ...]) -> None:
        self.callback: Callback | None = callback
        self.argument = arguments[0] if len(arguments) == 1 else Arguments(arguments)
        self.slot: Slot | None = None
        """The slot it stands in; `None` once it has fired or was cancelled."""
        self.place = 0
        """Where in its slot."""

    def cancel(self) -> None:
        """Forget it; harmless when it has fired."""
        if self.slot is not None:
            self.slot.remove(self)
            self._let_go()

    def fire(self) -> None:
        """Run the callback; its errors are logged, so that the other timers still fire."""
        callback, argument = self.callback, self.argument
        self._let_go()
        if callback is not None:
            try:
                if type(argument) is Arguments:
                    callback(*argument)
                else:
                    callback(argument)
            except Exception:
                logger.exception("A timer's callback failed")

    def _let_go(self) -> None:
        # A session holds its timers, and they hold it: together they would wait for the garbage collector.
        self.callback = None
        self.argument = None


class Slot:
    """Timers that are due together, or wait together for their narrower slots.

    A list from which any timer can be taken: the last one moves to its place. A dict costs five times as much.
    """

    __slots__ = ("_dues", "_home", "_number", "timers")

    def __init__(self, home: "dict[int, Slot]", number: int) -> None:
        self._home = home
        self._number = number
        self.timers: list[Timer] = []
        self._dues = array("q")  # beside the timers, because an `int` in each would be 32 bytes

    def add(self, timer: Timer, due: int) -> None:
        """Put a timer in."""
        timer.slot = self
        timer.place = len(self.timers)
        self.timers.append(timer)
        self._dues.append(due)

    def pop(self) -> tuple[Timer, int]:
        """Take any timer out; return it and when it is due."""
        timer = self.timers.pop()
        timer.slot = None
        return timer, self._dues.pop()

    def remove(self, timer: Timer) -> None:
        """Take this timer out."""
        last, due = self.pop()
        if last is not timer:
            last.slot, last.place = self, timer.place
            self.timers[last.place] = last
            self._dues[last.place] = due
            timer.slot = None
        if not self.timers and self._home.get(self._number) is self:
            del self._home[self._number]  # or a slot a month away would stay until then


class Wheel:
    """Slots of `resolution` seconds, each with the timers that are due in it."""

    __slots__ = ("_clock", "_levels", "_turned", "resolution")

    def __init__(self, clock: Clock, resolution: float = 0.1) -> None:
        self._clock = clock
        self.resolution = resolution
        self._levels: list[dict[int, Slot]] = [{} for _ in range(LEVELS)]
        self._turned = self._slot_of(clock.monotonic())

    def after(self, seconds: float, callback: Callback, *arguments: Any) -> Timer:
        """Call `callback` once, `seconds` from now, rounded up to the end of the slot.

        Arguments given here are smaller than a closure over them, of which there would be two a connection; so is a
        method that is bound once and not for each call.
        """
        timer = Timer(callback, arguments)
        self._place(timer, max(self._slot_of(self._clock.monotonic() + seconds) + 1, self._turned + 1))
        return timer

    def turn(self) -> None:
        """Fire everything that is due."""
        before, now = self._turned, self._slot_of(self._clock.monotonic())
        if now <= before:
            return
        self._turned = now
        for level in range(1, LEVELS):
            if now >> level * BITS != before >> level * BITS:
                self._deal_out(level)
        near = self._levels[0]
        if now - before > len(near):  # after a long sleep: only slots that exist
            due = sorted(number for number in near if number <= now)
        else:
            due = [number for number in range(before + 1, now + 1) if number in near]
        for number in due:
            slot = near.pop(number, None)
            while slot is not None and slot.timers:  # a callback may cancel the others
                slot.pop()[0].fire()

    def __len__(self) -> int:
        return sum(len(slot.timers) for level in self._levels for slot in level.values())

    def _place(self, timer: Timer, due: int) -> None:
        away = due - self._turned
        level = 0 if away <= 0 else min((away.bit_length() - 1) // BITS, LEVELS - 1)
        slots, number = self._levels[level], due >> level * BITS
        slot = slots.get(number)
        if slot is None:
            slot = slots[number] = Slot(slots, number)
        slot.add(timer, due)

    def _deal_out(self, level: int) -> None:
        slots, now = self._levels[level], self._turned >> level * BITS
        for number in [number for number in slots if number <= now]:
            slot = slots.pop(number)
            while slot.timers:
                self._place(*slot.pop())

    def _slot_of(self, moment: float) -> int:
        return int(moment // self.resolution)
