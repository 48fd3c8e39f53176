"""What the values may be that jobs are made of."""

import math

NAME = 255
"""Characters that kinds, owners and keys may have."""
LOWEST, HIGHEST = -32768, 32767
"""Priorities."""
LONGEST_WAIT = 366 * 86400.0
"""Seconds that anything may wait to be tried again."""
LONGEST = 100 * 366 * 86400.0
"""Seconds that anything may be put off, or kept."""
MOST_RETRIES = 2**31 - 2
"""Attempts have a column of 32 bits."""


def is_name(text: object) -> bool:
    """Tell whether something can be a kind, an owner or a key: a short text that can be printed."""
    return isinstance(text, str) and len(text) <= NAME and text.isprintable()


def is_priority(number: object) -> bool:
    """Tell whether something can be a priority."""
    return isinstance(number, int) and LOWEST <= number <= HIGHEST


def is_whole(number: object, least: int, most: float = math.inf) -> bool:
    """Tell whether something is a whole number between these."""
    return isinstance(number, int) and least <= number <= most


def is_number(number: object, least: float, most: float) -> bool:
    """Tell whether something is a number between these, which infinite ones and NaN are not."""
    return isinstance(number, int | float) and math.isfinite(number) and least <= number <= most


def is_seconds(number: object, most: float = math.inf) -> bool:
    """Tell whether something is a length of time in seconds, 0 or more."""
    return is_number(number, 0, most)


def is_storable(text: str) -> bool:
    """Tell whether any database takes a text as it is: no NUL, no halves of characters."""
    if text.isprintable():  # which has neither, and costs nothing
        return True
    try:
        return b"\x00" not in text.encode()
    except UnicodeEncodeError:
        return False
