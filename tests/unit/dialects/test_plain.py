"""The plain JSON dialect, from the client: every message, valid and not, and no text that is not one or the other."""

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubbub.codes import ErrorCode
from hubbub.dialects.plain import TYPES, PlainJSON
from hubbub.exceptions import BadRequest, UnknownType
from hubbub.hub import commands
from hubbub.hub.commands import Command
from hubbub.hub.publications import Position
from hubbub.hub.publishing import check_depth, check_event_name, check_numbers, compact
from hubbub.hub.replies import Failed
from hubbub.types import Epoch

plain = PlainJSON()

SINCE = {"epoch": "e1", "offset": 41, "id": "x"}
HERE = Position(Epoch("e1"), 41, "x")

VALID: list[tuple[dict[str, Any], Command]] = [
    ({"type": "auth", "token": "t"}, commands.Authenticate(token="t")),
    (
        {"type": "join_room", "room_id": "general"},
        commands.Subscribe(channel="room:general", as_room=True),
    ),
    (
        {"type": "join_room", "room_id": "a:b", "since": SINCE, "token": "t"},
        commands.Subscribe(channel="room:a:b", as_room=True, since=HERE, token="t"),
    ),
    (
        {"type": "leave_room", "room_id": "general"},
        commands.Unsubscribe(channel="room:general", as_room=True),
    ),
    (
        {"type": "message", "room_id": "general", "content": "hi"},
        commands.Publish(channel="room:general", event="message", data=b'{"content":"hi"}', is_text=True),
    ),
    (
        {"type": "message", "content": 'ü"\n', "idempotency_key": "k"},
        commands.Publish(
            channel=None,
            event="message",
            data='{"content":"ü\\"\\n"}'.encode(),
            idempotency_key="k",
            is_text=True,
        ),
    ),
    (
        {"type": "typing", "room_id": "general"},
        commands.Publish(channel="room:general", event="typing", data=b"{}", is_text=True),
    ),
    ({"type": "typing"}, commands.Publish(channel=None, event="typing", data=b"{}", is_text=True)),
    ({"type": "subscribe", "channel": "topic:orders"}, commands.Subscribe(channel="topic:orders")),
    (
        {"type": "subscribe", "channel": "topic:orders", "since": {"epoch": "e1", "offset": 0}, "token": "t"},
        commands.Subscribe(channel="topic:orders", since=Position(Epoch("e1"), 0), token="t"),
    ),
    ({"type": "unsubscribe", "channel": "topic:orders"}, commands.Unsubscribe(channel="topic:orders")),
    (
        {"type": "publish", "channel": "room:general", "event": "moved", "data": {"x": 1}},
        commands.Publish(channel="room:general", event="moved", data=b'{"x": 1}'),
    ),
    (
        {"type": "publish", "channel": "room:general", "event": "e", "data": None, "idempotency_key": "k"},
        commands.Publish(channel="room:general", event="e", data=b"null", idempotency_key="k"),
    ),
    ({"type": "history", "channel": "room:a"}, commands.ReadHistory(channel="room:a", limit=50)),
    (
        {"type": "history", "channel": "room:a", "limit": 5, "before": 41},
        commands.ReadHistory(channel="room:a", limit=5, before=41),
    ),
    ({"type": "presence", "channel": "room:a"}, commands.ReadPresence(channel="room:a", limit=100)),
    (
        {"type": "presence", "channel": "room:a", "limit": 5, "cursor": "ada"},
        commands.ReadPresence(channel="room:a", limit=5, cursor="ada"),
    ),
    ({"type": "ping"}, commands.Ping()),
    ({"type": "pong"}, commands.Pong()),
]

REQUIRED = {
    "auth": {"token": "t"},
    "join_room": {"room_id": "general"},
    "leave_room": {"room_id": "general"},
    "message": {"content": "hi"},
    "subscribe": {"channel": "topic:a"},
    "unsubscribe": {"channel": "topic:a"},
    "publish": {"channel": "topic:a", "event": "e", "data": 1},
    "history": {"channel": "topic:a"},
    "presence": {"channel": "topic:a"},
    "typing": {},
    "ping": {},
    "pong": {},
}


def refused(text: str) -> BadRequest:
    with pytest.raises(BadRequest) as raised:
        plain.decode(text)
    return raised.value


@pytest.mark.parametrize(("message", "command"), VALID, ids=lambda value: str(value)[:60])
def test_every_message_of_the_contract(message, command):
    assert plain.decode(json.dumps(message)) == command


def test_every_type_is_tried_here():
    assert {message["type"] for message, _ in VALID} == set(REQUIRED) == set(TYPES)


