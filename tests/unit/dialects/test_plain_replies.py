"""The plain JSON dialect, to the client: every reply exactly as the contract prints it."""

import json

import pytest

from hubbub.codes import ErrorCode, UnsubscribeCode
from hubbub.dialects.plain import PlainJSON
from hubbub.hub import replies
from hubbub.hub.presence import Roster
from hubbub.hub.publications import Kind, Position, Publication, Shared
from hubbub.types import Epoch, SessionId, UserId

plain = PlainJSON()
ADA = UserId("ada")
HERE = Position(Epoch("e1"), 44, "x")
SAID = Publication(
    "room:general",
    "message",
    b'{"content":"hi"}',
    "id-45",
    1_795_280_161.25,
    Kind.MESSAGE,
    ADA,
    frozenset(),
    Epoch("e1"),
    44,
)

REPLIES: list[tuple[str, replies.Reply, str]] = [
    (
        "welcome",
        replies.Welcome(
            user_id=ADA,
            session_id=SessionId("s"),
            heartbeat=25.0,
            channel="user:ada",
            position=Position(Epoch("e1"), 0),
        ),
        '{"type":"welcome","user_id":"ada","session_id":"s","heartbeat":25,"channel":"user:ada","epoch":"e1","offset":0}',
    ),
    (
        "welcome of a visitor",
        replies.Welcome(user_id=UserId(""), session_id=SessionId("s"), heartbeat=2.5),
        '{"type":"welcome","user_id":"","session_id":"s","heartbeat":2.5}',
    ),
    ("ack", replies.Done(ref=1), '{"type":"ack","ref":1}'),
    (
        "ack of a publication",
        replies.Done(ref="r", channel="room:general", position=HERE),
        '{"type":"ack","ref":"r","room_id":"general","channel":"room:general","epoch":"e1","offset":44,"id":"x"}',
    ),
    (
        "joined",
        replies.Subscribed(
            channel="room:general",
            as_room=True,
            position=HERE,
            recovered=True,
            publications=(SAID,),
            roster=Roster((ADA, UserId("bob")), 2),
        ),
        (
            '{"type":"joined","room_id":"general","channel":"room:general","epoch":"e1","offset":44,"id":"x",'
            '"recovered":true,"messages":[{"type":"message","content":"hi","room_id":"general",'
            '"channel":"room:general","user_id":"ada","id":"id-45","offset":44,"timestamp":"2026-11-21T16:56:01.250Z"}],'
            '"members":["ada","bob"],"active_users":2}'
        ),
    ),
    (
        "joined above a hundred members",
        replies.Subscribed(
            channel="room:general", as_room=True, position=HERE, roster=Roster((ADA,), 101, cursor=ADA)
        ),
        (
            '{"type":"joined","room_id":"general","channel":"room:general","epoch":"e1","offset":44,"id":"x",'
            '"messages":[],"active_users":101}'
        ),
    ),
    (
        "subscribed",
        replies.Subscribed(channel="topic:orders", as_room=False, position=Position(Epoch("e1"), 7)),
        '{"type":"subscribed","channel":"topic:orders","epoch":"e1","offset":7,"messages":[]}',
    ),
    (
        "subscribed, not recovered",
        replies.Subscribed(
            channel="topic:orders", as_room=False, position=Position(Epoch("e1"), 7), recovered=False
        ),
        '{"type":"subscribed","channel":"topic:orders","epoch":"e1","offset":7,"recovered":false,"messages":[]}',
    ),
    (
        "left",
        replies.Unsubscribed(channel="room:general", as_room=True),
        '{"type":"left","room_id":"general","channel":"room:general"}',
    ),
    (
        "unsubscribed",
        replies.Unsubscribed(channel="topic:orders"),
        '{"type":"unsubscribed","channel":"topic:orders","code":0,"reason":""}',
    ),
    (
        "unsubscribed by the server",
        replies.Unsubscribed(channel="topic:orders", code=UnsubscribeCode.EXPIRED, reason="over"),
        '{"type":"unsubscribed","channel":"topic:orders","code":2501,"reason":"over"}',
    ),
    (
        "history",
        replies.HistoryRead(ref=2, channel="topic:orders", position=HERE, publications=()),
        '{"type":"ack","ref":2,"channel":"topic:orders","epoch":"e1","offset":44,"id":"x","messages":[]}',
    ),
    (
        "presence",
        replies.PresenceRead(ref=None, channel="room:general", roster=Roster((ADA,), 5, cursor=ADA)),
        '{"type":"ack","channel":"room:general","members":["ada"],"active_users":5,"next_cursor":"ada"}',
    ),
    (
        "error",
        replies.Failed(code=ErrorCode.FORBIDDEN, message="no", ref=1),
        '{"type":"error","code":"forbidden","message":"no","ref":1}',
    ),
    (
        "error without a ref",
        replies.Failed(code=ErrorCode.BAD_REQUEST, message="no"),
        '{"type":"error","code":"bad_request","message":"no"}',
    ),
    (
        "reset",
        replies.Reset(channel="topic:orders", position=Position(Epoch("e2"), 0)),
        '{"type":"reset","channel":"topic:orders","epoch":"e2","offset":0}',
    ),
    (
        "gap",
        replies.Gap(channel="topic:orders", first=12, last=19),
        '{"type":"gap","channel":"topic:orders","from":12,"to":19}',
    ),
    ("reconnect", replies.Reconnect(after=1.7), '{"type":"reconnect","after":1.7}'),
    ("ping", replies.PingSent(), '{"type":"ping"}'),
    ("pong", replies.PongSent(), '{"type":"pong"}'),
]


@pytest.mark.parametrize(("name", "reply", "text"), REPLIES, ids=[name for name, _, _ in REPLIES])
def test_replies(name, reply, text):
    assert plain.encode_reply(reply).decode() == text


def test_every_reply_is_tried_here():
    def kinds(of: type) -> set[type]:
        return {of, *(kind for child in of.__subclasses__() for kind in kinds(child))}

    assert {type(reply) for _, reply, _ in REPLIES} == kinds(replies.Reply) - {replies.Reply}


@pytest.mark.parametrize("ref", ["", 0, -1, 10**30, 1.5, "ü"])
def test_refs_come_back_as_they_are(ref):
    for reply in (replies.Done(ref=ref), replies.Failed(code=ErrorCode.TIMEOUT, message="", ref=ref)):
        assert json.loads(plain.encode_reply(reply))["ref"] == ref


def test_what_many_have_missed_is_written_once():
    missed = Shared((SAID, SAID))
    told = [
        replies.Subscribed(channel="room:general", as_room=True, position=HERE, publications=each)
        for each in ((SAID, SAID), missed, missed)
    ]
    assert len({plain.encode_reply(reply) for reply in told}) == 1
    assert list(missed.written) == ["plain"]
    assert json.loads(missed.written["plain"])[0]["content"] == "hi"
