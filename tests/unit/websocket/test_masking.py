"""Taking the mask off."""

import random

import pytest
from client_frames import frame

from hubbub.websocket.masking import unmask


@pytest.mark.parametrize(
    "length", [0, 1, 2, 3, 4, 5, 7, 8, 125, 126, 508, 509, 510, 511, 512, 513, 514, 515, 5001]
)
def test_every_remainder_of_both_ways(length: int):
    chance = random.Random(length)
    payload, key = chance.randbytes(length), chance.randbytes(4)
    masked = frame(2, payload, key=key)[-length:] if length else b""
    assert unmask(masked, key) == payload
    assert unmask(payload, key) == masked


@pytest.mark.parametrize("key", [bytes(4), b"\xff" * 4, b"\x00\x00\x00\x01", b"\x80\x00\x00\x00"])
@pytest.mark.parametrize("length", [9, 600])
def test_keys_with_zeros(key: bytes, length: int):
    assert unmask(bytes(length), key) == (key * length)[:length]
