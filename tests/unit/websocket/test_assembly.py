"""Messages in fragments."""

import sys
import tracemalloc

import pytest
from client_frames import cut, deflated

from hubbub.websocket.assembly import MAX_EMPTY_FRAGMENTS, Assembly
from hubbub.websocket.messages import ProtocolViolation

TEXT = 'hello é€😀 {"a": 1}' * 3


def assembly(max_bytes: int = 10_000, *, is_text: bool = True, is_compressed: bool = False) -> Assembly:
    return Assembly(max_bytes, is_text=is_text, is_compressed=is_compressed)


@pytest.mark.parametrize("is_compressed", [False, True])
@pytest.mark.parametrize("is_text", [False, True])
def test_byte_by_byte(is_text: bool, is_compressed: bool):
    payload = deflated(TEXT.encode()) if is_compressed else TEXT.encode()
    parts = assembly(is_text=is_text, is_compressed=is_compressed)
    for part in cut(payload, range(1, len(payload))):
        assert parts.add(part, final=False) is None
    assert parts.received == len(payload)
    assert parts.add(b"", final=True) == (TEXT if is_text else TEXT.encode())


@pytest.mark.parametrize(
    ("fragments", "at"),
    [
        ([b"\xff"], 0),
        ([b"\xe2", b"\x28"], 1),
        ([b"a\xe2\x82", b"\xac", b"\xac"], 2),
        ([b"\xf0\x9f", b"\x98", b"", b"\x80", b"\x80"], 4),
        ([b"\xed", b"\xa0", b"\x80"], 2),
        ([b"\xf4", b"\x90"], 1),
    ],
)
def test_text_is_checked_with_each_fragment(fragments: list[bytes], at: int):
    parts = assembly()
    for fragment in fragments[:at]:
        assert parts.add(fragment, final=False) is None
    with pytest.raises(ProtocolViolation, match="1007 Text is not UTF-8"):
        parts.add(fragments[at], final=False)


def test_text_is_checked_only_once():
    parts = assembly()
    for fragment in (b"hello ", "€".encode()[:2], "€".encode()[2:]):
        parts.add(fragment, final=False)
    assert parts._valid == len("hello €".encode())


def test_inflated_text_is_checked_with_each_fragment():
    with pytest.raises(ProtocolViolation, match="1007 Text is not UTF-8"):
        assembly(is_compressed=True).add(deflated(b"\xff") + b"\x00\x00\xff\xff", final=False)


def test_text_that_ends_inside_a_character():
    parts = assembly()
    parts.add("€".encode()[:2], final=False)
    with pytest.raises(ProtocolViolation, match="1007"):
        parts.add(b"", final=True)


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_what_comes_out_is_bounded_over_all_fragments(size: int):
    payload = deflated(bytes(1001))
    fragments = [payload[at : at + size] for at in range(0, len(payload), size)]
    last = len(fragments) - 1
    for max_bytes in (1001, 1000):
        parts = assembly(max_bytes, is_text=False, is_compressed=True)
        if max_bytes == 1001:
            *_, whole = [parts.add(each, final=place == last) for place, each in enumerate(fragments)]
            assert whole == bytes(1001)
        else:
            with pytest.raises(ProtocolViolation, match="1009"):
                [parts.add(each, final=place == last) for place, each in enumerate(fragments)]


@pytest.mark.parametrize("is_compressed", [False, True])
def test_a_flood_of_empty_fragments(is_compressed: bool):
    parts = assembly(is_compressed=is_compressed)
    before = sys.getsizeof(parts)
    for _ in range(MAX_EMPTY_FRAGMENTS):
        parts.add(b"", final=False)
    assert sys.getsizeof(parts) == before
    with pytest.raises(ProtocolViolation, match="1009 Too many empty fragments"):
        parts.add(b"", final=False)


def test_small_fragments_take_no_more_than_their_bytes():
    parts = assembly(200_000)
    tracemalloc.start()
    try:
        for _ in range(100_000):
            parts.add(b"x", final=False)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 120_000
