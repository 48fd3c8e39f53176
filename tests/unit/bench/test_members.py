"""One client: what it sends, and where it comes from."""

import socket

import pytest

from hubbub.bench.members import Dialer, Member
from hubbub.bench.wires import Seat


def test_what_the_server_does_not_take_now_is_kept():
    near, far = socket.socketpair()
    with near, far:
        near.setblocking(False)
        member = Member(near, Seat("ada", ["r"]))
        sent = bytes(range(256)) * 20_000
        member.send(sent)
        member.send(b"the end")
        assert member.unsent
        received = b""
        while len(received) < len(sent) + 7:
            received += far.recv(1 << 20)
            member.flush()
        assert received == sent + b"the end"
        assert not member.unsent


def test_members_come_from_loopback_addresses_of_their_own():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        dialer = Dialer("127.0.0.1", listener.getsockname()[1])
        with dialer.connect() as first, dialer.connect(small_buffers=True) as second:
            assert first.getsockname()[0] == "127.0.0.2"
            assert second.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) < 20_000


def test_nobody_listens():
    with pytest.raises(OSError, match="refused"):
        Dialer("127.0.0.1", 1).connect()
