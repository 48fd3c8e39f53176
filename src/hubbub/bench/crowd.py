"""A crowd of WebSocket clients in one thread: raw sockets, one epoll, next to nothing done for a delivery.

Servers send whole JSON messages, so nearly every chunk ends with one and holds no frame that wants an answer: its
deliveries are counted where they lie, without a look at the frames. Everything else takes the slow way, `_take`.

All members of a room receive the same bytes. Where messages are compressed and cannot be searched, a chunk that equals
the one before it, of whichever member, holds as many deliveries; comparing is cheaper than walking its frames.
"""

import contextlib
import select
import time
from collections import Counter as Tally
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Self

from hubbub.bench.counting import ENDS, Counter, heard
from hubbub.bench.errors import LoadError
from hubbub.bench.frames import FINAL, PING
from hubbub.bench.members import Dialer, Member
from hubbub.bench.refusals import explain, handshake_refused
from hubbub.bench.wires import PLAIN, Seat, Wire

ACCEPTED = b"HTTP/1.1 101"
END_OF_HEADERS = b"\r\n\r\n"
READABLE = select.EPOLLIN
"""Watched edge-triggered, which spares a look at each socket: one that may hold more is read `again`."""

BUFFER = 1 << 18
EVENTS = 128
"""Read before it is seen whether another publication is due: with many more they would leave in lumps."""

GOODBYE = 2.0
"""Seconds at most in which the words are looked for with which the server closed a publisher."""

PINGED = FINAL | PING
HEARTBEATS = 20
"""Bytes a member: more than pings amount to in a second or two, less than one announcement."""


