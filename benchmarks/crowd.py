"""A crowd of WebSocket clients in one thread: raw sockets, one epoll, no decoding on the way.

A publication carries a mark, `T=` and 16 hex digits of the monotonic clock in nanoseconds, at the start of its
content. Marks are what is counted, so a server that joins several messages in one write or frame is counted as
one that does not. Servers send whole JSON objects, so a chunk that ends with `}` cuts no mark: only the others
take the slow way.
"""

import contextlib
import select
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Self

import frames

NEEDLE = b'"content":"T='
MARK = len(NEEDLE) + 16
END_OF_OBJECT = ord("}")
SEGMENT = 1400  # of a stalled client: with loopback's 64 KiB a segment, the kernel would hide megabytes

HEARTBEATS = 20  # bytes a member: more than pings amount to in a second or two, less than one announcement


class LoadError(RuntimeError):
    """The server refused, lost or stalled connections that should work."""


@dataclass(slots=True, eq=False)
class Member:
    """One client; `greeting` collects what comes before it is in its room, `tail` a mark that was cut."""

    socket: socket.socket
    room_id: str
    greeting: bytes = b""
    welcomed: bool = False
    joined: bool = False
    tail: bytes = b""
    received: int = 0


@dataclass(slots=True)
class Crowd:
    """Clients of one server; nothing moves but inside `join`, `settle` and `turn`. Use it in a `with` statement."""

    port: int
    secret: str
    path: str = "/ws"
    members: dict[int, Member] = field(default_factory=dict)
    deliveries: int = 0
    bytes_received: int = 0
    lost: int = 0
    on_marks: Callable[[bytes | bytearray], None] | None = None
    _stalled: list[Member] = field(default_factory=list)
    _unsent: bytearray = field(default_factory=bytearray)
    _epoll: select.epoll = field(default_factory=select.epoll)
    _buffer: bytearray = field(default_factory=lambda: bytearray(1 << 18))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for member in [*self.members.values(), *self._stalled]:
            member.socket.close()
        self._epoll.close()

    def join(
        self, seats: Iterable[tuple[str, str]], at_once: int = 64, small_buffers: bool = False
    ) -> list[Member]:
        """Open a connection for each user and room, `at_once` of them at a time, and wait until all are in."""
        waiting = deque(seats)
        members: list[Member] = []
        joining: list[Member] = []
        deadline = time.monotonic() + 120
        while waiting or joining:
            while waiting and len(joining) < at_once:
                joining.append(self._dial(*waiting.popleft(), small_buffers))
                members.append(joining[-1])
            if not self.turn(10.0) or self.lost or time.monotonic() > deadline:
                raise LoadError(
                    f"{len(joining)} of {len(members)} clients did not get in, {self.lost} were closed"
                )
            joining = [member for member in joining if not member.joined]
        return members

    def _dial(self, user_id: str, room_id: str, small_buffers: bool) -> Member:
        sock = socket.socket()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if small_buffers:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, SEGMENT)
        member = self.members[sock.fileno()] = Member(sock, room_id)
        sock.connect(("127.0.0.1", self.port))
        sock.sendall(frames.handshake(self.port, self.path, frames.token(user_id, self.secret)))
        sock.setblocking(False)
        self._epoll.register(sock, select.EPOLLIN)
        return member

    def _greet(self, member: Member, data: bytes) -> None:
        member.greeting += data
        if not member.greeting.startswith(frames.ACCEPTED[: len(member.greeting)]):
            raise LoadError(f"handshake refused: {member.greeting[:80].decode(errors='replace')}")
        if not member.welcomed and b'"type":"welcome"' in member.greeting:
            member.welcomed = True
            member.socket.send(frames.text({"type": "join_room", "room_id": member.room_id}))
        if member.welcomed and b'"type":"joined"' in member.greeting:
            member.joined = True
            member.greeting = b""

    def stall(self, members: Iterable[Member]) -> None:
        """Stop reading from these, for good: their sockets stay open and fill."""
        for member in members:
            self._epoll.unregister(member.socket)
            self._stalled.append(self.members.pop(member.socket.fileno()))

    def settle(self, quiet: float = 1.5, at_most: float = 60.0) -> None:
        """Read until the announcements of the joins are over: `quiet` seconds with nothing but heartbeats."""
        deadline = time.monotonic() + at_most
        while True:
            before, end = self.bytes_received, time.monotonic() + quiet
            while time.monotonic() < end:
                self.turn(0.05)
            if self.bytes_received - before < HEARTBEATS * len(self.members):
                return
            if end > deadline:
                raise LoadError(f"not quiet after {at_most:.0f} s")

    def publish(self, publisher: Member, padding: str = "") -> int:
        """Send one message, and return the clock's value in its mark."""
        stamp = time.monotonic_ns()
        content = f"T={stamp:016x}{padding}"
        self._unsent += frames.text({"type": "message", "room_id": publisher.room_id, "content": content})
        with contextlib.suppress(
            BlockingIOError
        ):  # where the server has stopped reading, the next one tries again
            del self._unsent[: publisher.socket.send(self._unsent)]
        return stamp

    def turn(self, timeout: float) -> bool:
        """Read once from the clients that have something; return whether any had."""
        members, buffer = self.members, self._buffer
        ready = self._epoll.poll(timeout, 512)
        for fd, _ in ready:
            member = members[fd]
            try:
                size = member.socket.recv_into(buffer)
            except ConnectionError:
                size = 0
            self.bytes_received += size
            if not size:
                self._lose(member)
            elif not member.joined:
                self._greet(member, bytes(buffer[:size]))
            elif buffer[size - 1] != END_OF_OBJECT or buffer[0] == frames.PING or member.tail:
                self._receive_cut(member, bytes(buffer[:size]))
            else:
                marks = buffer.count(NEEDLE, 0, size)
                member.received += marks
                self.deliveries += marks
                if self.on_marks is not None:
                    self.on_marks(buffer[:size])
        return bool(ready)

    def _receive_cut(self, member: Member, data: bytes) -> None:
        """Count a chunk that ends inside a message or holds a ping; a mark that is cut waits in `tail`."""
        ping = data.find(
            frames.PING
        )  # the JSON is ASCII; where a length looks like a ping, a pong too many is sent
        if 0 <= ping < len(data) - 1:
            member.socket.send(frames.pong(data, ping))
        data = member.tail + data
        end = len(data) - unfinished(data)
        member.tail = data[end:]
        marks = data.count(NEEDLE, 0, end)
        member.received += marks
        self.deliveries += marks
        if self.on_marks is not None:
            self.on_marks(data[:end])

    def _lose(self, member: Member) -> None:
        self._epoll.unregister(member.socket)
        del self.members[member.socket.fileno()]
        member.socket.close()
        self.lost += 1


def unfinished(data: bytes) -> int:
    """Return how many bytes at the end are the beginning of a mark that has not wholly arrived."""
    window = data[-(MARK - 1) :]
    at = window.rfind(NEEDLE)
    if at >= 0:
        return len(window) - at
    return next((size for size in range(len(NEEDLE) - 1, 0, -1) if data.endswith(NEEDLE[:size])), 0)
