"""Compression."""

import pytest

from hubbub.websocket.deflate import Compressor, Inflater


@pytest.mark.parametrize("window_bits", range(9, 16))
def test_there_and_back(window_bits: int):
    text = b'{"type":"message"}' * 100
    assert Inflater().add(Compressor(window_bits).compress(text), len(text), final=True) == text
