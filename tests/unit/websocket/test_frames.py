"""What the writers write, as websockets and wsproto read it as clients."""

import pytest
from client_frames import at_once, byte_by_byte
from oracles import Outcome, by_websockets, by_wsproto

from hubbub.websocket.deflate import Compressor
from hubbub.websocket.frames import (
    Opcode,
    binary_frame,
    close_frame,
    compressed_binary_frame,
    compressed_text_frame,
    may_be_sent,
    ping_frame,
    pong_frame,
    text_frame,
)
from hubbub.websocket.messages import Close, Message, Ping, Pong

LENGTHS = [0, 1, 124, 125, 126, 127, 128, 65_534, 65_535, 65_536, 65_537]


def received(frame: bytes, *, inflate: bool = False) -> Message:
    """Return the one message that both clients find in a frame."""
    outcome = by_websockets(at_once(frame), inflate=inflate, client=True)
    assert by_wsproto(at_once(frame), inflate=inflate, client=True) == outcome
    assert outcome.violation is None
    [message] = outcome.messages
    return message


def test_the_examples_of_the_rfc():
    # RFC 6455 section 5.7, RFC 7692 section 7.2.3.1.
    assert text_frame(b"Hello") == bytes.fromhex("810548656c6c6f")
    assert ping_frame(b"Hello") == bytes.fromhex("890548656c6c6f")
    assert binary_frame(bytes(256)) == bytes.fromhex("827e0100") + bytes(256)
    assert binary_frame(bytes(65_536)) == bytes.fromhex("827f0000000000010000") + bytes(65_536)
    assert compressed_text_frame(bytes.fromhex("f248cdc9c90700")) == bytes.fromhex("c107f248cdc9c90700")


@pytest.mark.parametrize("length", LENGTHS)
def test_every_length(length: int):
    assert received(text_frame(b"x" * length)) == "x" * length
    assert received(binary_frame(b"\xff" * length)) == b"\xff" * length


def test_the_shortest_header_for_every_length():
    assert [len(text_frame(bytes(length))) - length for length in LENGTHS] == [2] * 4 + [4] * 5 + [10] * 2


def test_characters_of_all_lengths():
    assert received(text_frame("aé€😀".encode())) == "aé€😀"


@pytest.mark.parametrize("window_bits", range(9, 16))
@pytest.mark.parametrize("length", [*LENGTHS, 200_000])
def test_compressed(length: int, window_bits: int):
    text = ('{"user":"é😀"}' * length)[:length]
    compressor = Compressor(window_bits)
    assert received(compressed_text_frame(compressor.compress(text.encode())), inflate=True) == text
    binary = text.encode()
    assert received(compressed_binary_frame(compressor.compress(binary)), inflate=True) == binary


def test_one_frame_after_the_other():
    stream = (
        text_frame(b"one")
        + compressed_text_frame(Compressor(12).compress(b"two" * 99))
        + pong_frame(b"three")
        + compressed_text_frame(Compressor(9).compress(b"two" * 99))
        + close_frame(4008, "slow")
    )
    expected = Outcome(["one", "two" * 99, Pong(b"three"), "two" * 99, Close(4008, "slow")])
    for read in (by_websockets, by_wsproto):
        assert read(at_once(stream), inflate=True, client=True) == expected
        assert read(byte_by_byte(stream), inflate=True, client=True) == expected


@pytest.mark.parametrize("payload", [b"", b"\x00\xff", b"p" * 125])
def test_pings_and_pongs(payload: bytes):
    assert received(ping_frame(payload)) == Ping(payload)
    assert received(pong_frame(payload)) == Pong(payload)


def test_a_ping_may_say_nothing():
    assert received(ping_frame()) == Ping(b"")


@pytest.mark.parametrize("make", [ping_frame, pong_frame])
def test_a_control_frame_is_short(make):
    with pytest.raises(ValueError, match="125 bytes, not 126"):
        make(b"p" * 126)


def test_a_close_without_a_code():
    assert received(close_frame()) == Close(None, "")
    with pytest.raises(ValueError, match="a reason needs a code"):
        close_frame(None, "why")


@pytest.mark.parametrize(
    "code", [1000, 1001, 1002, 1003, 1007, 1009, 1011, 1012, 1013, 3000, 4000, 4010, 4999]
)
def test_a_close_with_a_code(code: int):
    assert received(close_frame(code, "why")) == Close(code, "why")
    assert received(close_frame(code)) == Close(code, "")


@pytest.mark.parametrize("code", [-1, 0, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65_536])
def test_codes_that_must_not_be_sent(code: int):
    assert not may_be_sent(code)
    with pytest.raises(ValueError, match=f"{code} is not a close code"):
        close_frame(code, "")


@pytest.mark.parametrize(
    ("reason", "left"),
    [
        ("r" * 123, "r" * 123),
        ("r" * 124, "r" * 123),
        ("é" * 62, "é" * 61),
        ("r" + "é" * 61, "r" + "é" * 61),
        ("€" * 42, "€" * 41),
        ("r" + "€" * 41, "r" + "€" * 40),
        ("😀" * 31, "😀" * 30),
        ("r" * 122 + "😀", "r" * 122),
        ("lone \ud800 surrogate", "lone ? surrogate"),
    ],
)
def test_a_reason_is_cut_between_characters(reason: str, left: str):
    assert received(close_frame(1008, reason)) == Close(1008, left)


def test_opcodes():
    assert {opcode.name: int(opcode) for opcode in Opcode} == {
        "CONTINUATION": 0,
        "TEXT": 1,
        "BINARY": 2,
        "CLOSE": 8,
        "PING": 9,
        "PONG": 10,
    }
