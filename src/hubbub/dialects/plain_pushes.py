"""What the plain JSON dialect sends: publications in their short or general form, and replies."""

from collections.abc import Callable
from typing import Any

import msgspec

from hubbub.clock import rfc3339
from hubbub.hub import replies
from hubbub.hub.commands import Ref
from hubbub.hub.events import MESSAGE_EVENT, NOTIFICATION_EVENT, TYPING_EVENT
from hubbub.hub.presence import Roster
from hubbub.hub.publications import Kind, Position, Publication
from hubbub.hub.replies import Reply

ROOM = "room:"
SHORT_EVENTS = {"user:": NOTIFICATION_EVENT, "job:": "job"}
"""Events of these namespaces whose push is named after the event and carries the data alone."""

encode = msgspec.json.Encoder().encode


class Content(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The data that has the short form: ``{"content":…}`` and nothing else."""

    content: msgspec.Raw


_content = msgspec.json.Decoder(Content)


def publication(publication: Publication) -> bytes:
    """Write a publication as its push."""
    return encode(push(publication))


def push(publication: Publication) -> dict[str, Any]:
    """Return a publication's push, with its data as raw JSON."""
    if publication.kind is Kind.BROADCAST:
        return {
            "type": "broadcast",
            "event": publication.event,
            "data": msgspec.Raw(publication.data),
            "timestamp": rfc3339(publication.time),
        }
    place = _place(publication)
    if publication.kind in {Kind.JOIN, Kind.LEAVE}:
        return {
            "type": "user_joined" if publication.kind is Kind.JOIN else "user_left",
            **place,
            "user_id": publication.sender,
            "timestamp": rfc3339(publication.time),
            "active_users": msgspec.Raw(publication.data),
        }
    if publication.event == TYPING_EVENT and publication.data in {b"{}", b"null"}:
        return {"type": "typing", **place, "user_id": publication.sender}
    return {**_body(publication), **place, **_sender(publication), **_stored(publication)}


def reply(reply: Reply) -> bytes:
    """Write a reply."""
    return encode(_FORMS[type(reply)](reply))


def _done(reply: replies.Done) -> dict[str, Any]:
    return {"type": "ack", "ref": reply.ref, **_channel(reply.channel), **_position(reply.position)}


def _failed(reply: replies.Failed) -> dict[str, Any]:
    return {"type": "error", "code": reply.code.value, "message": reply.message, **_ref(reply.ref)}


def _welcome(reply: replies.Welcome) -> dict[str, Any]:
    seconds = float(reply.heartbeat)
    return {
        "type": "welcome",
        "user_id": reply.user_id,
        "session_id": reply.session_id,
        "heartbeat": int(seconds) if seconds.is_integer() else seconds,
        **_channel(reply.channel),
        **_position(reply.position),
    }


def _history(reply: replies.HistoryRead) -> dict[str, Any]:
    return {
        "type": "ack",
        **_ref(reply.ref),
        "channel": reply.channel,
        **_position(reply.position),
        "messages": [push(each) for each in reply.publications],
    }


def _presence(reply: replies.PresenceRead) -> dict[str, Any]:
    return {
        "type": "ack",
        **_ref(reply.ref),
        "channel": reply.channel,
        "members": reply.roster.users,
        "active_users": reply.roster.total,
        "next_cursor": reply.roster.cursor,
    }


def _subscribed(reply: replies.Subscribed) -> dict[str, Any]:
    return {
        "type": "joined" if reply.as_room else "subscribed",
        **_channel(reply.channel),
        **_position(reply.position),
        **({} if reply.recovered is None else {"recovered": reply.recovered}),
        "messages": [push(each) for each in reply.publications],
        **_roster(reply.roster),
    }


def _unsubscribed(reply: replies.Unsubscribed) -> dict[str, Any]:
    if reply.as_room:
        return {"type": "left", **_channel(reply.channel)}
    channel = _channel(reply.channel)
    return {"type": "unsubscribed", **channel, "code": int(reply.code), "reason": reply.reason}


def _gap(reply: replies.Gap) -> dict[str, Any]:
    return {"type": "gap", "channel": reply.channel, "from": reply.first, "to": reply.last}


def _reset(reply: replies.Reset) -> dict[str, Any]:
    return {"type": "reset", "channel": reply.channel, **_position(reply.position)}


def _ref(ref: Ref) -> dict[str, Any]:
    return {} if ref is None else {"ref": ref}


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
            return {"type": "message", "content": _content.decode(publication.data).content}
        except (msgspec.ValidationError, RecursionError):  # the server may publish what is nested without end
            pass
    for prefix, event in SHORT_EVENTS.items():
        if publication.event == event and publication.channel.startswith(prefix):
            return {"type": event, "data": msgspec.Raw(publication.data)}
    return {"type": "event", "event": publication.event, "data": msgspec.Raw(publication.data)}


def _sender(publication: Publication) -> dict[str, Any]:
    return {} if publication.sender is None else {"user_id": publication.sender}


def _stored(publication: Publication) -> dict[str, Any]:
    place: dict[str, Any] = {"id": publication.id, "offset": publication.offset} if publication.offset else {}
    return {**place, "timestamp": rfc3339(publication.time)}


_FORMS: dict[type[Reply], Callable[[Any], dict[str, Any]]] = {
    replies.Welcome: _welcome,
    replies.Done: _done,
    replies.Failed: _failed,
    replies.Subscribed: _subscribed,
    replies.Unsubscribed: _unsubscribed,
    replies.HistoryRead: _history,
    replies.PresenceRead: _presence,
    replies.Gap: _gap,
    replies.Reset: _reset,
    replies.Reconnect: lambda reply: {"type": "reconnect", "after": reply.after},
    replies.PingSent: lambda _: {"type": "ping"},
    replies.PongSent: lambda _: {"type": "pong"},
}
