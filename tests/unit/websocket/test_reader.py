"""The reader: order, bounds, what it holds. What it reads is compared with others in test_against_oracles."""

import gc
import random
import sys
import tracemalloc
import weakref
from contextlib import suppress

import pytest
from client_frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    RSV1,
    TEXT,
    byte_by_byte,
    deflated,
    frame,
    header,
    in_slices,
    message,
)

from hubbub.websocket.assembly import MAX_EMPTY_FRAGMENTS
from hubbub.websocket.messages import Close, Message, Ping, Pong, ProtocolViolation
from hubbub.websocket.reader import FrameReader

LIMIT = 65_536


def reader(max_bytes: int = LIMIT, *, inflate: bool = True) -> FrameReader:
    return FrameReader(max_bytes, inflate=inflate)


def read_all(reader: FrameReader) -> list[Message]:
    return list(iter(reader.read, None))


def violation(reader: FrameReader, stream: bytes) -> int:
    reader.feed(stream)
    with pytest.raises(ProtocolViolation) as raised:
        reader.read()
    return raised.value.code


def test_the_examples_of_the_rfc():
    # RFC 6455 section 5.7, RFC 7692 section 7.2.3.1.
    one = reader()
    one.feed(
        bytes.fromhex("818537fa213d7f9f4d5158" + "8a8537fa213d7f9f4d5158" + "c18700000000f248cdc9c90700")
    )
    assert read_all(one) == ["Hello", Pong(b"Hello"), "Hello"]


def test_every_kind_of_message():
    one = reader()
    one.feed(
        frame(TEXT, "é".encode())
        + frame(BINARY, b"\xff")
        + frame(PING, b"1")
        + frame(PONG, b"2")
        + frame(TEXT, deflated(b"three"), rsv=RSV1)
        + frame(BINARY, deflated(b"four"), rsv=RSV1)
        + frame(CLOSE, b"\x03\xe8why")
    )
    assert read_all(one) == ["é", b"\xff", Ping(b"1"), Pong(b"2"), "three", b"four", Close(1000, "why")]


def test_it_stops_between_two_messages():
    one = reader()
    one.feed(frame(TEXT, b"one") + frame(TEXT, b"two") + frame(TEXT, b"three")[:5])
    assert one.read() == "one"
    one.feed(frame(TEXT, b"three")[5:] + frame(PING))
    assert one.read() == "two"
    one.feed(frame(TEXT, b"four"))
    one.feed(b"")
    assert [one.read() for _ in range(4)] == ["three", Ping(b""), "four", None]


def test_control_frames_come_before_the_message_that_they_interrupt():
    one = reader()
    parts = message(TEXT, [b"he", b"ll", b"o"])
    one.feed(parts[0] + frame(PING, b"1") + parts[1] + frame(PONG, b"2") + parts[2] + frame(TEXT, b"next"))
    assert read_all(one) == [Ping(b"1"), Pong(b"2"), "hello", "next"]


@pytest.mark.parametrize("length", [0, 1, 125, 126, 127, 65_535, 65_536])
def test_every_length_and_every_slice_of_its_header(length: int):
    payload = b"x" * length
    for stream in (frame(TEXT, payload), frame(BINARY, payload)):
        for place in range(min(len(stream), 20)):
            one = reader()
            one.feed(stream[:place])
            assert one.read() is None
            one.feed(stream[place:] + frame(PING))
            assert read_all(one) in ([payload.decode(), Ping(b"")], [payload, Ping(b"")])


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("length", [1, 100, 124, 125, 126, 127, 1000, 65_535, 65_536, 65_537])
def test_the_limit_is_what_still_fits(length: int, opcode: int):
    one = reader(length)
    one.feed(frame(opcode, b"x" * length))
    assert len(one.read()) == length
    # The header is enough to refuse one byte more.
    assert violation(one, header(opcode, length + 1)) == 1009
    assert violation(reader(length), frame(opcode, b"x" * (length + 1))) == 1009


def test_the_limit_holds_for_all_fragments_together():
    one = reader(1000)
    one.feed(b"".join(message(BINARY, [bytes(400), bytes(500), b"", bytes(100)])) + frame(PING, bytes(125)))
    assert read_all(one) == [bytes(1000), Ping(bytes(125))]
    one.feed(frame(BINARY, bytes(400), fin=False) + frame(CONTINUATION, bytes(500), fin=False))
    assert one.read() is None
    assert violation(one, header(CONTINUATION, 101)) == 1009