@pytest.mark.parametrize("message", [message for message, _ in VALID], ids=str)
def test_fields_that_are_not_known_are_ignored(message):
    more = {"zzz": {"deep": [1, {"a": None}]}, **message, "Type": 5, "": []}
    assert plain.decode(json.dumps(more)) == plain.decode(json.dumps(message))


@pytest.mark.parametrize("order", ["type first", "type last"])
def test_the_type_may_stand_anywhere(order):
    message = '"channel":"room:a","event":"e","data":{"type":"ping"}'
    text = f'{{"type":"publish",{message}}}' if order == "type first" else f'{{{message},"type":"publish"}}'
    assert plain.decode(text) == commands.Publish(channel="room:a", event="e", data=b'{"type":"ping"}')


@pytest.mark.parametrize(
    ("kind", "field"), [(kind, field) for kind, fields in REQUIRED.items() for field in fields]
)
def test_a_field_that_is_missing_is_named(kind, field):
    fields = {name: value for name, value in REQUIRED[kind].items() if name != field}
    error = refused(json.dumps({"type": kind, **fields, "ref": 7}))
    assert (error.code, error.ref) == (ErrorCode.BAD_REQUEST, 7)
    assert f"`{field}`" in error.message


WRONG = [
    *[
        (kind, field, value)
        for kind, fields in REQUIRED.items()
        for field in fields
        if field != "data"
        for value in (5, None, [], {}, True)
    ],
    *[("message", "room_id", value) for value in (5, [], {})],
    *[(kind, "idempotency_key", value) for kind in ("message", "publish") for value in (5, [], True)],
    *[
        (kind, "since", value)
        for kind in ("join_room", "subscribe")
        for value in (
            5,
            "e:1",
            [],
            {},
            {"epoch": "e"},
            {"offset": 1},
            {"epoch": "e", "offset": -1},
            {"epoch": "e", "offset": "1"},
            {"epoch": "e", "offset": 1.5},
            {"epoch": "e", "offset": None},
            {"epoch": 1, "offset": 1},
            {"epoch": "e", "offset": 1, "id": 5},
        )
    ],
    *[(kind, "token", value) for kind in ("join_room", "subscribe") for value in (5, [], {})],
    *[(kind, "limit", value) for kind in ("history", "presence") for value in ("5", 5.5, None, [], True)],
    *[("history", "before", value) for value in ("5", 5.5, [], True)],
    ("presence", "cursor", 5),
    ("publish", "event", ""),
    ("publish", "event", "x" * 256),
]


@pytest.mark.parametrize(("kind", "field", "value"), WRONG)
def test_a_field_of_the_wrong_type_is_named_and_the_ref_kept(kind, field, value):
    error = refused(json.dumps({"type": kind, **REQUIRED[kind], field: value, "ref": "r"}))
    assert (error.code, error.ref) == (ErrorCode.BAD_REQUEST, "r")
    assert f"$.{field}" in error.message


class TestRefs:
    @pytest.mark.parametrize(
        "ref", ["", "a", "ü" * 255, 0, 1, -1, 2**31, 2**53 + 1, 2**64, 10**30, 1.5, -0.5, 1e300]
    )
    def test_strings_and_numbers(self, ref):
        assert plain.decode(json.dumps({"type": "ping", "ref": ref})).ref == ref
        assert refused(json.dumps({"type": "auth", "ref": ref})).ref == ref
        assert refused(json.dumps({"type": "nope", "ref": ref})).ref == ref

    @pytest.mark.parametrize("ref", [True, False, [], {}, [1], {"a": 1}])
    def test_others_are_refused_and_not_echoed(self, ref):
        error = refused(json.dumps({"type": "ping", "ref": ref}))
        assert error.ref is None
        assert "$.ref" in error.message

    def test_null_is_none(self):
        assert plain.decode('{"type":"ping","ref":null}').ref is None

    @pytest.mark.parametrize("length", [256, 60_000])
    def test_they_have_a_length_and_longer_ones_are_not_echoed(self, length):
        error = refused(json.dumps({"type": "ping", "ref": "x" * length}))
        assert "$.ref" in error.message
        assert error.ref is None

    @pytest.mark.parametrize("message", [{"type": "auth", "token": 5}, {"type": "nope"}, {}])
    def test_one_that_is_too_long_is_not_echoed_with_another_mistake_either(self, message):
        assert refused(json.dumps({**message, "ref": "x" * 60_000})).ref is None

    def test_the_last_of_two_counts(self):
        assert plain.decode('{"type":"ping","ref":1,"ref":2}').ref == 2