class Crowd:
    """Clients of one server; nothing moves but inside `join`, `settle` and `turn`. Use it in a `with` statement.

    Args:
        port: where the server listens.
        host: and on which address.
        wire: how it is spoken to.
        deflate: whether compression is negotiated; members that are not timed then count frames.

    Raises:
        LoadError: the host has no address.
    """

    def __init__(
        self, port: int, host: str = "127.0.0.1", wire: Wire = PLAIN, *, deflate: bool = False
    ) -> None:
        self.members: dict[int, Member] = {}
        self.deliveries = 0
        self.bytes_received = 0
        self.lost: Tally[str] = Tally()
        self.refusals: Tally[str] = Tally()
        self.refused = 0
        self.counter = Counter(wire, deflate=deflate)
        self.wire = wire
        self._host, self._port = host, port
        self._deflate = deflate
        try:
            self._dialer = Dialer(host, port)
        except (OSError, UnicodeError) as error:  # the second from names that cannot be written in IDNA
            raise self._unreachable(error) from error
        self._stalled: list[Member] = []
        self.unsent: set[Member] = set()
        self._again: set[int] = set()
        self._epoll = select.epoll()
        self._buffer = bytearray(BUFFER + 1)
        self._window = memoryview(self._buffer)[
            :BUFFER
        ]  # what is received into: the last byte is never written
        self._read = self._read_repeated if deflate else self._read_marked
        self._same = b""
        self._same_marks = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for member in [*self.members.values(), *self._stalled]:
            member.socket.close()
        self._epoll.close()

    def join(
        self, seats: Iterable[Seat], at_once: int = 64, *, small_buffers: bool = False, within: float = 120.0
    ) -> list[Member]:
        """Seat everybody, `at_once` of them at a time, and wait until all are in their rooms.

        Raises:
            LoadError: somebody was refused or closed, or nothing happened for ten seconds.
        """
        waiting = deque(seats)
        members: list[Member] = []
        joining: list[Member] = []
        deadline = time.monotonic() + within
        while waiting or joining:
            while waiting and len(joining) < at_once:
                joining.append(self._dial(waiting.popleft(), small_buffers))
                members.append(joining[-1])
            moved = self.turn(10.0)
            if self.lost:
                raise LoadError(f"{self.lost.total()} of {len(members)} members were closed: {self.losses}")
            if not moved or time.monotonic() > deadline:
                raise LoadError(
                    f"{len(joining)} of {len(members)} members did not get in: the server does not answer them"
                )
            joining = [member for member in joining if not member.joined]
        return members

    @property
    def losses(self) -> str:
        """What the server said to those it closed."""
        return "; ".join(self.lost) or "nobody was closed"

    def _dial(self, seat: Seat, small_buffers: bool) -> Member:
        try:
            sock = self._dialer.connect(small_buffers=small_buffers)
            member = self.members[sock.fileno()] = Member(sock, seat)
            sock.sendall(self.wire.handshake(self._host, self._port, seat, self._deflate))
        except OSError as error:
            raise self._unreachable(error) from error
        sock.setblocking(False)
        self._epoll.register(sock, READABLE | select.EPOLLRDHUP | select.EPOLLET)
        return member

    def _unreachable(self, error: OSError | UnicodeError) -> LoadError:
        why = error.strerror if isinstance(error, OSError) and error.strerror else error
        return LoadError(f"Nobody can connect to {self._host}:{self._port}: {why}.")

    def settle(self, quiet: float = 1.5, at_most: float = 60.0) -> None:
        """Read until the announcements of the joins are over: `quiet` seconds with nothing but heartbeats.

        Raises:
            LoadError: it does not become quiet.
        """
        deadline = time.monotonic() + at_most
        while True:
            before, end = self.bytes_received, time.monotonic() + quiet
            while time.monotonic() < end:
                self.turn(0.05)
            if self.bytes_received - before < HEARTBEATS * len(self.members):
                return
            if end > deadline:
                raise LoadError(f"The rooms are not quiet after {at_most:.0f} s.")

    def time(self, members: Iterable[Member]) -> None:
        """Time the deliveries of these, with `counter.stopwatch`."""
        for member in members:
            member.timed = True

    def prepare(self, publishers: Iterable[Member], padding: str = "") -> None:
        """Make the frames that these will send to the first of their rooms, but for the mark."""
        for member in publishers:
            member.template = self.wire.template(member.seat.rooms[0], padding)

    def publish(self, publisher: Member) -> int:
        """Send one message, and return the clock's value in its mark.

        Raises:
            LoadError: the publisher is not connected any more; the message says what the server said.
        """
        before, after = publisher.template
        stamp = time.monotonic_ns()
        publisher.refusal = self.wire.refusal
        try:
            publisher.send(b"%b%016x%b" % (before, stamp, after))
        except OSError as error:
            self._read_to_the_end(publisher)
            why = self.losses if self.lost else error.strerror
            raise LoadError(f"The server closed the connection of a member that publishes: {why}.") from error
        if publisher.unsent:
            self.unsent.add(publisher)
        return stamp

    def _read_to_the_end(self, member: Member) -> None:
        """Read what waits, until it is known why the server closed this member."""
        deadline = time.monotonic() + GOODBYE
        while member in self.members.values() and time.monotonic() < deadline and self.turn(0):
            pass

    def turn(self, timeout: float) -> bool:
        """Read once from the members that have something; return whether any had."""
        if self.unsent:
            self._flush()
        again = self._again
        ready = self._epoll.poll(0 if again else timeout, EVENTS)
        if self.counter.stopwatch is not None:
            self.counter.stopwatch.now = time.monotonic_ns()
        if again:
            again.difference_update(fd for fd, _ in ready)
            ready += [(fd, READABLE) for fd in again if fd in self.members]
            again.clear()
        self._read(ready)
        return bool(ready)

    def _read_marked(self, ready: list[tuple[int, int]]) -> None:
        members, buffer, window, needle = self.members, self._buffer, self._window, self.wire.needle
        stopwatch = self.counter.stopwatch
        received = deliveries = 0
        for fd, event in ready:
            member = members[fd]
            try:
                size = member.receive(window)
            except BlockingIOError:
                continue
            except ConnectionError:
                size = 0
            received += size
            if event != READABLE or size == BUFFER:
                self._again.add(fd)
            # Where nothing came, the byte looked at is the buffer's last, which is no end.
            if (
                member.careful
                or buffer[size - 1] not in ENDS
                or buffer.find(PINGED, 0, size) >= 0
                or (member.refusal is not None and buffer.find(member.refusal, 0, size) >= 0)
            ):
                deliveries += self._take(member, bytes(window[:size]))
            else:
                deliveries += buffer.count(needle, 0, size)
                if member.timed and stopwatch is not None:
                    stopwatch.take(buffer[:size], needle)
        self.bytes_received += received
        self.deliveries += deliveries

    def _read_repeated(self, ready: list[tuple[int, int]]) -> None:
        members, buffer = self.members, self._buffer
        for fd, event in ready:
            member = members[fd]
            try:
                size = member.receive(self._window)
            except BlockingIOError:
                continue
            except ConnectionError:
                size = 0
            self.bytes_received += size
            if event != READABLE or size == BUFFER:
                self._again.add(fd)
            if (
                not (member.careful or member.timed)
                and size == len(self._same) > 0
                and buffer.startswith(self._same)
            ):
                self.deliveries += self._same_marks
            else:
                self.deliveries += self._take(member, bytes(self._window[:size]))

    def _take(self, member: Member, data: bytes) -> int:
        if not data:
            self._lose(member)
            return 0
        if not member.joined:
            self._greet(member, data)
            return 0
        counted = self.counter.count(member.rest + data if member.rest else data, timed=member.timed)
        if counted.answer:
            with contextlib.suppress(OSError):  # it closed; the next read says so
                member.send(counted.answer)
        for refusal in counted.refusals:
            self.refused += 1
            member.heard = refusal  # why it ends, should it end without a Close frame
            self.refusals[explain(refusal)] += 1
        member.closed = counted.closed or member.closed
        if not (member.rest or counted.rest or counted.answer or counted.refusals or counted.closed):
            self._same, self._same_marks = data, counted.marks
        member.rest = counted.rest
        member.careful = bool(counted.rest) or bool(self.wire.answers)
        if member.closed:
            # Nothing follows a Close frame (RFC 6455 section 5.5.1), and a server may read on for long to reach ours.
            self._lose(member)
        return counted.marks

    def _greet(self, member: Member, data: bytes) -> None:
        data = member.rest + data
        if not member.step:
            head, found, data_after = data.partition(END_OF_HEADERS)
            if not found and data.startswith(ACCEPTED[: len(data)]):
                member.rest = data
                return
            if not head.startswith(ACCEPTED):
                raise LoadError(handshake_refused(data))
            if self._deflate and b"permessage-deflate" not in head.lower():
                raise LoadError("The server does not compress: it did not take permessage-deflate.")
            member.step, data = 1, data_after
        text, member.rest, closed = heard(data)
        member.heard += text
        member.closed = closed or member.closed
        self._follow(member)

    def _follow(self, member: Member) -> None:
        """Say what is to be said after what has been heard."""
        steps = self.wire.steps
        while member.step <= len(steps):
            step = steps[member.step - 1]
            times = len(member.seat.rooms) if step.each_room else 1
            if member.heard.count(step.heard) < times:
                return
            if step.say is not None:
                with contextlib.suppress(OSError):  # it closed; the next read says so
                    member.send(step.say(member.seat))
            member.step += 1
        member.joined = True
        member.careful = bool(member.rest) or bool(self.wire.answers)
        member.heard = b""

    def _flush(self) -> None:
        for member in list(self.unsent):
            try:
                member.flush()
            except OSError:  # it closed; the next read says so
                member.unsent.clear()
            if not member.unsent:
                self.unsent.discard(member)

    def _lose(self, member: Member) -> None:
        self._epoll.unregister(member.socket)
        del self.members[member.socket.fileno()]
        member.socket.close()
        self.unsent.discard(member)
        heard = b"" if member.joined and member.closed else member.heard
        self.lost[explain(heard, member.closed)] += 1

    def stall(self, members: Iterable[Member]) -> None:
        """Stop reading from these, for good: their sockets stay open and fill."""
        for member in members:
            self._epoll.unregister(member.socket)
            self._stalled.append(self.members.pop(member.socket.fileno()))

    def cut_off(self, members: Sequence[Member], quiet: float = 1.0) -> int:
        """Read what waits for stalled members, and return how many of them the server has closed.

        The end of a connection lies behind what had been sent before; it is waited for until nothing has come for
        `quiet` seconds.
        """
        open_ones = {member.socket.fileno(): member for member in members}
        with select.epoll() as waiting:
            for fd in open_ones:
                waiting.register(fd, select.EPOLLIN)
            while open_ones and (ready := waiting.poll(quiet)):
                for fd, _ in ready:
                    if _has_ended(open_ones[fd]):
                        waiting.unregister(fd)
                        del open_ones[fd]
        return len(members) - len(open_ones)


def _has_ended(member: Member) -> bool:
    try:
        return not member.socket.recv(1 << 18)
    except BlockingIOError:
        return False
    except ConnectionError:
        return True
