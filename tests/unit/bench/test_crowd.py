"""A crowd against a server of a few lines."""

import pytest
from fake_server import Room, serving

from hubbub.bench import Crowd, Seat
from hubbub.bench.errors import LoadError

SEATS = [Seat(f"u{number}", ["r"]) for number in range(5)]


def test_a_refused_handshake_is_told():
    with (
        serving(Room(answer=b"HTTP/1.1 404 Not Found\r\n\r\n")) as port,
        Crowd(port) as crowd,
        pytest.raises(LoadError, match="404 Not Found"),
    ):
        crowd.join(SEATS)


def test_a_server_without_compression_is_told():
    with (
        serving(Room()) as port,
        Crowd(port, deflate=True) as crowd,
        pytest.raises(LoadError, match="does not compress"),
    ):
        crowd.join(SEATS)


def test_nobody_listens():
    with Crowd(1) as crowd, pytest.raises(LoadError, match="Nobody can connect"):
        crowd.join(SEATS)


def test_a_stalled_member_is_seen_to_be_cut_off():
    room = Room()
    with serving(room) as port, Crowd(port) as crowd:
        members = crowd.join(SEATS[:1]) + crowd.join(SEATS[1:2])
        crowd.stall(members)
        assert crowd.cut_off(members, quiet=0.0) == 0
        room.clients[0].shutdown(2)
        assert crowd.cut_off(members) == 1