class TestTypes:
    @pytest.mark.parametrize("kind", ["", "Ping", "ping ", "nope", "welcome", "x" * 10_000, "\u0000"])
    def test_one_that_does_not_exist(self, kind):
        error = refused(json.dumps({"type": kind, "ref": 1}))
        assert isinstance(error, UnknownType)
        assert (error.code, error.ref) == (ErrorCode.UNKNOWN_TYPE, 1)
        assert all(known in error.message for known in TYPES)
        assert len(error.message) < 400

    @pytest.mark.parametrize(
        "message", [{}, {"ref": 1}, {"type": None}, {"type": 5}, {"type": []}, {"type": {}}]
    )
    def test_none_at_all(self, message):
        error = refused(json.dumps(message))
        assert error.code == ErrorCode.BAD_REQUEST
        assert not isinstance(error, UnknownType)
        assert error.ref == message.get("ref")

    def test_two_of_them(self):
        refused('{"type":"ping","type":"pong"}')


class TestTexts:
    @pytest.mark.parametrize(
        "text",
        [
            "",
            " ",
            "nope",
            "{",
            '{"type":"ping"',
            '{"type":"ping"}x',
            '{"type":"ping"}{"type":"ping"}',
            "{'type':'ping'}",
            '{"type":"ping",}',
            '{"type":"ping" /* no */}',
            '{"type":"nope",]',
            '{"type":"auth","x":tru}',
            '{"type":"join_room","room_id":5,"x":\x01}',
            "\ufeff" + '{"type":"ping"}',
            '{"type":"ping","x":NaN}',
            '{"type":"ping","x":01}',
            '{"type":"message","content":"\t"}',
        ],
    )
    def test_what_is_no_json(self, text):
        assert refused(text).message.startswith("This is not JSON")

    @pytest.mark.parametrize(
        "text", ["[]", "5", "null", "true", '"ping"', "-0.5", '[{"type":"ping"}]', "1" * 10_000]
    )
    def test_what_is_no_object(self, text):
        assert "A message is a JSON object with a `type`." in refused(text).message

    @pytest.mark.parametrize("whitespace", [" ", "\n", "\r\n", "\t"])
    def test_whitespace_is_free(self, whitespace):
        text = whitespace.join(["", "{", '"type"', ":", '"ping"', "}", ""])
        assert plain.decode(text) == commands.Ping()

    @pytest.mark.parametrize(
        "text",
        [
            '{"type":"message","content":"\ud800"}',
            '{"type":"message","content":"\\ud800"}',
            '{"type":"message","content":"\\udc00x"}',
            '{"type":"nope","x":"\\ud800\\ud800"}',
            '{"type":"publish","channel":"room:a","event":"\\ud800","data":1}',
            '{"type":"publish","channel":"room:a","event":"e","data":"\\ud800"}',
            '{"type":"ping","ref":"\udfff"}',
        ],
    )
    def test_lone_surrogates_are_no_text(self, text):
        refused(text)

    @pytest.mark.parametrize(
        "text", [r"\ud83d", r"\uDE00", r"x\ud83dx", r"\ud83d\ud83d", r"\\\ud83d", r"\ud83d\ude00\ude00"]
    )
    @pytest.mark.parametrize(
        "message",
        [
            '{"type":"message","content":"%s"}',
            '{"content":"%s","type":"message"}',
            '{"type":"nope","x":"%s"}',
            '{"type":"ping","ref":"%s"}',
            '{"type":"ping","%s":1}',
            '{"type":"publish","channel":"topic:a","event":"e","data":["%s"]}',
        ],
    )
    def test_escapes_of_lone_surrogates_are_told_as_that(self, message, text):
        error = refused(message % text)
        assert re.fullmatch(
            r"This is not JSON: text must be well-formed Unicode, and \\u(d83d|de00) is half of a pair of surrogates\.",
            error.message,
            re.IGNORECASE,
        )

    @pytest.mark.parametrize("text", ["", r"\ud83d\ude00", r"\\ud83d", r"\\\\udE00", "ud83d"])
    def test_what_is_not_an_escape_of_one_is_not(self, text):
        message = f'{{"type":"message","content":"{text}"'
        assert plain.decode(message + "}") == plain.decode(message + " }")
        assert refused(message).message == "This is not JSON: Input data was truncated."

    def test_pairs_of_surrogates_are(self):
        command = plain.decode('{"type":"message","content":"\\ud83d\\ude00"}')
        assert command.data == '{"content":"😀"}'.encode()

    @pytest.mark.parametrize("level", ["[", '{"a":', '[{"type":'])
    @pytest.mark.parametrize("closed", [True, False])
    @pytest.mark.parametrize(
        "prefix", ["", '{"type":"ping","x":', '{"type":"nope","x":', '{"type":"publish","data":']
    )
    def test_ten_thousand_levels(self, level, closed, prefix):
        ends = {"[": "]", '{"a":': "}", '[{"type":': "}]"}[level]
        text = prefix + level * 10_000 + "1" + (ends * 10_000 + ("}" if prefix else "") if closed else "")
        assert len(refused(text).message) < 400

    @pytest.mark.parametrize("number", ["1" * 5000, "1e400", "-1e400", "1." + "1" * 5000, "1e-400"])
    @pytest.mark.parametrize("field", ["ref", "limit", "before", "unknown"])
    def test_huge_numbers(self, number, field):
        text = f'{{"type":"history","channel":"room:a","{field}":{number}}}'
        try:
            command = plain.decode(text)
        except BadRequest:
            assert field != "unknown"
        else:
            assert isinstance(command, commands.ReadHistory)


