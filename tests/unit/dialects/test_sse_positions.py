"""The vector of positions: whole, small, safe in headers and URLs, and robust to anything that comes back instead."""

import re
import string
from urllib.parse import quote
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubbub.dialects.sse_positions import (
    LOST,
    MAX_CHANNELS,
    MAX_LENGTH,
    Positions,
    closed_id,
    is_closed_id,
    read_positions,
    tag,
)
from hubbub.hub.publications import Position
from hubbub.types import Epoch

NAMES = st.text(min_size=1, max_size=100)
EPOCHS = st.text(min_size=1, max_size=40).map(Epoch)
OFFSETS = st.integers(0, 10**18 - 1)
IDS = st.none() | st.uuids().map(str)
POSITIONS = st.builds(Position, EPOCHS, OFFSETS, IDS)
EPOCH = Epoch("0123456789abcdef")


def written(positions: dict[str, Position]) -> str:
    return str(Positions(positions))


@given(st.dictionaries(NAMES, POSITIONS, max_size=20))
def test_what_is_written_is_read(positions):
    text = written(positions)
    assert quote(text, safe="") == text
    if positions and len(text) <= MAX_LENGTH:
        assert read_positions(text, positions) == positions


@given(st.dictionaries(NAMES, POSITIONS, min_size=1, max_size=5), st.lists(st.tuples(NAMES, POSITIONS)))
def test_moves_are_read_as_if_it_had_begun_there(positions, moves):
    vector = Positions(positions)
    for channel, position in moves:
        vector.move(channel, position)
    assert str(vector) == written({**positions, **dict(moves)})


@given(st.text(max_size=200) | st.text(string.ascii_letters + string.digits + "._~-", max_size=200))
def test_anything_else_is_read_without_harm(text):
    found = read_positions(text, ["room:a", "room:b"])
    assert found is None or found.keys() <= {"room:a", "room:b"}


@given(st.data())
def test_a_vector_that_was_damaged_is_read_without_harm(data):
    text = written({"room:a": Position(EPOCH, 41, str(UUID(int=7))), "room:b": Position(EPOCH, 0)})
    at = data.draw(st.integers(0, len(text)))
    damaged = text[:at] + data.draw(st.text(max_size=3)) + text[at + data.draw(st.integers(0, 3)) :]
    found = read_positions(damaged, ["room:a", "room:b"])
    assert found is None or all(0 <= each.offset < 10**18 for each in found.values())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "~",
        "41",
        "null",
        f"{tag('room:a')}.1.",  # no epoch at all
        f"{tag('room:a')}.1..e~",
        f"{tag('room:a')}.-1..e",
        f"{tag('room:a')}.1..e.e",
        f"{tag('room:a')}.{10**18}..e",
        f"{tag('room:a')}.١..e",
        f"{tag('room:a')}.1.{'x' * 21}.e",
        f"{tag('room:a')}.1..-%",
        f"{tag('room:a')}.1..-a",
        f"{tag('room:a')}.1..e\n",
        "closed.4003",
        "x" * 1_000_000,
    ],
)
def test_what_is_no_vector(text):
    assert read_positions(text, ["room:a"]) is None


def test_channels_in_another_order_more_or_fewer():
    text = written({"room:a": Position(EPOCH, 1), "room:b": Position(EPOCH, 2), "room:c": Position(EPOCH, 3)})
    assert read_positions(text, ["room:d", "room:c", "room:a"]) == {
        "room:c": Position(EPOCH, 3),
        "room:a": Position(EPOCH, 1),
    }


def test_an_epoch_is_written_once_where_it_is_the_same():
    positions = {f"room:{number}": Position(EPOCH, number) for number in range(5)}
    assert written(positions).count(EPOCH) == 1
    positions["room:2"] = Position(Epoch("other"), 1)
    text = written(positions)
    assert text.count(EPOCH) == 2
    assert read_positions(text, positions) == positions


def test_a_move_without_an_epoch_keeps_it():
    vector = Positions({"room:a": Position(EPOCH, 1, str(UUID(int=1)))})
    vector.move("room:a", Position(Epoch(""), 19))
    assert read_positions(str(vector), ["room:a"]) == {"room:a": Position(EPOCH, 19)}


@pytest.mark.parametrize("other", ["7", "urn:uuid:" + str(UUID(int=7)), str(UUID(int=0xABCDEF)).upper(), "ü"])
def test_another_brokers_ids_are_left_out(other):
    text = written({"room:a": Position(EPOCH, 7, other)})
    assert read_positions(text, ["room:a"]) == {"room:a": Position(EPOCH, 7)}


def test_who_is_lost_stays_lost():
    assert read_positions(written({"room:a": LOST}), ["room:a"]) == {"room:a": LOST}


def test_as_many_channels_as_there_may_be_fit_into_a_header_line():
    positions = {
        f"room:{'x' * 240}{number}": Position(Epoch(f"{number:016x}"), 10**9 - number, str(UUID(int=number)))
        for number in range(MAX_CHANNELS)
    }
    text = written(positions)
    assert len(text) <= MAX_LENGTH
    assert read_positions(text, positions) == positions
    of_one_node = {name: Position(EPOCH, each.offset, each.id) for name, each in positions.items()}
    assert len(written(of_one_node)) < 5_100
    assert len(written(dict(list(of_one_node.items())[:1]))) < 60


def test_tags_of_many_channels_differ():
    names = [f"room:{number}" for number in range(10_000)]
    assert len({tag(name) for name in names}) >= len(names) - 1
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{5}", tag(name)) for name in names)


@pytest.mark.parametrize(("text", "expected"), [(closed_id(4003), True), ("closed.", False), ("", False)])
def test_the_id_of_the_end(text, expected):
    assert is_closed_id(text) is expected
    assert read_positions(text, ["room:a"]) is None
