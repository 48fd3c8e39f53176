"""Percentiles from raw samples: no histogram, no rounding into classes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Latency in ms."""

    samples: int
    p50: float
    p90: float
    p99: float
    p999: float
    longest: float


def percentile(ordered: Sequence[int], share: float) -> int:
    """Return the sample that `share` of all are not above (nearest rank); `ordered` rises and is not empty."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def percentiles(nanoseconds: Sequence[int]) -> Percentiles | None:
    """Return those of latencies in nanoseconds, in ms; `None` where there is not one."""
    if not nanoseconds:
        return None
    ordered = sorted(nanoseconds)
    p50, p90, p99, p999 = (percentile(ordered, share) / 1e6 for share in (0.5, 0.9, 0.99, 0.999))
    return Percentiles(len(ordered), p50, p90, p99, p999, ordered[-1] / 1e6)
