"""A timer wheel: thousands of deadlines, one task that turns it, O(1) to set and to cancel.

It does no I/O and waits for nothing: somebody calls `turn` now and then. Deadlines fire up to one slot late.
"""

import logging
from collections.abc import Callable
from typing import Any

from hubbub.clock import Clock

logger = logging.getLogger(__name__)


class Timer:
    """A deadline that can be cancelled."""

    __slots__ = ("_arguments", "_callback", "_due", "_slots")

    def __init__(
        self,
        slots: "dict[int, dict[Timer, None]]",
        due: int,
        callback: Callable[..., None],
        arguments: tuple[Any, ...],
    ) -> None:
        self._slots = slots
        self._due = due
        self._callback = callback
        self._arguments = arguments

    def cancel(self) -> None:
        """Forget it; harmless when it has fired."""
        slot = self._slots.get(self._due)
        if slot is not None:
            slot.pop(self, None)
            if not slot:  # or a slot a month away would stay until then
                del self._slots[self._due]

    def fire(self) -> None:
        """Run the callback; its errors are logged, so that the other timers still fire."""
        try:
            self._callback(*self._arguments)
        except Exception:
            logger.exception("A timer's callback failed")


class Wheel:
    """Slots of `resolution` seconds, each with the timers that are due in it."""

    __slots__ = ("_clock", "_slots", "_turned", "resolution")

    def __init__(self, clock: Clock, resolution: float = 0.1) -> None:
        self._clock = clock
        self.resolution = resolution
        self._slots: dict[int, dict[Timer, None]] = {}
        self._turned = self._slot_of(clock.monotonic())

    def after(self, seconds: float, callback: Callable[..., None], *arguments: Any) -> Timer:
        """Call `callback` once, `seconds` from now, rounded up to the end of the slot.

        Arguments given here are smaller than a closure over them, of which there would be two a connection.
        """
        due = max(self._slot_of(self._clock.monotonic() + seconds) + 1, self._turned + 1)
        timer = Timer(self._slots, due, callback, arguments)
        self._slots.setdefault(due, {})[timer] = None
        return timer

    def turn(self) -> None:
        """Fire everything that is due."""
        now = self._slot_of(self._clock.monotonic())
        if now - self._turned > len(self._slots):  # after a long sleep: only slots that exist
            due = sorted(number for number in self._slots if number <= now)
        else:
            due = [number for number in range(self._turned + 1, now + 1) if number in self._slots]
        self._turned = max(self._turned, now)
        for number in due:
            while number in self._slots:  # a callback may cancel the others
                slot = self._slots[number]
                timer, _ = slot.popitem()
                if not slot:
                    del self._slots[number]
                timer.fire()

    def __len__(self) -> int:
        return sum(len(slot) for slot in self._slots.values())

    def _slot_of(self, moment: float) -> int:
        return int(moment // self.resolution)
