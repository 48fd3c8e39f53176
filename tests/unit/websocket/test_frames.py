"""What the writers write."""

import pytest

from hubbub.websocket.frames import close_frame, ping_frame, text_frame


def test_the_examples_of_the_rfc():
    # RFC 6455 section 5.7.
    assert text_frame(b"Hello") == bytes.fromhex("810548656c6c6f")
    assert ping_frame(b"Hello") == bytes.fromhex("890548656c6c6f")


def test_a_close_with_a_code_that_must_not_be_sent():
    with pytest.raises(ValueError, match="1006"):
        close_frame(1006, "")
