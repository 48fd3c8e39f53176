"""A clock that a test moves by hand."""


class FakeClock:
    """Stands still until `advance` is called: ``Hub(clock=clock)``.

    Args:
        now: seconds since 1970 UTC to begin with.

    Timers of a running hub fire within a tenth of a real second after the clock was moved past them.
    """

    def __init__(self, now: float = 1_750_000_000.0) -> None:
        self._time = now
        self._monotonic = 1_000.0

    def advance(self, seconds: float) -> None:
        """Let time pass.

        Raises:
            ValueError: `seconds` is negative; time does not run backwards.
        """
        if seconds < 0:
            raise ValueError("time does not run backwards")
        self._time += seconds
        self._monotonic += seconds

    def monotonic(self) -> float:
        """Return seconds that never run backwards."""
        return self._monotonic

    def time(self) -> float:
        """Return seconds since 1970 UTC."""
        return self._time
