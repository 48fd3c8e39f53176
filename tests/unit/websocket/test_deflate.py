"""Compressing once, and inflating with a bound."""

import itertools
import json
import random
import tracemalloc
import zlib

import pytest
from client_frames import TAIL, deflated

from hubbub.websocket.deflate import MIN_COMPRESSED_BYTES, Compressor, Inflater
from hubbub.websocket.messages import ProtocolViolation

MIB = 1 << 20


def inflate(deflated: bytes, room: int = MIB) -> bytes:
    return Inflater().add(deflated, room, final=True)


@pytest.mark.parametrize("window_bits", range(9, 16))
@pytest.mark.parametrize("length", [0, 1, 10, 5000, 100_000])
def test_there_and_back(window_bits: int, length: int):
    text = random.Random(length).randbytes(length) + b'{"type":"message"}' * length
    assert inflate(Compressor(window_bits).compress(text), 10 * MIB) == text


def test_a_small_window_suffices_for_what_it_made():
    text = random.Random(1).randbytes(3000) * 4
    for window_bits in range(9, 16):
        made = Compressor(window_bits).compress(text)
        assert zlib.decompressobj(-window_bits).decompress(made + TAIL) == text


def test_messages_do_not_depend_on_each_other():
    compressor = Compressor(15)
    assert compressor.compress(b"again" * 9) == compressor.compress(b"again" * 9)


@pytest.mark.parametrize("window_bits", [-9, 0, 8, 16])
def test_windows_that_do_not_exist(window_bits: int):
    with pytest.raises(ValueError, match="9 to 15 bits"):
        Compressor(window_bits)


def test_what_is_worth_compressing():
    words = ["room", "open", "there", "is", "no", "way", "to", "say", "when", "others", "come", "back", "it"]
    text = " ".join(random.Random(1).choices(words, k=99))
    for length, least in ((MIN_COMPRESSED_BYTES, 0.1), (300, 0.3)):
        message = json.dumps({"type": "message", "content": text})[:length].encode()
        assert len(Compressor(12).compress(message)) < (1 - least) * length


# RFC 7692 section 7.2.3: the examples, all of them "Hello".


@pytest.mark.parametrize(
    "example",
    [
        "f248cdc9c90700",
        "000500faff48656c6c6f00",
        "f348cdc9c9070000",
        "f248050000 00ffff cac9c90700",
    ],
    ids=["one block", "not compressed", "a last block", "two blocks"],
)
def test_the_examples_of_the_rfc(example: str):
    assert inflate(bytes.fromhex(example)) == b"Hello"


def test_a_last_block_without_the_byte_after_it():
    assert inflate(bytes.fromhex("f348cdc9c90700")) == b"Hello"


@pytest.mark.parametrize("level", [0, 1, 6, 9])
def test_what_other_settings_make(level: int):
    text = random.Random(level).randbytes(40_000) * 3
    assert inflate(deflated(text, level=level)) == text


@pytest.mark.parametrize("places", [[1], [5, 6], range(1, 30)])
@pytest.mark.parametrize("ending", ["sync", "finish", "finish, no byte after"])
def test_fragments(places: list[int], ending: str):
    text = random.Random(1).randbytes(40)
    payload = deflated(text)
    if ending != "sync":
        deflate = zlib.compressobj(wbits=-15)
        payload = deflate.compress(text) + deflate.flush() + (b"\x00" if ending == "finish" else b"")
    borders = [0, *places, len(payload)]
    inflater = Inflater()
    inflated = [
        inflater.add(payload[start:end], 40, final=end == len(payload))
        for start, end in itertools.pairwise(borders)
    ]
    assert b"".join(inflated) == text
    # A last fragment with nothing in it.
    inflater = Inflater()
    assert inflater.add(payload, 40, final=False) + inflater.add(b"", 40, final=True) == text


@pytest.mark.parametrize("room", [0, 1, 999, 1000, 1001, 5000])
def test_a_bound_to_the_byte(room: int):
    for payload in (deflated(bytes(1000)), deflated(random.Random(1).randbytes(1000))):
        if room >= 1000:
            assert len(inflate(payload, room)) == 1000
        else:
            with pytest.raises(ProtocolViolation, match="1009"):
                inflate(payload, room)


def test_nothing_fits_into_no_room():
    assert inflate(deflated(b""), 0) == b""


def test_a_bomb_is_not_inflated():
    bomb = deflated(bytes(50 * MIB), level=9)
    assert len(bomb) < 60_000
    tracemalloc.start()
    try:
        with pytest.raises(ProtocolViolation, match="1009 Message is too big"):
            inflate(bomb, 65_536)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2 * 65_536 + 3 * len(bomb) + 100_000  # zlib's window, and what it holds of both


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"\x07", "broken"),
        (b"\xff\xff\xff", "broken"),
        (b"\x00\x05\x00\x00\x00hello", "broken"),
        (b"", "broken"),
        (deflated(bytes(range(256)))[:-9], "cut off"),
        (bytes.fromhex("f348cdc9c90700") + deflated(b" everybody"), "goes on"),
        (bytes.fromhex("f348cdc9c90700") + b"\x01", "goes on"),
        (bytes.fromhex("f348cdc9c90700") + b"\x00\x00", "goes on"),
    ],
)
def test_data_that_is_wrong(payload: bytes, reason: str):
    with pytest.raises(ProtocolViolation, match=f"1007 Compressed data .*{reason}"):
        inflate(payload)


def test_a_fragment_after_the_last_block():
    inflater = Inflater()
    inflater.add(bytes.fromhex("f348cdc9c90700"), 10, final=False)
    with pytest.raises(ProtocolViolation, match="goes on"):
        inflater.add(deflated(b" everybody"), 10, final=False)


def test_every_cut_is_noticed():
    text = json.dumps([{"user": f"user-{number}", "at": number * 7} for number in range(40)]).encode()
    payload = deflated(text)
    for length in range(len(payload)):
        with pytest.raises(ProtocolViolation, match="1007"):
            inflate(payload[:length])
