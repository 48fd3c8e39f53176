"""What a peer says when it closes, and violations."""

import pytest

from hubbub.exceptions import HubbubError
from hubbub.websocket.messages import Close, Ping, Pong, ProtocolViolation, Violation, decode_text


@pytest.mark.parametrize(
    ("payload", "close"),
    [
        (b"", Close(None, "")),
        (b"\x03\xe8", Close(1000, "")),
        (b"\x03\xe9" + "gegangen – 😀".encode(), Close(1001, "gegangen – 😀")),
        (b"\x13\x87" + b"r" * 123, Close(4999, "r" * 123)),
    ],
)
def test_a_close(payload: bytes, close: Close):
    assert Close.parse(payload) == close


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b"\x03", 1002),
        (b"\x03\xed", 1002),
        (b"\x00\x00", 1002),
        (b"\x03\xe8\xff", 1007),
        (b"\x03\xe8\xc3", 1007),
    ],
)
def test_a_close_that_is_wrong(payload: bytes, code: int):
    with pytest.raises(ProtocolViolation) as wrong:
        Close.parse(payload)
    assert wrong.value.code == code


def test_a_violation_says_how_to_close():
    violation = ProtocolViolation(Violation.TOO_BIG, "Message is too big")
    assert (violation.code, violation.reason, str(violation)) == (
        1009,
        "Message is too big",
        "1009 Message is too big",
    )
    assert isinstance(violation, HubbubError)


def test_a_ping_is_no_pong():
    assert Ping(b"1") != Pong(b"1")
    assert Ping(b"1") == Ping(b"1")


def test_text():
    assert decode_text(bytearray("é".encode())) == "é"
    with pytest.raises(ProtocolViolation, match="1007 Text is not UTF-8"):
        decode_text(b"\xff")
