"""A header's rules, all of them for every first byte."""

import pytest

from hubbub.websocket.headers import check_start, extended_length
from hubbub.websocket.messages import ProtocolViolation

MASKED = 0x80


def accepted(*, in_message: bool, inflate: bool, second: int = MASKED) -> set[int]:
    """Return the first bytes that may be there."""
    good = set()
    codes = set()
    for first in range(256):
        try:
            check_start(first, second, in_message, inflate)
        except ProtocolViolation as violation:
            codes.add(int(violation.code))
        else:
            good.add(first)
    assert codes == {1002}
    return good


CONTROL = {0x88, 0x89, 0x8A}


def test_what_a_frame_may_begin_with():
    assert accepted(in_message=False, inflate=False) == CONTROL | {0x01, 0x81, 0x02, 0x82}
    assert accepted(in_message=False, inflate=True) == CONTROL | {
        0x01,
        0x81,
        0x02,
        0x82,
        0x41,
        0xC1,
        0x42,
        0xC2,
    }
    assert accepted(in_message=True, inflate=False) == CONTROL | {0x00, 0x80}
    assert accepted(in_message=True, inflate=True) == CONTROL | {0x00, 0x80}


@pytest.mark.parametrize("second", [0, 1, 125, 126, 127])
def test_nothing_without_a_mask(second: int):
    assert accepted(in_message=False, inflate=True, second=second) == set()


def test_control_frames_are_short():
    assert accepted(in_message=False, inflate=False, second=MASKED | 125) >= CONTROL
    for second in (MASKED | 126, MASKED | 127):
        assert accepted(in_message=False, inflate=False, second=second) == {0x01, 0x81, 0x02, 0x82}


@pytest.mark.parametrize("length", [126, 127, 65_535])
def test_lengths_of_two_bytes(length: int):
    assert extended_length(length.to_bytes(2)) == length


@pytest.mark.parametrize("length", [65_536, 65_537, (1 << 63) - 1])
def test_lengths_of_eight_bytes(length: int):
    assert extended_length(length.to_bytes(8)) == length


@pytest.mark.parametrize(
    ("field", "reason"),
    [
        ((0).to_bytes(2), "Length is not minimal"),
        ((125).to_bytes(2), "Length is not minimal"),
        ((126).to_bytes(8), "Length is not minimal"),
        ((65_535).to_bytes(8), "Length is not minimal"),
        ((1 << 63).to_bytes(8), "Length has 64 bits"),
        (b"\xff" * 8, "Length has 64 bits"),
    ],
)
def test_lengths_that_are_refused(field: bytes, reason: str):
    with pytest.raises(ProtocolViolation, match=reason) as refused:
        extended_length(field)
    assert refused.value.code == 1002
