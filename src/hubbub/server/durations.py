"""Lengths of time as people write them: ``25``, ``25s``, ``5m``, ``24h``, ``1d``, ``250ms``."""

import re

UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
EXPECTED = "a time such as 25, 250ms, 25s, 5m, 24h or 1d"

LONGEST = 36_500 * UNITS["d"]
"""A century: beyond it, dates and timers overflow in places that cannot say why."""

_DURATION = re.compile(rf"([0-9]+(?:\.[0-9]+)?)\s*({'|'.join(UNITS)})?", re.ASCII)


def seconds(value: object) -> float:
    """Read a length of time; a number without a unit is in seconds.

    Raises:
        ValueError: it is something else, or too long; the message says what is expected.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = repr(value)
    match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"expected {EXPECTED}")
    duration = float(match[1]) * UNITS[match[2] or "s"]
    if duration > LONGEST:
        raise ValueError(f"expected at most {written(LONGEST)}")
    return duration


def written(duration: float) -> str:
    """Write seconds in the largest unit that they fill: ``25s``, ``24h``."""
    if duration == 0:
        return "0s"
    unit = next(unit for unit in ("d", "h", "m", "s", "ms") if not duration % UNITS[unit] or unit == "ms")
    return f"{duration / UNITS[unit]:g}{unit}"
