"""How the plain JSON dialect sends replies; those of every message and join are structs, as pushes are."""

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import UNSET, Raw, UnsetType

from hubbub.dialects.plain_pushes import encode, push, room_of
from hubbub.hub import replies
from hubbub.hub.commands import Ref
from hubbub.hub.publications import Position, Publication, Shared
from hubbub.hub.replies import Reply
from hubbub.types import UserId

PLAIN = "plain"
"""The name under which this dialect keeps what it has written."""


class Ack(msgspec.Struct, frozen=True, gc=False, tag_field="type", tag="ack"):
    """``{"type":"ack","ref":1,…}``, with the place of what was published."""

    ref: Ref
    room_id: str | UnsetType
    channel: str | UnsetType
    epoch: str | UnsetType = UNSET
    offset: int | UnsetType = UNSET
    id: str | UnsetType = UNSET


class Joined(msgspec.Struct, frozen=True, gc=False):
    """``{"type":"joined","room_id":"general",…}``, or ``subscribed``."""

    type: str
    room_id: str | UnsetType
    channel: str
    epoch: str
    offset: int
    id: str | UnsetType
    recovered: bool | UnsetType
    messages: list[Any] | Raw | UnsetType
    members: tuple[UserId, ...] | UnsetType
    active_users: int | UnsetType


def reply(reply: Reply) -> bytes:
    """Write a reply."""
    return encode(_FORMS[type(reply)](reply))


def announcement(reply: replies.Welcome | replies.Subscribed) -> bytes:
    """Write what precedes a channel's pushes, for a dialect that sends what was missed one by one behind it."""
    if isinstance(reply, replies.Welcome):
        return encode(_welcome(reply))
    return encode(msgspec.structs.replace(_subscribed(reply), messages=UNSET))


def _done(reply: replies.Done) -> Ack:
    ref, channel, position = reply.ref, reply.channel, reply.position
    room = UNSET if channel is None else room_of(channel)
    name = UNSET if channel is None else channel
    if position is None:
        return Ack(ref, room, name)
    stored_id = UNSET if position.id is None else position.id
    return Ack(ref, room, name, position.epoch, position.offset, stored_id)


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
        **({} if reply.recovered is None else {"recovered": reply.recovered}),
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


def _subscribed(reply: replies.Subscribed) -> Joined:
    position, roster = reply.position, reply.roster
    return Joined(
        "joined" if reply.as_room else "subscribed",
        room_of(reply.channel),
        reply.channel,
        position.epoch,
        position.offset,
        UNSET if position.id is None else position.id,
        UNSET if reply.recovered is None else reply.recovered,
        _missed(reply.publications),
        UNSET if roster is None or roster.cursor else roster.users,
        UNSET if roster is None else roster.total,
    )


def _missed(publications: tuple[Publication, ...]) -> list[Any] | Raw:
    if not isinstance(publications, Shared):
        return [push(each) for each in publications]
    written = publications.written.get(PLAIN)
    if written is None:
        written = publications.written[PLAIN] = encode([push(each) for each in publications])
    return Raw(written)


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
    room = room_of(channel)
    return {"channel": channel} if room is UNSET else {"room_id": room, "channel": channel}


def _position(position: Position | None) -> dict[str, Any]:
    if position is None:
        return {}
    place: dict[str, Any] = {"epoch": position.epoch, "offset": position.offset}
    if position.id is not None:
        place["id"] = position.id
    return place


_FORMS: dict[type[Reply], Callable[[Any], Any]] = {
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
