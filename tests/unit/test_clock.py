"""Time."""

from datetime import UTC, datetime

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hubbub.clock import SystemClock, rfc3339


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1_750_000_000.25, "2025-06-15T15:06:40.250Z"),
        (1_750_000_000.9999, "2025-06-15T15:06:40.999Z"),
        (951_782_400, "2000-02-29T00:00:00.000Z"),
    ],
)
def test_times_as_users_see_them(seconds, text):
    assert rfc3339(seconds) == text


@settings(deadline=None)
@given(st.floats(-62_135_596_800, 253_402_300_799))
@example(1_750_000_000.999_999_6)
@example(-0.25)
@example(-0.000_000_4)
@example(0.000_000_5)
@example(0.000_001_5)
def test_times_are_written_as_datetime_would(seconds):
    written = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    assert rfc3339(seconds) == written.replace("+00:00", "Z")


def test_the_systems_clock_runs():
    clock = SystemClock()
    assert clock.time() > 1_700_000_000
    assert clock.monotonic() <= clock.monotonic()
