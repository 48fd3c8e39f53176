"""Server-sent events: as FastAPI would write them, with the place of each."""

import json

import pytest
from fastapi.sse import format_sse_event

from hubbub.codes import CloseCode, ErrorCode, UnsubscribeCode
from hubbub.dialects import plain_pushes, sse
from hubbub.dialects.sse_positions import Positions, read_positions
from hubbub.hub import replies
from hubbub.hub.presence import Roster
from hubbub.hub.publications import Kind, Position, Publication
from hubbub.types import Epoch, SessionId, UserId

EPOCH = Epoch("e1")
CHANNEL = "room:a"


def said(offset: int, data: bytes = b'{"content":"hi"}', **more) -> Publication:
    uuid = f"00000000-0000-7000-8000-{offset:012x}"
    fields = {"event": "message", "kind": Kind.MESSAGE, "sender": UserId("ada"), **more}
    return Publication(
        CHANNEL,
        fields["event"],
        data,
        uuid,
        0.0,
        fields["kind"],
        fields["sender"],
        frozenset(),
        EPOCH,
        offset,
    )


def fields(text: bytes) -> list[dict[str, str]]:
    """Read events as a browser does (HTML Standard, section 9.2.6)."""
    events = []
    for block in text.decode().split("\n\n")[:-1]:
        event: dict[str, str] = {}
        for line in block.split("\n"):
            name, _, value = line.partition(":")
            assert name not in event
            event[name] = value.removeprefix(" ")
        events.append(event)
    return events


def rendered(
    events, since: dict[str, Position] | None = None
) -> tuple[list[dict[str, str]], list[Position | None]]:
    """Return the events, and where a client stands in the channel after each."""
    written = fields(sse.render(events, Positions(since or {})))
    places = [
        (read_positions(each["id"], [CHANNEL]) or {}).get(CHANNEL) if "id" in each else None
        for each in written
    ]
    return written, places


def shown(position: Position | None) -> tuple[str, int] | None:
    return None if position is None else (position.epoch, position.offset)


def test_a_publication_is_a_message_with_its_place():
    publication = said(5)
    (event,), (place,) = rendered([sse.publication(publication)])
    assert event["data"].encode() == plain_pushes.publication(publication)
    assert "event" not in event
    assert place == publication.position


def test_the_text_is_what_fastapi_writes():
    publication = said(5)
    positions = Positions({})
    text = sse.render([sse.publication(publication)], positions)
    data = plain_pushes.publication(publication).decode()
    assert text == format_sse_event(data_str=data, id=str(positions))
    assert sse.retry(2.5) == format_sse_event(retry=2500)


@pytest.mark.parametrize("kind", [Kind.EPHEMERAL, Kind.JOIN, Kind.LEAVE, Kind.BROADCAST])
def test_what_is_not_stored_moves_nothing(kind):
    (event,), places = rendered([sse.publication(said(0, b"3", kind=kind))], {CHANNEL: Position(EPOCH, 4)})
    assert places == [None]
    assert "event" not in event


def test_line_breaks_in_data_are_white_space():
    data = b'{"content":\r\n"hi",\n\n"id: x":1}'
    (event,), _ = rendered([sse.publication(said(1, data))])
    assert event.keys() == {"data", "id"}
    assert json.loads(event["data"])["data"] == {"content": "hi", "id: x": 1}


def test_what_was_missed_comes_one_by_one_each_with_its_place():
    since = {CHANNEL: Position(EPOCH, 1)}
    reply = replies.Subscribed(
        channel=CHANNEL,
        as_room=False,
        position=Position(EPOCH, 7),
        recovered=True,
        publications=(said(3), said(5)),
        roster=Roster((UserId("ada"),), 1, None),
    )
    (subscribed, first, last), places = rendered(sse.reply(reply), since)
    assert subscribed["event"] == "subscribed"
    answer = json.loads(subscribed["data"])
    assert (answer["type"], answer["recovered"], answer["offset"]) == ("subscribed", True, 7)
    assert (answer["members"], answer["active_users"]) == (["ada"], 1)
    assert "messages" not in answer
    assert [json.loads(each["data"])["offset"] for each in (first, last)] == [3, 5]
    # What stands between was not for this user, so that the last one has the top.
    assert [shown(place) for place in places] == [None, ("e1", 3), ("e1", 7)]


@pytest.mark.parametrize("recovered", [True, False, None])
def test_nothing_missed_or_not_recovered(recovered):
    reply = replies.Subscribed(
        channel=CHANNEL, as_room=False, position=Position(EPOCH, 7), recovered=recovered
    )
    (event,), (place,) = rendered(sse.reply(reply), {CHANNEL: Position(Epoch("old"), 99)})
    assert json.loads(event["data"]).get("recovered") is recovered
    assert shown(place) == ("e1", 7)


def test_the_welcome_has_the_place_in_ones_own_channel():
    welcome = replies.Welcome(
        user_id=UserId("ada"),
        session_id=SessionId("s"),
        heartbeat=25.0,
        channel=CHANNEL,
        position=Position(EPOCH, 2),
    )
    (event,), (place,) = rendered(sse.reply(welcome))
    assert event["event"] == json.loads(event["data"])["type"] == "welcome"
    assert "recovered" not in json.loads(event["data"])
    assert shown(place) == ("e1", 2)
    visitor = replies.Welcome(user_id=UserId(""), session_id=SessionId("s"), heartbeat=25.0)
    assert rendered(sse.reply(visitor))[1] == [None]


@pytest.mark.parametrize(
    ("reply", "name", "place"),
    [
        (replies.Gap(channel=CHANNEL, first=12, last=19), "gap", ("e1", 19)),
        (replies.Reset(channel=CHANNEL, position=Position(Epoch("e2"), 0)), "reset", ("e2", 0)),
        (replies.Unsubscribed(channel=CHANNEL, code=UnsubscribeCode.EXPIRED), "unsubscribed", None),
        (replies.Unsubscribed(channel=CHANNEL, as_room=True), "unsubscribed", None),
        (replies.Failed(code=ErrorCode.INTERNAL, message="?"), "refused", None),
        (replies.PongSent(), "reply", None),
    ],
)
def test_what_is_said_about_the_stream_is_named(reply, name, place):
    (event,), (after,) = rendered(sse.reply(reply), {CHANNEL: Position(EPOCH, 11)})
    assert event["event"] == name
    assert json.loads(event["data"])["type"] == {"refused": "error", "reply": "pong"}.get(name, name)
    assert shown(after) == place


def test_reconnect_sets_the_browsers_own_clock():
    (event,), _ = rendered(sse.reply(replies.Reconnect(after=1.7)))
    assert (event["event"], event["retry"]) == ("reconnect", "1700")


def test_a_ping_is_a_comment():
    assert sse.render(sse.reply(replies.PingSent()), Positions({})) == b":\n\n"


@pytest.mark.parametrize("code", list(CloseCode))
def test_the_end_says_whether_to_come_back(code):
    (event,) = fields(sse.closing(code, "Why"))
    assert event["event"] == "close"
    assert json.loads(event["data"]) == {
        "type": "close",
        "code": int(code),
        "reason": "Why",
        "reconnect": code.reconnect,
    }
    # Without an id of its own the last one stays, with which an EventSource returns.
    assert event.get("id") == (None if code.reconnect else f"closed.{int(code)}")
