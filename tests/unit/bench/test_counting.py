"""Marks are counted once, however a server cuts and joins what it sends."""

import itertools
import zlib
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from hubbub.bench.counting import Counter, Stopwatch, heard
from hubbub.bench.wires import PLAIN

MARK = "T=00000000000000ff"


def server_frame(payload: bytes, first: int = 0x81) -> bytes:
    length = len(payload)
    return (
        bytes((first, length)) + payload
        if length < 126
        else bytes((first, 126)) + length.to_bytes(2, "big") + payload
    )


def message(padding: str = "") -> bytes:
    return server_frame(f'{{"data":{{"content":"{MARK}{padding}"}},"offset":1}}'.encode())


def compressed(padding: str = "") -> bytes:
    squeeze = zlib.compressobj(wbits=-15)
    data = squeeze.compress(message(padding)[2:]) + squeeze.flush(zlib.Z_SYNC_FLUSH)
    return server_frame(data[:-4], first=0xC1)


def count_all(counter: Counter, chunks: list[bytes], *, timed: bool = False) -> int:
    marks, rest = 0, b""
    for chunk in chunks:
        if chunk:
            counted = counter.count(rest + chunk, timed=timed)
            marks, rest = marks + counted.marks, counted.rest
    assert rest == b""
    return marks


def test_several_frames_in_one_chunk():
    assert Counter(PLAIN).count(message() * 3).marks == 3


@given(st.integers(1, 6), st.lists(st.integers(0, 600), max_size=8))
def test_a_cut_loses_nothing_and_counts_nothing_twice(messages, cuts):
    stream = (message("x" * 100) + server_frame(b'{"type":"ping"}')) * messages
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    chunks = [stream[start:end] for start, end in itertools.pairwise(edges)]
    assert count_all(Counter(PLAIN), chunks) == messages


def test_a_chunk_that_ends_with_an_inner_bracket():
    stream = message() + message()
    inner = stream.rindex(b"}}") + 1 if b"}}" in stream else stream.rindex(b"},") + 1
    counter = Counter(PLAIN)
    first, second = counter.count(stream[:inner]), counter.count(stream[inner:] + message())
    # Nothing told it that the first chunk was cut: the second begins inside a message and is put right.
    assert (first.marks + second.marks, second.rest) == (3, b"")


def test_a_ping_between_messages_is_answered():
    counted = Counter(PLAIN).count(message() + b"\x89\x02hi" + message())
    assert (counted.marks, counted.answer) == (2, b"\x8a\x82\0\0\0\0hi")


def test_a_heartbeat_in_text_is_answered():
    counter = Counter(replace(PLAIN, answers={b"2": b"three"}))
    counted = counter.count(message() + b"\x81\x012" + message())
    assert (counted.marks, counted.answer) == (2, b"three")


def test_an_error_is_heard_among_messages():
    error = b'{"type":"error","code":"rate_limited"}'
    counted = Counter(PLAIN).count(message() + server_frame(error) + message())
    assert (counted.marks, counted.refusals) == (2, [error])


def test_a_goodbye_is_heard():
    assert Counter(PLAIN).count(message() + b"\x88\x06\x0f\xa8slow").closed == (4008, "slow")


def test_compressed_frames_are_counted_and_inflated_for_who_is_timed():
    chunks = [compressed()[:7], compressed()[7:] + compressed(), message("x" * 200)]
    counter = Counter(PLAIN, deflate=True)
    assert count_all(counter, chunks) == 3
    counter.stopwatch = Stopwatch()
    assert count_all(counter, chunks, timed=True) == 3
    assert len(counter.stopwatch.times) == 3


def test_only_what_was_sent_since_is_timed():
    stopwatch = Stopwatch(since=256)
    stopwatch.take(message() + message().replace(b"0000ff", b"000100"), PLAIN.needle)
    assert len(stopwatch.times) == 1


def test_what_is_awaited_and_never_comes_counts_with_its_age():
    stopwatch = Stopwatch(awaited={255: 2, 256: 1})
    stopwatch.take(message() * 3, PLAIN.needle)
    assert len(stopwatch.times) == 2
    assert stopwatch.give_up() == 1
    assert len(stopwatch.times) == 3


def test_a_greeting_is_heard_with_what_is_left():
    stream = server_frame(b'{"type":"welcome"}') + b"\x89\x00" + compressed()
    text, rest, closed = heard(stream + message()[:5])
    assert text.startswith(b'{"type":"welcome"}')
    assert MARK.encode() in text
    assert (rest, closed) == (message()[:5], None)
    assert heard(b"\x88\x02\x03\xf5")[2] == (1013, "")
