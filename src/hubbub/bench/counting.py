"""Counting deliveries in what members receive, without I/O.

A publication carries a mark, and marks are what is counted: a server that joins several messages in one frame, or
several frames in one write, is counted as one that does not. Servers send whole JSON messages, so nearly every chunk
ends with one and can be searched as it is; the others are walked frame by frame.

Compressed messages show no mark. Frames that are compressed are counted instead, one for a delivery, and only
members whose deliveries are timed inflate them.
"""

import time
from dataclasses import dataclass, field

from hubbub.bench.frames import CLOSE, FINAL, PING, PONG, TEXT, Frame, closing, frame, inflate, walk
from hubbub.bench.wires import Wire

TEXT_FRAME = FINAL | TEXT
ENDS = frozenset(b"}]")
CONTROL = (bytes([FINAL | PING]), bytes([FINAL | CLOSE]))


@dataclass(slots=True)
class Counted:
    """What a chunk held; `rest` is the beginning of a frame that has not wholly arrived."""

    marks: int = 0
    rest: bytes = b""
    answer: bytes = b""
    refusals: list[bytes] = field(default_factory=list)
    closed: tuple[int, str] | None = None


@dataclass(slots=True)
class Stopwatch:
    """Times marks as they come in, in nanoseconds; only those sent at or after `since`.

    All that the system reports at once has arrived `now`: the client's own time for it is not the server's. With
    `awaited`, how many members each mark still has to reach, only those are timed.
    """

    times: list[int] = field(default_factory=list)
    since: int = 0
    now: int = 0
    awaited: dict[int, int] | None = None

    def take(self, data: bytes | bytearray, needle: bytes) -> None:
        """Time the marks of a message, or of many."""
        now = self.now
        skip = len(needle)
        at = data.find(needle)
        while at >= 0:
            stamp = int(data[at + skip : at + skip + 16], 16)
            if self.awaited is None:
                if stamp >= self.since:
                    self.times.append(now - stamp)
            elif self.awaited.get(stamp):
                self.awaited[stamp] -= 1
                self.times.append(now - stamp)
            at = data.find(needle, at + skip)

    def give_up(self) -> int:
        """Enter what has not come with its age, and return how many that are."""
        now = time.monotonic_ns()
        missing = 0
        for stamp, absent in (self.awaited or {}).items():
            self.times.extend([now - stamp] * absent)
            missing += absent
        return missing


class Counter:
    """Counts one server's deliveries.

    Args:
        wire: what a delivery looks like.
        deflate: whether messages may be compressed.
    """

    def __init__(self, wire: Wire, *, deflate: bool = False) -> None:
        self.stopwatch: Stopwatch | None = None
        self._needle = wire.needle
        self._refusal = wire.refusal
        self._answers = wire.answers
        self._deflate = deflate
        # A chunk with one of these is walked: something in it wants an answer or ends the connection.
        self._watched = CONTROL + tuple(bytes([TEXT_FRAME, len(text)]) + text for text in wire.answers)
        if wire.refusal:
            self._watched += (wire.refusal,)

    def count(self, data: bytes, *, timed: bool = False) -> Counted:
        """Count a chunk; what was left of the member's last one stands before it."""
        if (
            not self._deflate
            and data[0] == TEXT_FRAME
            and data[-1] in ENDS
            and all(data.find(each) < 0 for each in self._watched)
        ):
            if timed:
                self._time(data)
            return Counted(data.count(self._needle))
        return self._walk(data, timed)

    def _walk(self, data: bytes, timed: bool) -> Counted:
        counted = Counted()
        start = 0
        if data[0] < FINAL:
            # The chunk before ended inside a message, but with a bracket. JSON is ASCII, so a byte above that is
            # the next frame's first.
            start = next((at for at, byte in enumerate(data) if byte >= FINAL), len(data))
            counted.marks += data.count(self._needle, 0, start)
        frames, end = walk(data, start)
        for each in frames:
            self._read(data, each, timed, counted)
        counted.rest = data[end:]
        return counted

    def _read(self, data: bytes, each: Frame, timed: bool, counted: Counted) -> None:
        match each.opcode:
            case 0x9:
                counted.answer += frame(PONG, data[each.start : each.end])
            case 0x8:
                counted.closed = closing(data[each.start : each.end])
            case 0xA:
                pass
            case _ if each.compressed and not timed:
                counted.marks += 1
            case _:
                text = data[each.start : each.end]
                self._hear(inflate(text) if each.compressed else text, timed, counted)

    def _hear(self, text: bytes, timed: bool, counted: Counted) -> None:
        marks = text.count(self._needle)
        counted.marks += marks
        if marks and timed:
            self._time(text)
        if not marks:
            counted.answer += self._answers.get(text, b"")
            if self._refusal and self._refusal in text:
                counted.refusals.append(text)

    def _time(self, data: bytes) -> None:
        if self.stopwatch is not None:
            self.stopwatch.take(data, self._needle)


def heard(data: bytes) -> tuple[bytes, bytes, tuple[int, str] | None]:
    """Return the text of the whole frames of a chunk, what is left, and how the server closed if it did."""
    frames, end = walk(data)
    closed = next((closing(data[each.start : each.end]) for each in frames if each.opcode == CLOSE), None)
    texts = [
        inflate(data[each.start : each.end]) if each.compressed else data[each.start : each.end]
        for each in frames
        if each.opcode < CLOSE
    ]
    return b"".join(texts), data[end:], closed
