"""Streams of frames, read by ours and by others: the same messages, and the same close code where they end.

Where we differ from websockets, on purpose:

* "the minimal number of bytes MUST be used to encode the length" (RFC 6455 section 5.2): we refuse others, as wsproto does;
  websockets takes them.
* "the most significant bit MUST be 0" (section 5.2): 1002 here and in wsproto; websockets finds the length too big.
* "Control frames [...] MAY be injected in the middle of a fragmented message" (section 5.4), so a Close there is a Close;
  websockets calls it a protocol error.
* 1014 is registered with IANA (section 7.4.2): we and websockets take it, wsproto does not.
* In a Close whose code and reason are both wrong, we complain of the code, websockets of the reason.
* In a header that is wrong and too long for the limit, we complain of what is wrong (1002), websockets of the length.
* Control frames do not count against the limit on messages; websockets refuses a Ping above it.
* Deflate data that is broken is 1007, data "not consistent with the type of the message" (section 7.4.1), as in wsproto;
  websockets says 1002. Data that was cut inside a block, or goes on after its last, is 1007 too; both others return
  what they have.
* A limit holds for what arrives as well as for what comes out of inflating it, over all fragments.
* Text is checked by us, fragment by fragment (section 8.1); websockets leaves that to the layer above, here `Assembler`.
"""

import random
import zlib
from collections.abc import Callable

import pytest
from client_frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    RSV1,
    RSV2,
    RSV3,
    TAIL,
    TEXT,
    at_once,
    byte_by_byte,
    cut,
    deflated,
    frame,
    frame_by_frame,
    header,
    in_slices,
    message,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import Outcome, by_websockets, by_wsproto, ours

from hubbub.websocket.messages import Close

CHARACTERS = 'aZ0 {}"é߿ࠀ€\ud7ff\uffff😀\U0010ffff\x00'
LENGTHS = (0, 1, 2, 3, 4, 5, 124, 125, 126, 127, 128, 300, 1000, 65535, 65536, 65537)
LIMIT = 70_000


def some_text(chance: random.Random) -> bytes:
    if chance.random() < 0.2:
        return b"x" * chance.choice(LENGTHS)
    return "".join(chance.choices(CHARACTERS, k=chance.choice((0, 1, 5, 30, 60, 200)))).encode()


def some_control(chance: random.Random) -> bytes:
    return frame(chance.choice((PING, PONG)), chance.randbytes(chance.choice((0, 1, 4, 125))))


def some_message(chance: random.Random, *, inflate: bool) -> list[bytes]:
    """Make the frames of a message, with control frames in between."""
    opcode = chance.choice((TEXT, BINARY))
    payload = some_text(chance) if opcode == TEXT else chance.randbytes(chance.choice(LENGTHS[:-3]))
    rsv = 0
    if inflate and chance.random() < 0.6:
        payload = deflated(payload, chance.choice((9, 12, 15)), chance.choice((0, 1, 6)))
        rsv = RSV1
    frames = [frame(opcode, payload, rsv=rsv, key=chance.randbytes(4))]
    if chance.random() < 0.5:
        places = [chance.randrange(len(payload) + 1) for _ in range(chance.randrange(5))]
        frames = message(opcode, cut(payload, places), rsv=rsv)
    for place in range(len(frames) - 1, 0, -1):
        if chance.random() < 0.2:
            frames.insert(place, some_control(chance))
    return frames


def valid_stream(chance: random.Random, *, inflate: bool) -> list[bytes]:
    frames: list[bytes] = []
    for _ in range(chance.randrange(6)):
        frames += some_message(chance, inflate=inflate)
        if chance.random() < 0.3:
            frames.append(some_control(chance))
    return frames


def some_close(chance: random.Random) -> bytes:
    code = chance.choice((1000, 1001, 1002, 1003, 1007, 1008, 1011, 1012, 1013, 3000, 4000, 4999))
    return frame(CLOSE, chance.choice((b"", code.to_bytes(2), code.to_bytes(2) + "weil – 😀".encode())))


