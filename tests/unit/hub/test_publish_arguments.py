"""What the server may not publish by mistake, and what clients may not publish at all."""

import pytest

from hubbub.exceptions import BadRequest
from hubbub.hub.events import ChatMessage
from hubbub.hub.publishing import check_numbers, encode_event, excluded


@pytest.mark.parametrize("event", [ChatMessage, {"a": 1}, None, 7])
def test_an_event_is_an_instance_or_a_name(event):
    with pytest.raises(TypeError, match="publish an event"):
        encode_event(event)


@pytest.mark.parametrize("name", ["", "a\nb", "a\x00", "x" * 256])
def test_a_name_is_a_name(name):
    with pytest.raises(BadRequest, match="The event's name"):
        encode_event(name, {})


def test_exclude_is_a_collection_and_not_one_user():
    assert excluded(["ada"]) == {"ada"}
    with pytest.raises(TypeError, match="collection of user ids"):
        excluded("ada")


@pytest.mark.parametrize("data", [b"1e999", b"[1, -2E+0400]", b'{"a":' + b"9" * 400 + b"}", b"1e309"])
def test_numbers_that_others_cannot_read(data):
    with pytest.raises(BadRequest, match="out of range"):
        check_numbers(data)


@pytest.mark.parametrize(
    "data",
    [
        b"1.10",
        b"1e2",
        b"12345678901234567890123",
        b"1e308",
        b'"1e999"',
        b'"' + b"9" * 400 + b'"',
        b'{"e999":1}',
    ],
)
def test_numbers_that_they_can(data):
    check_numbers(data)
