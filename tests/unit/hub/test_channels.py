"""Channel names."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubbub.exceptions import UnknownChannel
from hubbub.hub.channels import Channel, name_problem, parse_channel, user_channel
from hubbub.types import UserId


@pytest.mark.parametrize(
    ("name", "namespace", "rest"),
    [
        ("room:general", "room", "general"),
        ("room:a:b:", "room", "a:b:"),
        ("room::", "room", ":"),
        ("lobby", "default", "lobby"),
        ("room:Größe 🎉", "room", "Größe 🎉"),
        (":x", "", "x"),
        ("r:" + "x" * 253, "r", "x" * 253),
    ],
)
def test_a_name_is_taken_apart_at_its_first_colon(name, namespace, rest):
    channel = parse_channel(name)
    assert channel == Channel(name, namespace, rest)
    assert str(channel) == name


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("", "is empty"),
        ("room:", "nothing after its colon"),
        ("r:" + "x" * 254, "longer than 255 bytes"),
        ("r:" + "ü" * 127, "longer than 255 bytes"),
        ("room:a\nb", "control characters"),
        ("room:\x00", "control characters"),
        ("room:\x7f", "control characters"),
        ("room:\x85", "control characters"),
        ("room:\ud800", "control characters"),
    ],
)
def test_a_name_that_is_none_is_refused_with_what_is_wrong(name, says):
    with pytest.raises(UnknownChannel, match=says):
        parse_channel(name)


@settings(deadline=None)
@given(st.text(max_size=300))
def test_any_text_is_a_channel_or_refused(name):
    try:
        channel = parse_channel(name)
    except UnknownChannel:
        return
    assert channel.name == name
    assert channel.rest
    assert len(name.encode()) <= 255


def test_names_that_are_not_printable_but_harmless_are_taken():
    assert name_problem("a\u200bb\u00a0c") is None


def test_the_channel_of_a_user():
    assert user_channel(UserId("a:b")) == "user:a:b"
    assert parse_channel(user_channel(UserId("a:b"))).rest == "a:b"
