"""How the plain JSON dialect sends publications: in their short or general form.

Each form is a struct, which is made and encoded several times faster than a dictionary. Its fields are written in the
order in which they stand here; one that is unset is left out.
"""

import msgspec
from msgspec import UNSET, Raw, UnsetType

from hubbub.clock import rfc3339
from hubbub.hub.events import MESSAGE_EVENT, NOTIFICATION_EVENT, TYPING_EVENT
from hubbub.hub.publications import EPHEMERAL, MESSAGE, Kind, Publication

ROOM = "room:"
SHORT_EVENTS = {NOTIFICATION_EVENT: "user:", "job": "job:"}
"""Events whose push, in channels that begin so, is named after the event and carries the data alone."""

encode = msgspec.json.Encoder().encode


class Message(msgspec.Struct, frozen=True, gc=False, tag_field="type", tag="message"):
    """``{"type":"message","content":"hi","room_id":"general",…}``."""

    content: Raw
    room_id: str | UnsetType
    channel: str
    user_id: str | UnsetType
    id: str | UnsetType
    offset: int | UnsetType
    timestamp: str


class Event(msgspec.Struct, frozen=True, gc=False, tag_field="type", tag="event"):
    """The general form: ``{"type":"event","event":"created","data":{…},"channel":"topic:orders",…}``."""

    event: str
    data: Raw
    room_id: str | UnsetType
    channel: str
    user_id: str | UnsetType
    id: str | UnsetType
    offset: int | UnsetType
    timestamp: str


class ShortEvent(msgspec.Struct, frozen=True, gc=False):
    """An event whose name is the type: ``{"type":"notification","data":{…},"channel":"user:ada",…}``."""

    type: str
    data: Raw
    room_id: str | UnsetType
    channel: str
    user_id: str | UnsetType
    id: str | UnsetType
    offset: int | UnsetType
    timestamp: str


class Typing(msgspec.Struct, frozen=True, gc=False, tag_field="type", tag="typing"):
    """``{"type":"typing","room_id":"general","channel":"room:general","user_id":"ada"}``."""

    room_id: str | UnsetType
    channel: str
    user_id: str | None


class Announcement(msgspec.Struct, frozen=True, gc=False):
    """``{"type":"user_joined","room_id":"general",…,"active_users":3}``, or ``user_left``."""

    type: str
    room_id: str | UnsetType
    channel: str
    user_id: str | None
    timestamp: str
    active_users: Raw


class Broadcast(msgspec.Struct, frozen=True, gc=False, tag_field="type", tag="broadcast"):
    """``{"type":"broadcast","event":"maintenance","data":{…},"timestamp":"…"}``."""

    event: str
    data: Raw
    timestamp: str


class Content(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """The data that has the short form: ``{"content":…}`` and nothing else."""

    content: Raw


_content = msgspec.json.Decoder(Content)


def publication(publication: Publication) -> bytes:
    """Write a publication as its push."""
    return encode(push(publication))


def push(publication: Publication) -> msgspec.Struct:
    """Return a publication's push, with its data as raw JSON."""
    kind = publication.kind
    if kind is MESSAGE or kind is EPHEMERAL:
        return _said(publication)
    if kind is Kind.BROADCAST:
        return Broadcast(publication.event, Raw(publication.data), rfc3339(publication.time))
    return Announcement(
        "user_joined" if kind is Kind.JOIN else "user_left",
        room_of(publication.channel),
        publication.channel,
        publication.sender,
        rfc3339(publication.time),
        Raw(publication.data),
    )


def _said(publication: Publication) -> msgspec.Struct:
    event, channel, data = publication.event, publication.channel, publication.data
    room = room_of(channel)
    if event == TYPING_EVENT and data in {b"{}", b"null"}:
        return Typing(room, channel, publication.sender)
    sender = UNSET if publication.sender is None else publication.sender
    stored_id = publication.id if publication.offset else UNSET
    offset = publication.offset or UNSET
    time = rfc3339(publication.time)
    if event == MESSAGE_EVENT:
        try:
            content = _content.decode(data).content
        except (msgspec.ValidationError, RecursionError):  # the server may publish what is nested without end
            pass
        else:
            return Message(content, room, channel, sender, stored_id, offset, time)
    prefix = SHORT_EVENTS.get(event)
    if prefix is not None and channel.startswith(prefix):
        return ShortEvent(event, Raw(data), room, channel, sender, stored_id, offset, time)
    return Event(event, Raw(data), room, channel, sender, stored_id, offset, time)


def room_of(channel: str) -> str | UnsetType:
    """Return the name that `join_room` gives a channel, if it is a room."""
    return channel[len(ROOM) :] if channel.startswith(ROOM) else UNSET
