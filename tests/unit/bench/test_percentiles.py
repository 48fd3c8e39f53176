"""Percentiles are samples, not interpolations."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubbub.bench.percentiles import percentile, percentiles


@pytest.mark.parametrize(
    ("share", "expected"), [(0.5, 500), (0.9, 900), (0.99, 990), (0.999, 999), (1.0, 1000)]
)
def test_of_a_thousand(share, expected):
    assert percentile(range(1, 1001), share) == expected


def test_in_milliseconds():
    result = percentiles([2_000_000, 1_000_000, 4_000_000])
    assert result is not None
    assert (result.samples, result.p50, result.p90, result.p999, result.longest) == (3, 2.0, 4.0, 4.0, 4.0)
    assert percentiles([]) is None


@given(st.lists(st.integers(0, 10**12), min_size=1), st.floats(0.01, 1.0))
def test_so_many_are_not_above(samples, share):
    found = percentile(sorted(samples), share)
    assert found in samples
    assert sum(sample <= found for sample in samples) >= share * len(samples) - 1e-6
