"""The plain JSON dialect, to the client: every publication exactly as the contract prints it."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubbub.dialects.plain import PlainJSON
from hubbub.hub.publications import Kind, Publication
from hubbub.hub.publishing import compact
from hubbub.types import Epoch, UserId

plain = PlainJSON()
TIME = 1_795_280_161.25
STAMP = "2026-11-21T16:56:01.250Z"


def publication(
    channel: str = "room:general",
    event: str = "message",
    data: bytes = b'{"content":"hi"}',
    *,
    kind: Kind = Kind.MESSAGE,
    sender: str | None = "ada",
    offset: int = 45,
) -> Publication:
    who = None if sender is None else UserId(sender)
    return Publication(channel, event, data, "id-45", TIME, kind, who, frozenset(), Epoch("e1"), offset)


PUSHES: list[tuple[str, Publication, str]] = [
    (
        "message",
        publication(),
        (
            '{"type":"message","content":"hi","room_id":"general","channel":"room:general","user_id":"ada",'
            f'"id":"id-45","offset":45,"timestamp":"{STAMP}"}}'
        ),
    ),
    (
        "message of the server, not stored",
        publication(sender=None, offset=0),
        f'{{"type":"message","content":"hi","room_id":"general","channel":"room:general","timestamp":"{STAMP}"}}',
    ),
    (
        "message elsewhere than in a room",
        publication("topic:t", sender=None),
        (
            '{"type":"message","content":"hi","channel":"topic:t","id":"id-45","offset":45,'
            f'"timestamp":"{STAMP}"}}'
        ),
    ),
    (
        "message of a visitor",
        publication(sender="", offset=0),
        (
            '{"type":"message","content":"hi","room_id":"general","channel":"room:general","user_id":"",'
            f'"timestamp":"{STAMP}"}}'
        ),
    ),
    (
        "message with more than content",
        publication(data=b'{"content":"hi","more":1}'),
        (
            '{"type":"event","event":"message","data":{"content":"hi","more":1},"room_id":"general",'
            f'"channel":"room:general","user_id":"ada","id":"id-45","offset":45,"timestamp":"{STAMP}"}}'
        ),
    ),
    (
        "event",
        publication("topic:orders", "created", b'{"id":8}', sender=None, offset=8),
        (
            '{"type":"event","event":"created","data":{"id":8},"channel":"topic:orders","id":"id-45","offset":8,'
            f'"timestamp":"{STAMP}"}}'
        ),
    ),
    (
        "typing",
        publication(event="typing", data=b"{}", kind=Kind.EPHEMERAL, offset=0),
        '{"type":"typing","room_id":"general","channel":"room:general","user_id":"ada"}',
    ),
    (
        "user_joined",
        publication(event="join", data=b"3", kind=Kind.JOIN, offset=0),
        (
            '{"type":"user_joined","room_id":"general","channel":"room:general","user_id":"ada",'
            f'"timestamp":"{STAMP}","active_users":3}}'
        ),
    ),
    (
        "user_left",
        publication(event="leave", data=b"2", kind=Kind.LEAVE, offset=0),
        (
            '{"type":"user_left","room_id":"general","channel":"room:general","user_id":"ada",'
            f'"timestamp":"{STAMP}","active_users":2}}'
        ),
    ),
    (
        "notification",
        publication("user:ada", "notification", b'{"id":1,"read":false}', sender=None),
        (
            '{"type":"notification","data":{"id":1,"read":false},"channel":"user:ada","id":"id-45","offset":45,'
            f'"timestamp":"{STAMP}"}}'
        ),
    ),
    (
        "job",
        publication("job:9f", "job", b'{"progress":40}', sender=None),
        (
            '{"type":"job","data":{"progress":40},"channel":"job:9f","id":"id-45","offset":45,'
            f'"timestamp":"{STAMP}"}}'
        ),
    ),
    (
        "a notification elsewhere is an event",
        publication("topic:t", "notification", b"1", sender=None),
        (
            '{"type":"event","event":"notification","data":1,"channel":"topic:t","id":"id-45","offset":45,'
            f'"timestamp":"{STAMP}"}}'
        ),
    ),
    (
        "broadcast",
        publication("", "maintenance", b'{"at":5}', kind=Kind.BROADCAST, sender=None, offset=0),
        f'{{"type":"broadcast","event":"maintenance","data":{{"at":5}},"timestamp":"{STAMP}"}}',
    ),
]


@pytest.mark.parametrize(("name", "published", "text"), PUSHES, ids=[name for name, _, _ in PUSHES])
def test_pushes(name, published, text):
    assert plain.encode_publication(published).decode() == text


@pytest.mark.parametrize(
    "data", [b"1.10", b"1e2", b"12345678901234567890123", b"-0", b'"\\u0041"', b'{ "a" : [1,2] }']
)
def test_data_leaves_as_it_came(data):
    assert b'"data":' + data + b"," in plain.encode_publication(publication(event="e", data=data))
    content = b'{"content":' + data + b"}"
    assert b'"content":' + data + b"," in plain.encode_publication(publication(data=content))


@pytest.mark.parametrize(
    "data",
    [
        b"5",
        b"[]",
        b"null",
        b'"content"',
        b"{}",
        b'{"Content":1}',
        b'{"content":1,"content2":1}',
        b'{"more":{"content":1}}',
    ],
)
def test_only_content_alone_has_the_short_form(data):
    push = json.loads(plain.encode_publication(publication(data=data)))
    assert (push["type"], push["event"]) == ("event", "message")
    assert push["data"] == json.loads(data)


@pytest.mark.parametrize("data", [b'{"a":1}', b"[]", b"1"])
def test_typing_with_data_is_an_event(data):
    push = json.loads(
        plain.encode_publication(publication(event="typing", data=data, kind=Kind.EPHEMERAL, offset=0))
    )
    assert (push["type"], push["event"], push["data"]) == ("event", "typing", json.loads(data))


@pytest.mark.parametrize("room", ["a:b", ":", "room:", "ü 😀", '"quoted"\\'])
def test_a_rooms_name_is_what_stands_behind_the_first_colon(room):
    push = json.loads(plain.encode_publication(publication(f"room:{room}")))
    assert (push["room_id"], push["channel"]) == (room, f"room:{room}")


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=10,
)


@settings(deadline=None)
@given(
    JSON,
    st.sampled_from(["message", "typing", "e", "ü\n"]),
    st.sampled_from([None, 1, "\t"]),
    st.text(max_size=9),
)
def test_a_push_is_one_line_of_json(value: Any, event: str, indent: Any, sender: str):
    data = compact(json.dumps(value, indent=indent, ensure_ascii=indent is None).encode())
    for channel in ("room:a", "user:ada", "topic:\u2028"):
        text = plain.encode_publication(publication(channel, event, data, sender=sender))
        assert b"\n" not in text
        assert b"\r" not in text
        push = json.loads(text)
        assert push["channel"] == channel
        if push["type"] != "typing":
            carried = {"content": push["content"]} if push["type"] == "message" else push["data"]
            assert carried == value
