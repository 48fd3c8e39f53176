"""The two ways to load a room."""

import pytest
from fake_server import Room, serving

from hubbub.bench import Crowd, LoadError, Member, Seat, keep_in_flight, keep_rate
from hubbub.bench.load import BURST, BURST_BYTES

SEATS = [Seat(f"u{number}", ["r"]) for number in range(5)]


class Instant(Crowd):
    """A crowd whose publications arrive as they are sent; it must have a turn in time."""

    since_turn = 0

    def publish(self, publisher: Member) -> int:
        self.since_turn += 1
        assert self.since_turn <= BURST
        self.deliveries += 1
        return 0

    def turn(self, timeout: float) -> bool:
        self.since_turn = 0
        return super().turn(timeout)


def test_every_publication_reaches_every_member():
    with serving(Room()) as port, Crowd(port) as crowd:
        members = crowd.join(SEATS)
        load = keep_in_flight(crowd, members[:2], 5, 3, 0.1, warm=0.02, timed=2)
        assert load.published > 0
        assert load.received == load.published * 5
        assert (load.missing, load.refused, load.server_cpu) == (0, 0, None)
        assert load.latency is not None
        assert load.latency.p50 <= load.latency.p99 <= load.latency.longest


def test_a_rate_is_kept_and_every_delivery_timed():
    with serving(Room()) as port, Crowd(port) as crowd:
        members = crowd.join(SEATS)
        load = keep_rate(crowd, members[-1:], 5, 50, 0.2, padding="x" * 30_000)
        assert load.received == load.published * 5
        assert load.latency is not None
        assert load.latency.samples == load.received


def test_refused_publications_are_told_and_not_awaited():
    error = b'{"type":"error","code":"rate_limited","message":"slow down"}'
    with serving(Room(error=error)) as port, Crowd(port) as crowd:
        members = crowd.join(SEATS)
        with pytest.raises(LoadError, match="0 deliveries"):
            keep_in_flight(crowd, members, 5, 2, 0.1, warm=0.0)
        assert crowd.refused > 0
        assert any("HUBBUB_MESSAGE_RATE" in refusal for refusal in crowd.refusals)


@pytest.mark.parametrize("rate", [1e9, 1e300])
def test_what_comes_is_read_where_a_rate_cannot_be_kept(rate):
    with serving(Room()) as port, Instant(port) as crowd:
        members = crowd.join(SEATS[:1])
        assert keep_rate(crowd, members, 1, rate, 0.02).published >= BURST


def test_what_comes_is_read_while_a_large_window_fills():
    with serving(Room()) as port, Instant(port) as crowd:
        members = crowd.join(SEATS[:1])
        assert keep_in_flight(crowd, members, 1, 1_000_000, 0.02, warm=0.0).published >= BURST


def test_long_messages_are_not_hoarded_for_a_server_that_takes_none():
    with serving(Room(deaf=True)) as port, Crowd(port) as crowd:
        members = crowd.join(SEATS[:2])
        keep_rate(crowd, members, 2, 1e9, 0.2, padding="x" * 1_000_000, drain=0.0)
        assert 0 < sum(len(member.unsent) for member in members) < 2 * BURST_BYTES
