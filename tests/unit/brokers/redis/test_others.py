"""Who is waited for before a server that has begun a new life is published to."""

from hubbub.brokers.redis.others import AWAY, Peers
from hubbub.testing import FakeClock


def beat(peers: Peers, clock: FakeClock, seconds: int) -> None:
    """Let time pass in which this node hears itself."""
    for _ in range(seconds):
        clock.advance(1.0)
        peers.listening()


def test_who_was_heard_and_has_not_compared_is_waited_for():
    clock = FakeClock()
    peers = Peers(clock.monotonic)
    peers.heard("b", "old")
    peers.heard("c", "old")
    assert peers.outstanding("new") == {"b", "c"}
    peers.heard("b", "new")
    assert peers.outstanding("new") == {"c"}
    peers.gone("c")
    assert peers.outstanding("new") == set()


def test_who_is_not_heard_any_more_is_not_waited_for():
    clock = FakeClock()
    peers = Peers(clock.monotonic)
    peers.heard("b", "old")
    beat(peers, clock, int(AWAY))
    assert peers.outstanding("new") == {"b"}
    beat(peers, clock, 1)
    assert peers.outstanding("new") == set()


def test_nobody_is_away_while_nothing_is_heard_at_all():
    clock = FakeClock()
    peers = Peers(clock.monotonic)
    peers.heard("b", "old")
    clock.advance(600.0)
    peers.listening()
    assert peers.outstanding("new") == {"b"}