def agree(stream: bytes, chance: random.Random, max_bytes: int = 0, *, inflate: bool) -> Outcome:
    """Read the stream in several ways with both readers; return what all of them read."""
    expected = by_websockets(at_once(stream), max_bytes, inflate=inflate)
    assert ours(at_once(stream), max_bytes, inflate=inflate) == expected
    assert ours(frame_by_frame(stream), max_bytes, inflate=inflate) == expected
    assert ours(in_slices(stream, chance), max_bytes, inflate=inflate) == expected
    assert by_websockets(in_slices(stream, chance), max_bytes, inflate=inflate) == expected
    if len(stream) < 3000:
        assert ours(byte_by_byte(stream), max_bytes, inflate=inflate) == expected
        assert by_websockets(byte_by_byte(stream), max_bytes, inflate=inflate) == expected
    return expected


@pytest.mark.parametrize("seed", range(120))
def test_valid_streams(seed: int):
    chance = random.Random(seed)
    inflate = seed % 2 == 1
    frames = valid_stream(chance, inflate=inflate)
    if chance.random() < 0.5:
        frames += [some_close(chance), b"what follows a Close is not read"]
    stream = b"".join(frames)
    outcome = agree(stream, chance, max_bytes=chance.choice((0, LIMIT)), inflate=inflate)
    assert outcome.violation is None
    # wsproto forgets that a message is compressed when a control frame comes between its fragments.
    if not inflate:
        assert by_wsproto(at_once(stream)) == outcome
        assert by_wsproto(in_slices(stream, chance)) == outcome


@pytest.mark.parametrize("seed", range(40))
def test_valid_compressed_streams_and_wsproto(seed: int):
    chance = random.Random(seed)
    stream = b""
    for _ in range(4):
        text = some_text(chance)
        stream += b"".join(message(TEXT, cut(deflated(text), [chance.randrange(90)] * seed), rsv=RSV1))
    outcome = ours(in_slices(stream, chance), LIMIT, inflate=True)
    assert by_wsproto(at_once(stream), inflate=True) == outcome
    assert len(outcome.messages) == 4


