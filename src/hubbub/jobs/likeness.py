"""Whether params that were read back are those that were written, and results can be."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any


def is_same(given: Any, kept: Any) -> bool:
    """Tell whether a value reaches a task as it was given: by ``==``, and where that says no, by what it is made of.

    Equal, though they say that they are not: objects of a class without ``__eq__``, and times within the hour that a clock is
    put back, in two time zones (PEP 495).
    """
    try:
        if bool(given == kept):
            return True
    except Exception:  # noqa: BLE001 (it is the caller's class; whatever it raises, it did not say yes)
        return False
    if isinstance(given, datetime) and isinstance(kept, datetime):
        is_aware = given.tzinfo is not None and kept.tzinfo is not None
        return is_aware and given.astimezone(UTC) == kept.astimezone(UTC)
    if type(given) is not type(kept):
        return False
    if isinstance(given, Mapping):
        return given.keys() == kept.keys() and all(is_same(given[key], kept[key]) for key in given)
    if isinstance(given, list | tuple):
        return len(given) == len(kept) and all(map(is_same, given, kept))
    return bool(parts(given)) and is_same(parts(given), parts(kept))


def parts(value: Any) -> dict[str, Any]:
    """Return what an object is made of; nothing, where that cannot be seen."""
    found: dict[str, Any] = dict(getattr(value, "__dict__", {}))
    names = getattr(type(value), "__slots__", ())
    for name in (
        (names,) if isinstance(names, str) else names
    ):  # those of dataclasses, and pydantic's private ones
        if name not in {"__dict__", "__pydantic_fields_set__"} and hasattr(value, name):
            found[name] = getattr(value, name)
    return found


def is_finite(value: Any) -> bool:
    """Tell whether all numbers in plain data are finite."""
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, Mapping):
        return all(map(is_finite, value.values()))
    return not isinstance(value, list | tuple | set | frozenset) or all(map(is_finite, value))
