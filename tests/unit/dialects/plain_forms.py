"""The forms of the plain dialect once more, field after field in plain dictionaries: what the structs must write."""

from typing import Any

import msgspec
from msgspec import Raw

from hubbub.clock import rfc3339
from hubbub.dialects.plain_pushes import Content
from hubbub.hub import replies
from hubbub.hub.events import MESSAGE_EVENT, TYPING_EVENT
from hubbub.hub.presence import Roster
from hubbub.hub.publications import Kind, Position, Publication

ROOM = "room:"
SHORT_EVENTS = {"user:": "notification", "job:": "job"}
CONTENT = msgspec.json.Decoder(Content)


def push(publication: Publication) -> dict[str, Any]:
    """Return a publication's push, with its data as raw JSON."""
    if publication.kind is Kind.BROADCAST:
        return {
            "type": "broadcast",
            "event": publication.event,
            "data": Raw(publication.data),
            "timestamp": rfc3339(publication.time),
        }
    place = _place(publication)
    if publication.kind in {Kind.JOIN, Kind.LEAVE}:
        return {
            "type": "user_joined" if publication.kind is Kind.JOIN else "user_left",
            **place,
            "user_id": publication.sender,
            "timestamp": rfc3339(publication.time),
            "active_users": Raw(publication.data),
        }
    if publication.event == TYPING_EVENT and publication.data in {b"{}", b"null"}:
        return {"type": "typing", **place, "user_id": publication.sender}
    return {**_body(publication), **place, **_sender(publication), **_stored(publication)}


def done(reply: replies.Done) -> dict[str, Any]:
    return {"type": "ack", "ref": reply.ref, **_channel(reply.channel), **_position(reply.position)}


def subscribed(reply: replies.Subscribed) -> dict[str, Any]:
    return {
        "type": "joined" if reply.as_room else "subscribed",
        **_channel(reply.channel),
        **_position(reply.position),
        **({} if reply.recovered is None else {"recovered": reply.recovered}),
        "messages": [push(each) for each in reply.publications],
        **_roster(reply.roster),
    }


def _channel(channel: str | None) -> dict[str, Any]:
    if channel is None:
        return {}
    if channel.startswith(ROOM):
        return {"room_id": channel.removeprefix(ROOM), "channel": channel}
    return {"channel": channel}


def _position(position: Position | None) -> dict[str, Any]:
    if position is None:
        return {}
    place: dict[str, Any] = {"epoch": position.epoch, "offset": position.offset}
    if position.id is not None:
        place["id"] = position.id
    return place


def _roster(roster: Roster | None) -> dict[str, Any]:
    if roster is None:
        return {}
    members = {} if roster.cursor else {"members": roster.users}
    return {**members, "active_users": roster.total}


def _place(publication: Publication) -> dict[str, Any]:
    return _channel(publication.channel)


def _body(publication: Publication) -> dict[str, Any]:
    if publication.event == MESSAGE_EVENT:
        try:
            return {"type": "message", "content": CONTENT.decode(publication.data).content}
        except (msgspec.ValidationError, RecursionError):  # the server may publish what is nested without end
            pass
    for prefix, event in SHORT_EVENTS.items():
        if publication.event == event and publication.channel.startswith(prefix):
            return {"type": event, "data": Raw(publication.data)}
    return {"type": "event", "event": publication.event, "data": Raw(publication.data)}


def _sender(publication: Publication) -> dict[str, Any]:
    return {} if publication.sender is None else {"user_id": publication.sender}


def _stored(publication: Publication) -> dict[str, Any]:
    place: dict[str, Any] = {"id": publication.id, "offset": publication.offset} if publication.offset else {}
    return {**place, "timestamp": rfc3339(publication.time)}