@pytest.mark.parametrize(
    "data",
    [
        "1.10",
        "1e2",
        "1E+2",
        "-0",
        "-0.0",
        "12345678901234567890123",
        "0.1000000000000000055511151231257827",
        "1e999",
        '"\\u0041\\/"',
        '{"b":1,"a":2,"b":3}',
        "[ 1,\t2 ]",
        '""',
        "true",
        "null",
        '{"ü":"😀"}',
    ],
)
def test_data_is_kept_as_it_was_written(data):
    command = plain.decode(f'{{"type":"publish","channel":"room:a","event":"e","data": {data} }}')
    assert isinstance(command, commands.Publish)
    assert command.data.strip() == data.encode()


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=10,
)
FIELDS = st.sampled_from(
    ["ref", "token", "room_id", "content", "channel", "since", "event", "data", "limit", "before", "cursor"]
)
ALMOST = st.builds(
    lambda kind, fields: {"type": kind, **fields},
    st.sampled_from(TYPES) | st.text(max_size=8),
    st.dictionaries(FIELDS | st.text(max_size=5), JSON | st.just(SINCE), max_size=6),
)


def understood_or_refused(text: str) -> Command | None:
    try:
        command = plain.decode(text)
    except BadRequest as refusal:
        told = Failed(code=refusal.code, message=refusal.message, ref=refusal.ref)
        assert json.loads(plain.encode_reply(told))["message"]
        return None
    assert isinstance(command, Command)
    if isinstance(command, commands.Publish):
        json.loads(command.data)
        command.event.encode()
    return command


@settings(max_examples=400, deadline=None)
@given(st.text())
def test_any_text_is_understood_or_refused(text):
    understood_or_refused(text)


@settings(max_examples=400, deadline=None)
@given(ALMOST)
def test_any_object_is_understood_or_refused(message):
    understood_or_refused(json.dumps(message))


@settings(max_examples=600, deadline=None)
@given(
    st.sampled_from([json.dumps(message) for message, _ in VALID]),
    st.integers(0, 200),
    st.integers(0, 20),
    st.text(alphabet='{}[]",:\\u0123456789eE+-.truefalsn \n\x00\ud800üx', max_size=6),
)
def test_any_message_that_was_damaged_is_understood_or_refused(text, start, length, replacement):
    start %= len(text) + 1
    understood_or_refused(text[:start] + replacement + text[start + length :])


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet='{}[]",:\\u0123456789eE+-.truefalsn \n\t\x00ü', max_size=30))
def test_no_data_passes_that_others_could_not_read(data):
    understood_or_refused(f'{{"type":"publish","channel":"room:a","event":"e","data":{data}}}')


@settings(deadline=None)
@given(st.text() | st.sampled_from(["[" * 300, "1e999", "9" * 400, '"[', "\r\n\t\x00", "\u2028"]))
def test_what_is_said_to_be_text_needs_no_check(content):
    for message in ({"type": "message", "content": content}, {"type": "typing", "content": content}):
        command = plain.decode(json.dumps(message))
        assert isinstance(command, commands.Publish)
        assert command.is_text
        check_event_name(command.event)
        check_depth(command.data)
        check_numbers(command.data)
        assert compact(command.data) == command.data


@pytest.mark.parametrize("event", ["message", "typing"])
def test_what_a_client_wrote_is_never_said_to_be_text(event):
    message = {
        "type": "publish",
        "channel": "room:a",
        "event": event,
        "data": {"content": "hi"},
        "is_text": True,
    }
    command = plain.decode(json.dumps(message))
    assert isinstance(command, commands.Publish)
    assert not command.is_text