LONG = 65_535 * b"l"
BROKEN: dict[str, Callable[[], bytes]] = {
    "not masked": lambda: frame(TEXT, b"hello", masked=False),
    "not masked, control": lambda: frame(PING, b"hello", masked=False),
    "not masked, empty": lambda: frame(TEXT, masked=False) + bytes(4),
    "RSV2": lambda: frame(TEXT, b"hello", rsv=RSV2),
    "RSV3": lambda: frame(BINARY, b"hello", rsv=RSV3),
    "RSV1 and RSV2": lambda: frame(TEXT, deflated(b"hello"), rsv=RSV1 | RSV2),
    "RSV1 on a Ping": lambda: frame(PING, b"hello", rsv=RSV1),
    "RSV1 on a Close": lambda: frame(CLOSE, b"\x03\xe8", rsv=RSV1),
    "RSV1 on a continuation": lambda: frame(TEXT, b"he", fin=False) + frame(CONTINUATION, b"llo", rsv=RSV1),
    "continuation of nothing": lambda: frame(CONTINUATION, b"hello"),
    "continuation of nothing, not final": lambda: frame(CONTINUATION, b"hello", fin=False),
    "continuation after the end": lambda: frame(TEXT, b"hello") + frame(CONTINUATION, b"hello"),
    "text in a message": lambda: frame(TEXT, b"hello", fin=False) + frame(TEXT, b"hello"),
    "binary in a message": lambda: frame(BINARY, b"hello", fin=False) + frame(BINARY, b"hello"),
    "text of 126 in a message": lambda: frame(TEXT, b"hello", fin=False) + frame(TEXT, b"h" * 126),
    **{f"opcode {opcode}": lambda opcode=opcode: frame(opcode, b"hello") for opcode in (3, 4, 5, 6, 7)},
    **{f"opcode {opcode}": lambda opcode=opcode: frame(opcode, b"") for opcode in (11, 12, 13, 14, 15)},
    "Ping in fragments": lambda: frame(PING, b"hello", fin=False),
    "Close in fragments": lambda: frame(CLOSE, fin=False),
    "Ping of 126 bytes": lambda: frame(PING, b"p" * 126),
    "Close of 126 bytes": lambda: frame(CLOSE, b"\x03\xe8" + b"r" * 124),
    "Pong of 65535 bytes": lambda: frame(PONG, LONG),
    "half a close code": lambda: frame(CLOSE, b"\x03"),
    **{
        f"close code {code}": lambda code=code: frame(CLOSE, code.to_bytes(2) + b"why")
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)
    },
    "a close reason that is not UTF-8": lambda: frame(CLOSE, b"\x03\xe8\xff"),
    "a close reason that is cut": lambda: frame(CLOSE, b"\x03\xe8\xe2\x82"),
    "too big by one": lambda: frame(BINARY, bytes(LIMIT + 1)),
    "the header of one too big by one": lambda: header(BINARY, LIMIT + 1),
    "the header of 2**63-1 bytes": lambda: header(TEXT, 2**63 - 1),
    "too big by one in fragments": lambda: b"".join(message(BINARY, [bytes(LIMIT), b"", b"x"])),
    "the header of a fragment too big by one": lambda: (
        frame(TEXT, bytes(LIMIT - 9), fin=False) + header(CONTINUATION, 10)
    ),
    "bytes that are never UTF-8": lambda: frame(TEXT, b"hello \xff"),
    "bytes that are never UTF-8, long": lambda: frame(TEXT, b"hello" * 99 + b"\xff"),
    "an overlong character": lambda: frame(TEXT, b"\xc0\xaf"),
    "a surrogate": lambda: frame(TEXT, b"\xed\xa0\x80"),
    "above U+10FFFF": lambda: frame(TEXT, b"\xf4\x90\x80\x80"),
    "a cut character": lambda: frame(TEXT, "hell€".encode()[:-1]),
    "a cut character at the end of fragments": lambda: b"".join(
        message(TEXT, cut("hell€".encode()[:-1], [5]))
    ),
    "a first fragment that is not UTF-8": lambda: frame(TEXT, b"\xff", fin=False),
    "a fragment that cannot become UTF-8": lambda: frame(TEXT, b"hello \xf4\x90", fin=False),
    "a fragment that does not continue a character": lambda: (
        frame(TEXT, b"\xe2\x82", fin=False) + frame(CONTINUATION, b"a", fin=False)
    ),
}


@pytest.mark.parametrize("inflate", [False, True])
@pytest.mark.parametrize("name", BROKEN)
def test_broken_streams(name: str, inflate: bool):
    chance = random.Random(name)
    before = b"".join(valid_stream(chance, inflate=inflate))
    broken = BROKEN[name]()
    read = ours(at_once(before), LIMIT, inflate=inflate).messages
    outcome = agree(before + broken + b"the rest", chance, LIMIT, inflate=inflate)
    assert outcome.violation is not None
    assert outcome.messages[: len(read)] == read
    # Told as soon as it can be known: nothing has to follow.
    assert ours(at_once(broken), LIMIT, inflate=inflate).violation == outcome.violation


def test_rsv1_without_the_extension():
    stream = frame(TEXT, deflated(b"hello"), rsv=RSV1)
    assert agree(stream, random.Random(1), inflate=False) == Outcome([], 1002)


# Differences, each with what the others say.


@pytest.mark.parametrize(
    ("length", "length_bytes"), [(0, 2), (125, 2), (0, 8), (125, 8), (126, 8), (65535, 8)]
)
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_a_length_that_is_not_minimal(opcode: int, length: int, length_bytes: int):
    stream = frame(opcode, b"x" * length, length_bytes=length_bytes)
    assert ours(at_once(stream)) == Outcome([], 1002) == by_wsproto(at_once(stream))
    assert by_websockets(at_once(stream)).violation is None


