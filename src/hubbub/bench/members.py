"""One client of a crowd: its socket, what it has heard so far, what it has yet to send."""

import contextlib
import itertools
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hubbub.bench.wires import Seat

SEGMENT = 1400
"""Of a member that will not read: with loopback's 64 KiB a segment, the kernel would hide megabytes."""

IP_BIND_ADDRESS_NO_PORT = 24
CLIENTS_AN_ADDRESS = 20_000
"""One loopback address has 28,000 ports for clients; further ones come from the next address."""


@dataclass(slots=True, eq=False)
class Member:
    """One client.

    `careful` members take the slow way for every chunk: they are not in their rooms yet, or hold half
    a frame. One that has published may hear a `refusal` where others hear a delivery, and each of its chunks is searched.
    """

    socket: socket.socket
    seat: Seat
    careful: bool = True
    joined: bool = False
    timed: bool = False
    refusal: bytes | None = None
    step: int = 0
    rest: bytes = b""
    heard: bytes = b""
    unsent: bytearray = field(default_factory=bytearray)
    template: tuple[bytes, bytes] = (b"", b"")
    closed: tuple[int, str] | None = None
    receive: Callable[[memoryview], int] = field(init=False)

    def __post_init__(self) -> None:
        self.receive = self.socket.recv_into  # looked up once, not for each delivery

    def send(self, data: bytes) -> None:
        """Send, or keep what the server does not take now for the next time."""
        if not self.unsent:
            with contextlib.suppress(BlockingIOError):
                sent = self.socket.send(data)
                if sent == len(data):
                    return
                data = data[sent:]
            self.unsent += data
        else:
            self.unsent += data
            self.flush()

    def flush(self) -> None:
        """Try again to send what is left."""
        with contextlib.suppress(BlockingIOError):
            del self.unsent[: self.socket.send(self.unsent)]


class Dialer:
    """Opens connections to one address; on loopback from as many source addresses as it takes."""

    def __init__(self, host: str, port: int) -> None:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        self._family: int = family
        self._address: tuple[Any, ...] = address
        self._count = itertools.count()

    def connect(self, *, small_buffers: bool = False) -> socket.socket:
        """Connect.

        Raises:
            OSError: nobody listens, or the machine has no more files or ports.
        """
        sock = socket.socket(self._family)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if small_buffers:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, SEGMENT)
            if self._address[0] == "127.0.0.1":
                sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
                sock.bind((f"127.0.0.{2 + next(self._count) // CLIENTS_AN_ADDRESS}", 0))
            sock.settimeout(10.0)
            sock.connect(self._address)
        except OSError:
            sock.close()
            raise
        return sock
