"""Frames made for a server, and frames that a server made, in every cut."""

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubbub.bench.frames import PING, TEXT, closing, frame, inflate, text, walk


def unmasked(opcode: int, payload: bytes, *, first: int = 0x80) -> bytes:
    """Make a frame as a server sends it."""
    length = len(payload)
    if length < 126:
        header = bytes((first | opcode, length))
    elif length < 65536:
        header = bytes((first | opcode, 126)) + struct.pack("!H", length)
    else:
        header = bytes((first | opcode, 127)) + struct.pack("!Q", length)
    return header + payload


@pytest.mark.parametrize(("length", "header"), [(0, 6), (125, 6), (126, 8), (65535, 8), (65536, 14)])
def test_a_frame_is_masked_with_zeros(length, header):
    made = frame(TEXT, b"x" * length)
    assert (made[0], made[1] & 0x80, len(made)) == (0x81, 0x80, header + length)
    assert made[header - 4 : header] == bytes(4)
    assert made.endswith(b"x" * length)


def test_text_is_utf_8():
    assert text("é").endswith("é".encode())


@given(st.lists(st.tuples(st.sampled_from([TEXT, PING]), st.binary(max_size=300))), st.integers(0, 40))
def test_frames_are_found_however_the_stream_ends(messages, cut):
    stream = b"".join(unmasked(opcode, payload) for opcode, payload in messages)
    data = stream[: max(0, len(stream) - cut)]
    frames, end = walk(data)
    rest, _ = walk(data[end:] + stream[len(data) :])
    found = [(each.opcode, data[each.start : each.end]) for each in frames]
    tail = data[end:] + stream[len(data) :]
    found += [(each.opcode, tail[each.start : each.end]) for each in rest]
    assert found == messages


def test_a_long_frame_is_found():
    stream = unmasked(TEXT, b"x" * 70_000)
    assert walk(stream[:-1]) == ([], 0)
    [only], end = walk(stream)
    assert (only.end - only.start, end) == (70_000, len(stream))


def test_a_compressed_message_is_inflated():
    squeeze = zlib.compressobj(wbits=-15)
    payload = (squeeze.compress(b"hello" * 40) + squeeze.flush(zlib.Z_SYNC_FLUSH))[:-4]
    [only], _ = walk(stream := unmasked(TEXT, payload, first=0xC0))
    assert only.compressed
    assert inflate(stream[only.start : only.end]) == b"hello" * 40


def test_a_close_frame_says_why():
    assert closing(struct.pack("!H", 4008) + b"slow") == (4008, "slow")
    assert closing(b"") == (1005, "")
