"""A crowd against a server of a few lines."""

import socket
import threading
import time
from typing import NoReturn

import pytest
from fake_server import Room, server_text, serving

from hubbub.bench import Crowd, Member, Seat
from hubbub.bench.counting import Stopwatch
from hubbub.bench.errors import LoadError

SEATS = [Seat(f"u{number}", ["r"]) for number in range(5)]


def flood(crowd: Crowd, publisher: Member) -> NoReturn:
    while True:
        crowd.publish(publisher)


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


def test_a_host_without_an_address_is_named():
    with pytest.raises(LoadError, match=r"Nobody can connect to nonexistent\.invalid:80: \w"):
        Crowd(80, "nonexistent.invalid")
    with pytest.raises(LoadError, match=r"Nobody can connect to a{70}\.example"):
        Crowd(80, "a" * 70 + ".example")


@pytest.mark.parametrize(
    ("room", "says"),
    [
        (
            Room(goodbye=b"\x88\x13\x03\xf0Too many messages"),
            "closed with 1008 Too many messages: .*HUBBUB_MESSAGE_RATE",
        ),
        (Room(goodbye=server_text(b'{"type":"error","code":"rate_limited"}')), "HUBBUB_MESSAGE_RATE"),
    ],
)
def test_what_the_server_said_to_a_publisher_that_it_closed(room, says):
    with serving(room) as port, Crowd(port) as crowd:
        (publisher,) = crowd.join(SEATS[:1])
        crowd.prepare([publisher])
        with pytest.raises(LoadError, match=says):
            flood(crowd, publisher)


def test_a_member_is_lost_with_its_close_frame_though_the_server_keeps_the_connection():
    room = Room()
    with serving(room) as port, Crowd(port) as crowd:
        (publisher,) = crowd.join(SEATS[:1])
        crowd.prepare([publisher])
        room.clients[0].sendall(server_text(b'{"content":"T=00000000000000ff"}') + b"\x88\x06\x0f\xa8slow")
        while not crowd.lost and crowd.turn(5.0):
            pass
        assert (crowd.deliveries, list(crowd.lost)) == (1, ["closed with 4008 slow"])
        with pytest.raises(LoadError, match="closed with 4008 slow"):
            crowd.publish(publisher)


def test_what_is_left_to_send_to_a_closed_connection_is_dropped():
    with serving(Room(deaf=True)) as port, Crowd(port) as crowd:
        (publisher,) = crowd.join(SEATS[:1])
        crowd.prepare([publisher], "x" * 100_000)
        while publisher not in crowd.unsent:
            crowd.publish(publisher)
        publisher.socket.shutdown(
            socket.SHUT_WR
        )  # what is sent from now on fails, as after the server's reset
        crowd.turn(0)
        assert crowd.unsent == set()


def test_a_stalled_member_is_seen_to_be_cut_off():
    room = Room()
    with serving(room) as port, Crowd(port) as crowd:
        members = crowd.join(SEATS[:1]) + crowd.join(SEATS[1:2])
        crowd.stall(members)
        assert crowd.cut_off(members, quiet=0.0) == 0
        room.clients[0].shutdown(2)
        assert crowd.cut_off(members) == 1


def test_what_came_before_the_end_is_read_and_the_end_is_noticed():
    room = Room()
    with serving(room) as port, Crowd(port) as crowd:
        crowd.join(SEATS[:2])
        room.clients[0].sendall(server_text(b'{"content":"T=00000000000000ff"}') + b"\x88\x06\x0f\xa8slow")
        room.clients[0].shutdown(2)
        while crowd.turn(5.0) and not crowd.lost:
            pass
        assert crowd.deliveries == 1
        assert list(crowd.lost) == ["closed with 4008 slow"]
        assert len(crowd.members) == 1


def test_more_than_the_buffer_holds_is_read_to_its_end():
    room = Room()
    with serving(room) as port, Crowd(port) as crowd:
        crowd.join(SEATS[:1])
        message = server_text(b'{"content":"T=00000000000000ff","padding":"' + b"x" * 1000 + b'"}')
        threading.Thread(target=room.clients[0].sendall, args=[message * 2000], daemon=True).start()
        while crowd.deliveries < 2000 and crowd.turn(5.0):
            pass
        assert (crowd.deliveries, crowd.bytes_received > 2000 * len(message)) == (2000, True)


def test_a_publisher_hears_every_refusal_after_a_delivery_and_beside_one():
    room = Room()
    delivery = server_text(b'{"content":"T=00000000000000ff"}')
    error = server_text(b'{"type":"error","code":"rate_limited","message":"Slower"}')
    with serving(room) as port, Crowd(port) as crowd:
        (publisher,) = crowd.join(SEATS[:1])
        crowd.prepare([publisher])
        crowd.publish(publisher)
        while not crowd.deliveries and crowd.turn(5.0):
            pass
        for chunk in (delivery, error, error + delivery):
            room.clients[0].sendall(chunk)
        while crowd.deliveries < 3 and crowd.turn(5.0):
            pass
        assert (crowd.deliveries, crowd.refused) == (3, 2)


def test_the_deliveries_of_some_are_timed():
    room = Room()
    with serving(room) as port, Crowd(port) as crowd:
        members = crowd.join(SEATS)
        crowd.time(members[:2])
        crowd.counter.stopwatch = stopwatch = Stopwatch()
        crowd.prepare(members[-1:])
        began = time.monotonic_ns()
        crowd.publish(members[-1])
        while crowd.deliveries < 5 and crowd.turn(5.0):
            pass
        assert len(stopwatch.times) == 2
        assert all(0 < took <= time.monotonic_ns() - began for took in stopwatch.times)
