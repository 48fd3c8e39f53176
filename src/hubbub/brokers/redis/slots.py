"""Which slot of a Redis Cluster a key is in (Redis Cluster Specification, "Key distribution model")."""

import binascii
from functools import cache
from itertools import count

from hubbub.brokers.redis.dialing import SLOTS


def slot_of(tag: bytes) -> int:
    """Return the slot of all keys with this hash tag: CRC-16/XMODEM of it, modulo 16384."""
    return binascii.crc_hqx(tag, 0) % SLOTS


@cache
def tag_in(slot: int) -> str:
    """Find a hash tag whose keys are in a slot."""
    return next(tag for tag in map(str, count()) if slot_of(tag.encode()) == slot)
