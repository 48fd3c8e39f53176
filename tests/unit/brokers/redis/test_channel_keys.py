"""What things are called in Redis; that a server agrees about their slots is in the integration tests."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubbub.brokers.redis.keys import Keys
from hubbub.brokers.redis.slots import slot_of, tag_in

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)


def hash_tag(key: bytes) -> bytes:
    """As the specification has it: what is between the first { and the first } after it, unless that is nothing."""
    _, opened, rest = key.partition(b"{")
    tag, closed, _ = rest.partition(b"}")
    return tag if opened and closed and tag else key


def test_the_slot_of_the_specification():
    assert slot_of(b"123456789") == 0x31C3


@given(NAMES, NAMES)
def test_everything_of_a_channel_is_in_one_slot(name, key):
    keys = Keys("hubbub").of(name)
    for each in (keys.channel, keys.meta, keys.stream, keys.idempotency(key)):
        assert slot_of(hash_tag(each)) == keys.slot
    assert len({keys.channel, keys.meta, keys.stream, keys.idempotency(key)}) == 4
    assert Keys("hubbub").channel(keys.channel) == name


@pytest.mark.parametrize("slot", [0, 1, 5461, 16383])
def test_a_tag_is_found_for_a_slot(slot):
    assert slot_of(tag_in(slot).encode()) == slot
    name = Keys("hubbub").of_server(tag_in(slot), "life")
    assert slot_of(hash_tag(name.encode())) == slot
