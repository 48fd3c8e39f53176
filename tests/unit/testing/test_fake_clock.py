"""The clock of `hubbub.testing.clock`."""

import pytest

from hubbub.testing import FakeClock


def test_it_stands_still_until_it_is_moved():
    clock = FakeClock(now=100.0)
    assert (clock.time(), clock.time()) == (100.0, 100.0)
    before = clock.monotonic()
    clock.advance(2.5)
    assert (clock.time(), clock.monotonic() - before) == (102.5, 2.5)
    clock.advance(0)
    assert clock.time() == 102.5


def test_it_does_not_run_backwards():
    clock = FakeClock()
    now = clock.time()
    with pytest.raises(ValueError, match="backwards"):
        clock.advance(-1)
    assert clock.time() == now