def test_a_length_of_64_bits():
    stream = header(TEXT, 1 << 63)
    assert ours(at_once(stream), LIMIT) == Outcome([], 1002) == by_wsproto(at_once(stream))
    assert by_websockets(at_once(stream), LIMIT) == Outcome([], 1009)


def test_a_close_inside_a_message():
    stream = frame(TEXT, b"hel", fin=False) + frame(CLOSE, b"\x03\xe8") + frame(CONTINUATION, b"lo")
    assert ours(at_once(stream)) == Outcome([Close(1000, "")]) == by_wsproto(at_once(stream))
    assert by_websockets(at_once(stream)) == Outcome([], 1002)


def test_close_code_1014():
    stream = frame(CLOSE, (1014).to_bytes(2))
    assert ours(at_once(stream)) == Outcome([Close(1014, "")]) == by_websockets(at_once(stream))
    assert by_wsproto(at_once(stream)) == Outcome([], 1002)


def test_a_close_that_is_wrong_twice():
    stream = frame(CLOSE, (1005).to_bytes(2) + b"\xff")
    assert ours(at_once(stream)) == Outcome([], 1002) == by_wsproto(at_once(stream))
    assert by_websockets(at_once(stream)) == Outcome([], 1007)


def test_a_header_that_is_wrong_and_too_long():
    stream = header(CONTINUATION, LIMIT + 1)
    assert ours(at_once(stream), LIMIT) == Outcome([], 1002)
    assert by_websockets(at_once(stream), LIMIT) == Outcome([], 1009)


def test_a_control_frame_longer_than_messages_may_be():
    stream = frame(PING, b"p" * 125)
    assert ours(at_once(stream), 10) == by_wsproto(at_once(stream))
    assert by_websockets(at_once(stream), 10) == Outcome([], 1009)


def test_deflate_data_that_is_broken():
    stream = frame(TEXT, b"\x07\xff\xff", rsv=RSV1)
    assert (
        ours(at_once(stream), inflate=True) == Outcome([], 1007) == by_wsproto(at_once(stream), inflate=True)
    )
    assert by_websockets(at_once(stream), inflate=True) == Outcome([], 1002)


def test_deflate_data_that_is_cut():
    stream = frame(BINARY, deflated(b"hello hello hello" * 9)[:-4], rsv=RSV1)
    assert ours(at_once(stream), inflate=True) == Outcome([], 1007)
    assert by_websockets(at_once(stream), inflate=True).violation is None
    assert by_wsproto(at_once(stream), inflate=True).violation is None


def test_deflate_data_after_its_last_block():
    deflate = zlib.compressobj(wbits=-15)
    last = deflate.compress(b"hello") + deflate.flush(zlib.Z_FINISH)
    stream = frame(BINARY, last + deflated(b" everybody"), rsv=RSV1)
    assert ours(at_once(stream), inflate=True) == Outcome([], 1007)
    assert by_websockets(at_once(stream), inflate=True) == Outcome([b"hello"])


def test_a_limit_counts_all_that_arrived():
    # Ten blocks, each four bytes of nothing and a tail: nothing comes out of them.
    nothing = b"\x00" + TAIL
    stream = b"".join(message(BINARY, [nothing] * 9 + [b"\x00"], rsv=RSV1))
    assert ours(at_once(stream), 46, inflate=True) == Outcome([b""])
    assert ours(at_once(stream), 45, inflate=True) == Outcome([], 1009)
    assert by_websockets(at_once(stream), 45, inflate=True) == Outcome([b""])


# Without a plan.

EXCUSES = {
    "Length is not minimal",
    "Length has 64 bits",
    "Close code is not valid",  # the reason may be wrong, too
}


