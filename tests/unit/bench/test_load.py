"""The two ways to load a room."""

import pytest
from fake_server import Room, serving

from hubbub.bench import Crowd, LoadError, Seat, keep_in_flight, keep_rate

SEATS = [Seat(f"u{number}", ["r"]) for number in range(5)]


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
