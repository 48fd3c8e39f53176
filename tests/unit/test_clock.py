"""Time."""

import pytest

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


def test_the_systems_clock_runs():
    clock = SystemClock()
    assert clock.time() > 1_700_000_000
    assert clock.monotonic() <= clock.monotonic()