def both_right(outcome: Outcome, expected: Outcome) -> bool:
    """Say whether the outcomes are the same, or differ as the list above says."""
    if (outcome.violation, expected.violation) == (1002, 1009):
        return outcome.messages == expected.messages
    return outcome == expected


@pytest.mark.parametrize("seed", range(300))
def test_headers_with_flipped_bits(seed: int):
    chance = random.Random(seed)
    inflate = seed % 2 == 1
    frames = [frame(TEXT, b"hello", fin=False), frame(CONTINUATION, b"", fin=False), some_control(chance)]
    frames += [
        frame(CONTINUATION, b"x" * chance.choice((3, 126, 300))),
        frame(BINARY, b"abc"),
        some_close(chance),
    ]
    flipped = bytearray(frames[place := chance.randrange(len(frames))])
    flipped[chance.randrange(2)] ^= 1 << chance.randrange(8)
    frames[place] = bytes(flipped)
    stream = b"".join(frames) + bytes(66_000)  # so that no reader is left waiting for a payload
    outcome = ours(at_once(stream), 65_536, inflate=inflate)
    assert ours(frame_by_frame(stream), 65_536, inflate=inflate) == outcome
    assert ours(in_slices(stream, chance), 65_536, inflate=inflate) == outcome
    expected = by_websockets(at_once(stream), 65_536, inflate=inflate)
    if outcome.reason in EXCUSES:
        assert outcome.violation == by_wsproto(at_once(stream), inflate=inflate).violation
    elif outcome.reason.startswith("Compressed data"):
        assert expected.violation in {1002, 1007}
    elif outcome.messages and isinstance(outcome.messages[-1], Close) and expected.violation == 1002:
        assert expected.reason == "incomplete fragmented message"
    else:
        assert both_right(outcome, expected)


first_bytes = st.sampled_from(
    [0x81, 0x82, 0x01, 0x02, 0x00, 0x80, 0x88, 0x89, 0x8A, 0xC1, 0x41]
) | st.integers(0, 255)
second_bytes = st.integers(0x80, 0x8A) | st.integers(0, 255)
frames_of_any_kind = st.tuples(first_bytes, second_bytes, st.binary(max_size=20)).map(
    lambda parts: bytes(parts[:2]) + parts[2]
)
texts = st.text().map(lambda text: frame(TEXT, text.encode()))
streams = st.lists(frames_of_any_kind | texts | st.binary(max_size=8), max_size=8).map(b"".join)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(stream=streams, inflate=st.booleans(), seed=st.integers())
def test_any_bytes(stream: bytes, inflate: bool, seed: int):
    outcome = ours(at_once(stream), LIMIT, inflate=inflate)
    assert ours(byte_by_byte(stream), LIMIT, inflate=inflate) == outcome
    assert ours(frame_by_frame(stream), LIMIT, inflate=inflate) == outcome
    assert ours(in_slices(stream, random.Random(seed)), LIMIT, inflate=inflate) == outcome
    expected = by_websockets(at_once(stream), LIMIT, inflate=inflate)
    if outcome.violation is None:
        # What we take the others take as well. They may be behind: websockets waits for a payload whose header is wrong.
        assert outcome.messages == expected.messages or isinstance(outcome.messages[-1], Close)
    elif (
        expected.violation is not None
        and outcome.reason not in EXCUSES
        and "Compressed" not in outcome.reason
    ):
        assert both_right(outcome, expected)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    texts=st.lists(st.text(), max_size=4),
    places=st.lists(st.integers(0, 200), max_size=4),
    seed=st.integers(),
    inflate=st.booleans(),
)
def test_texts_cut_anywhere(texts: list[str], places: list[int], seed: int, inflate: bool):
    stream = b""
    for text in texts:
        payload = deflated(text.encode()) if inflate else text.encode()
        stream += b"".join(message(TEXT, cut(payload, places), rsv=RSV1 if inflate else 0))
    assert agree(stream, random.Random(seed), LIMIT, inflate=inflate) == Outcome(list(texts))
