"""The rate limit of a session."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubbub.exceptions import ConfigurationError, RateLimited
from hubbub.hub.limits import ConnectionsPolicy, Limits, TokenBucket
from hubbub.testing import FakeClock


def taken(bucket: TokenBucket, number: int) -> int:
    count = 0
    for _ in range(number):
        try:
            bucket.take()
            count += 1
        except RateLimited:
            pass
    return count


def test_as_many_at_once_as_a_second_allows():
    clock = FakeClock()
    bucket = TokenBucket(4, clock)
    assert taken(bucket, 20) == 4
    assert bucket.refused == 16
    clock.advance(0.5)
    assert taken(bucket, 20) == 2
    clock.advance(3600)
    assert taken(bucket, 20) == 4


def test_the_refusal_says_when_to_come_back():
    clock = FakeClock()
    bucket = TokenBucket(2, clock)
    taken(bucket, 2)
    with pytest.raises(RateLimited, match=r"At most 2 messages a second are taken; try again in 0\.50 s"):
        bucket.take()
    clock.advance(0.5)
    bucket.take()
    assert bucket.refused == 0


def test_less_than_one_a_second():
    clock = FakeClock()
    bucket = TokenBucket(0.1, clock)
    assert taken(bucket, 5) == 1
    clock.advance(9)
    assert taken(bucket, 5) == 0
    clock.advance(1)
    assert taken(bucket, 5) == 1


def test_zero_is_no_limit():
    assert taken(TokenBucket(0, FakeClock()), 10_000) == 10_000


@settings(deadline=None)
@given(st.floats(1, 100), st.lists(st.tuples(st.floats(0, 3), st.integers(0, 50)), max_size=20))
def test_never_more_than_the_rate_and_one_burst(rate, bursts):
    clock = FakeClock()
    bucket = TokenBucket(rate, clock)
    total, elapsed = 0, 0.0
    for pause, number in bursts:
        clock.advance(pause)
        elapsed += pause
        total += taken(bucket, number)
        assert total <= rate * (elapsed + 1) + 1e-6


def test_words_stand_for_policies():
    assert Limits(connections_policy="replace").connections_policy is ConnectionsPolicy.REPLACE
    assert Limits().connections_policy is ConnectionsPolicy.MANY


@pytest.mark.parametrize(
    ("bounds", "says"),
    [
        ({"connections": -1}, "connections is negative"),
        ({"message_rate": -0.5}, "message_rate is negative"),
        ({"connections_policy": "one"}, "connections_policy is one of many, replace, not 'one'"),
    ],
)
def test_bounds_that_cannot_work(bounds, says):
    with pytest.raises(ConfigurationError, match=says):
        Limits(**bounds)
