"""The structs of the plain dialect write byte for byte what dictionaries of the same fields would."""

from typing import Any

import msgspec
import plain_forms
from hypothesis import given, settings
from hypothesis import strategies as st

from hubbub.dialects import plain_pushes, plain_replies
from hubbub.hub import replies
from hubbub.hub.presence import Roster
from hubbub.hub.publications import Kind, Position, Publication
from hubbub.types import Epoch

CHANNELS = st.sampled_from(
    ["", "room:", "room:a", "room:room:", 'room:"ü\\', "rooms:a", "user:ada", "job:9f", "topic:user:", "x"]
)
EVENTS = st.sampled_from(["message", "typing", "notification", "job", "created", "", 'ü"\n'])
DATA = st.sampled_from(
    [
        b'{"content":"hi"}',
        b'{"content":"\\u0041\\"\\\\"}',
        b'{ "content" : [1.10, {"content": null}] }',
        b'{"content":"a","content":"b"}',
        b'{"content":"a","more":1}',
        b'{"Content":1}',
        b"{}",
        b"null",
        b"3",
        b'"content"',
        b'{"content":' + b"[" * 3000 + b"]" * 3000 + b"}",
    ]
)
TEXT = st.text(max_size=6)
PUBLICATIONS = st.builds(
    Publication,
    CHANNELS,
    EVENTS,
    DATA,
    TEXT,
    st.floats(0, 4e9),
    st.sampled_from(Kind),
    st.none() | TEXT,
    st.just(frozenset()),
    TEXT,
    st.sampled_from([0, 1, 2**53]),
)
POSITIONS = st.builds(Position, TEXT.map(Epoch), st.integers(0, 2**53), st.none() | TEXT)
ROSTERS = st.builds(Roster, st.lists(TEXT).map(tuple), st.integers(0, 500), st.none() | TEXT)
REFS = st.none() | TEXT | st.integers() | st.floats(allow_nan=False, allow_infinity=False)


def written(form: dict[str, Any]) -> bytes:
    return msgspec.json.encode(form)


@settings(deadline=None, max_examples=1000)
@given(PUBLICATIONS)
def test_pushes(publication):
    assert plain_pushes.publication(publication) == written(plain_forms.push(publication))


@settings(deadline=None)
@given(st.builds(replies.Done, ref=REFS, channel=st.none() | CHANNELS, position=st.none() | POSITIONS))
def test_acks(reply):
    assert plain_replies.reply(reply) == written(plain_forms.done(reply))


@settings(deadline=None)
@given(
    st.builds(
        replies.Subscribed,
        channel=CHANNELS,
        as_room=st.booleans(),
        position=POSITIONS,
        recovered=st.none() | st.booleans(),
        publications=st.lists(PUBLICATIONS, max_size=3).map(tuple),
        roster=st.none() | ROSTERS,
    )
)
def test_the_answers_to_a_join(reply):
    assert plain_replies.reply(reply) == written(plain_forms.subscribed(reply))