def test_the_limit_starts_again_with_each_message():
    one = reader(1000)
    for _ in range(3):
        one.feed(b"".join(message(BINARY, [bytes(600), bytes(400)])) + frame(BINARY, bytes(1000)))
        assert read_all(one) == [bytes(1000)] * 2


def test_the_limit_holds_after_inflating():
    one = reader(1000)
    one.feed(frame(TEXT, deflated(b"x" * 1000), rsv=RSV1))
    assert one.read() == "x" * 1000
    assert violation(one, frame(TEXT, deflated(b"x" * 1001), rsv=RSV1)) == 1009


@pytest.mark.parametrize("fragments", [1, 5])
def test_a_bomb(fragments: int):
    bomb = deflated(bytes(40 << 20), level=9)
    size = len(bomb) // fragments + 1
    stream = b"".join(message(BINARY, [bomb[at : at + size] for at in range(0, len(bomb), size)], rsv=RSV1))
    one = reader()
    tracemalloc.start()
    try:
        assert violation(one, stream) == 1009
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2 * LIMIT + 3 * len(bomb) + 100_000


def test_without_a_limit():
    one = reader(0)
    one.feed(frame(BINARY, deflated(bytes(3 << 20)), rsv=RSV1) + frame(TEXT, b"x" * 200_000))
    assert [len(each) for each in read_all(one)] == [3 << 20, 200_000]
    one.feed(header(BINARY, (1 << 63) - 2))
    assert one.read() is None
    assert violation(reader(0), header(BINARY, (1 << 63) - 1)) == 1009


def test_a_payload_is_not_kept_when_its_header_is_refused():
    one = reader(100)
    assert violation(one, header(BINARY, 65_536) + bytes(65_536)) == 1009
    for _ in range(10):
        one.feed(bytes(65_536))
    assert held_by(one) < 400


def test_a_flood_of_empty_fragments():
    one = reader()
    one.feed(frame(TEXT, fin=False) + frame(CONTINUATION, fin=False) * (MAX_EMPTY_FRAGMENTS - 1))
    assert one.read() is None
    assert held_by(one) < 700
    assert violation(one, frame(CONTINUATION, fin=False)) == 1009


def test_some_empty_fragments_are_allowed_in_every_message():
    one = reader()
    for _ in range(3):
        one.feed(frame(TEXT, fin=False) + frame(CONTINUATION, fin=False) * 99 + frame(CONTINUATION, b"x"))
        assert read_all(one) == ["x"]


def test_messages_before_a_violation_are_returned_and_then_it_is_raised_for_ever():
    one = reader()
    one.feed(
        frame(TEXT, b"one")
        + frame(BINARY, b"two")
        + frame(TEXT, b"three", masked=False)
        + frame(TEXT, b"four")
    )
    assert (one.read(), one.read()) == ("one", b"two")
    raised = []
    for _ in range(3):
        with pytest.raises(ProtocolViolation) as error:
            one.read()
        raised.append((error.value.code, error.value.reason))
        one.feed(frame(TEXT, b"five"))
    assert raised == [(1002, "Frame is not masked")] * 3


@pytest.mark.parametrize("payload", [b"\xff", b"\xff" * 200])
def test_a_text_that_is_not_utf8_ends_it(payload: bytes):
    one = reader()
    assert violation(one, frame(TEXT, payload) + frame(TEXT, b"next")) == 1007
    assert violation(one, frame(TEXT, b"next")) == 1007


class Watched(FrameReader):
    """One whose end can be seen."""

    __slots__ = ("__weakref__",)


@pytest.mark.parametrize("wrong", [frame(TEXT, b"\xff"), frame(TEXT, masked=False)])
def test_a_reader_that_failed_is_in_no_cycle(wrong: bytes):
    one = Watched(LIMIT, inflate=False)
    gone = weakref.ref(one)
    one.feed(wrong)
    for _ in range(2):
        with suppress(ProtocolViolation):
            one.read()
    gc.disable()
    try:
        del one
        assert gone() is None
    finally:
        gc.enable()


def test_nothing_is_read_after_a_close():
    one = reader()
    one.feed(frame(TEXT, b"one") + frame(CLOSE) + frame(TEXT, b"two"))
    assert [one.read() for _ in range(4)] == ["one", Close(None, ""), None, None]
    for _ in range(3):
        one.feed(frame(TEXT, b"three", masked=False) * 1000)
        assert one.read() is None
    assert held_by(one) < 400


@pytest.mark.parametrize("end", [frame(CLOSE), frame(TEXT)])
def test_a_message_that_will_not_be_finished_is_forgotten(end: bytes):
    one = reader()
    one.feed(frame(TEXT, b"x" * 10_000, fin=False) + end)
    with suppress(ProtocolViolation):
        one.read()
    assert held_by(one) < 400


