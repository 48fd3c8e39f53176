"""Ids: UUIDv7 by the letter, unguessable or rising."""

import uuid
from itertools import pairwise

import pytest

from hubbub.hub.ids import DRAWN_AT_ONCE, IDS_A_MILLISECOND, RisingIds, SecretIds

NOW = 1_750_000_000.25
MILLISECONDS = 1_750_000_000_250


def test_secret_ids_begin_with_the_time_and_end_at_random():
    ids = SecretIds()
    texts = [ids.new() for _ in range(3 * DRAWN_AT_ONCE + 232)]
    made = [uuid.UUID(text) for text in texts]
    assert [str(each) for each in made] == texts
    assert len({each.int & (1 << 62) - 1 for each in made}) == len(made)
    assert all((each.version, each.variant) == (7, uuid.RFC_4122) for each in made)
    assert all(one.int >> 80 <= two.int >> 80 for one, two in pairwise(made))


def test_every_random_bit_of_a_secret_id_is_used():
    ids = SecretIds()
    made = [uuid.UUID(ids.new()).int for _ in range(1000)]
    fixed = (0b1111 << 76) | (0b11 << 62)
    for bit in range(80):
        if not fixed >> bit & 1:
            assert len({each >> bit & 1 for each in made}) == 2, bit


def test_rising_ids_are_uuids_of_their_time():
    text = RisingIds().new(NOW)
    made = uuid.UUID(text)
    assert str(made) == text
    assert (made.version, made.variant, made.int >> 80) == (7, uuid.RFC_4122, MILLISECONDS)


@pytest.mark.parametrize("step", [0.0, 0.0001, 0.001, 1.0, -1.0])
def test_rising_ids_rise_whatever_the_clock_does(step):
    ids = RisingIds()
    texts = [ids.new(NOW + step * number) for number in range(3 * IDS_A_MILLISECOND)]
    assert all(one < two for one, two in pairwise(texts))
    assert all(uuid.UUID(text).version == 7 for text in texts)


def test_a_full_millisecond_runs_over_into_the_next():
    ids = RisingIds()
    made = [uuid.UUID(ids.new(NOW)).int >> 80 for _ in range(IDS_A_MILLISECOND + 1)]
    assert made == [MILLISECONDS] * IDS_A_MILLISECOND + [MILLISECONDS + 1]


def test_two_makers_of_one_millisecond_never_meet():
    makers = [RisingIds() for _ in range(200)]
    texts = {maker.new(NOW) for maker in makers} | {maker.new(NOW) for maker in makers}
    assert len(texts) == 400


def test_each_millisecond_is_drawn_anew():
    ids = RisingIds()
    assert len({ids.new(NOW + number / 1000)[19:] for number in range(200)}) == 200