def test_a_close_inside_a_message_ends_it_too():
    one = reader()
    one.feed(frame(TEXT, b"hel", fin=False) + frame(CLOSE, b"\x0f\xa0") + frame(CONTINUATION, b"lo"))
    assert [one.read() for _ in range(3)] == [Close(4000, ""), None, None]


def held_by(reader: FrameReader) -> int:
    """Sum up what a reader holds that is its own."""
    own = [getattr(reader, name) for name in reader.__slots__]
    total = sys.getsizeof(reader)
    for each in own:
        if isinstance(each, bytearray) or (isinstance(each, bytes) and each):
            total += sys.getsizeof(each)
        elif hasattr(each, "__slots__"):
            total += sys.getsizeof(each) + sys.getsizeof(each._body)
    return total


def test_an_idle_reader_is_small_whatever_it_has_read():
    fresh = {name: getattr(reader(), name) for name in FrameReader.__slots__}
    stream = b"".join(
        [
            *message(TEXT, [b"a", "é".encode(), b""]),
            *message(TEXT, [b"", deflated(b"x" * 9)], rsv=RSV1),
            frame(TEXT, b"short"),
            frame(TEXT, b"long" * 20_000),
            frame(BINARY, deflated(b"deflated"), rsv=RSV1),
            frame(PING, b"1"),
        ]
    )
    for pieces in (byte_by_byte(stream), in_slices(stream, random.Random(1)), iter([stream])):
        one = reader(100_000)
        seen = []
        for piece in pieces:
            one.feed(piece)
            seen += read_all(one)
        assert len(seen) == 6
        now = {name: getattr(one, name) for name in FrameReader.__slots__}
        assert {**now, "_max_bytes": LIMIT, "_needed": 0} == fresh
        assert held_by(one) == sys.getsizeof(one) <= 112


@pytest.mark.parametrize("last", [frame(TEXT, b"short"), frame(PING), frame(BINARY, bytes(300))])
@pytest.mark.parametrize("count", [1, 2])
def test_nothing_is_kept_of_what_was_read(count: int, last: bytes):
    one = reader()
    one.feed(last * count)
    assert len(read_all(one)) == count
    assert (one._data, one._at, one._partial) == (b"", 0, None)


def test_a_partial_frame_takes_little_more_than_its_bytes():
    one = reader()
    for piece in byte_by_byte(frame(TEXT, b"x" * 60_000)[:-1]):
        one.feed(piece)
        assert one.read() is None
    assert held_by(one) < 70_000


class Counting(FrameReader):
    """Counts how often it looks at what has arrived."""

    __slots__ = ("looks",)

    def _next_frame(self):
        self.looks = getattr(self, "looks", 0) + 1
        return super()._next_frame()


def test_a_short_text_goes_the_quick_way():
    one = Counting(LIMIT, inflate=True)
    one.feed(frame(PING))
    assert (one.read(), one.looks) == (Ping(b""), 1)
    texts = [b"x" * length for length in range(126)]
    for text in texts:
        one.feed(frame(TEXT, text))
        assert one.read() == text.decode()
    one.feed(b"".join(frame(TEXT, text) for text in texts))
    assert read_all(one) == [text.decode() for text in texts]
    assert one.looks == 1
    one.feed(b"".join(message(TEXT, [b"1", b"2"])) + frame(TEXT, b"3"))
    assert (read_all(one), one.looks) == (["12", "3"], 3)


def test_a_short_text_may_not_take_the_quick_way_into_a_message():
    one = reader()
    one.feed(frame(TEXT, b"hel", fin=False))
    assert one.read() is None
    assert violation(one, frame(TEXT, b"lo")) == 1002


def test_the_quick_way_looks_at_a_small_limit():
    for max_bytes in (1, 124, 125):
        one = reader(max_bytes)
        one.feed(frame(TEXT, b"x" * max_bytes))
        assert one.read() == "x" * max_bytes
        assert violation(one, frame(TEXT, b"x" * (max_bytes + 1))) == 1009


@pytest.mark.parametrize("length", [126, 65_536])
def test_it_looks_at_a_frame_only_when_that_may_help(length: int):
    one = Counting(LIMIT, inflate=False)
    for piece in byte_by_byte(frame(BINARY, bytes(length))):
        assert one.read() is None
        one.feed(piece)
    assert one.read() == bytes(length)
    assert one.looks == 4  # one byte, two, the length, all of it
