"""Server-sent events (HTML Standard, section 9.2): the plain JSON dialect's pushes, each with its place. Read only.

What comes from a channel, and broadcasts, are unnamed events, which an `EventSource` gives to `onmessage`. What the server says
about the stream itself is named as its `type` is: `welcome`, `subscribed`, `gap`, `reset`, `unsubscribed`, `reconnect`, `close`.
"""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from hubbub.codes import CloseCode
from hubbub.dialects import plain_pushes, plain_replies
from hubbub.dialects.plain_pushes import encode
from hubbub.dialects.sse_positions import Positions, closed_id
from hubbub.hub import replies
from hubbub.hub.publications import Position, Publication
from hubbub.hub.replies import Reply
from hubbub.types import Epoch

KEEPALIVE = b":\n\n"
"""A comment, which clients pass over and which shows proxies that the stream lives."""


class Event(NamedTuple):
    """One event as text, without its id, which is another for each connection.

    Args:
        text: its lines.
        channel: the channel that it moves, with `position`.
        position: where that channel stands after it; `None` moves nothing, and the event has no id.
    """

    text: bytes
    channel: str | None = None
    position: Position | None = None


def publication(publication: Publication) -> Event:
    """Write a publication as its push."""
    text = _data(plain_pushes.publication(publication))
    if not publication.offset:
        return Event(text)
    return Event(text, publication.channel, publication.position)


def reply(reply: Reply) -> Sequence[Event]:
    """Write a reply: one event, or one and those that it brings."""
    match reply:
        case replies.PingSent():
            return (Event(KEEPALIVE),)
        case replies.Welcome() | replies.Subscribed():
            return _opening(reply)
        case replies.Gap():
            return (_named("gap", reply, reply.channel, Position(Epoch(""), reply.last)),)
        case replies.Reset():
            return (_named("reset", reply, reply.channel, reply.position),)
        case replies.Reconnect():
            return (Event(_named("reconnect", reply).text + _retry(reply.after)),)
        case replies.Unsubscribed():
            return (_named("unsubscribed", msgspec.structs.replace(reply, as_room=False)),)
        case replies.Failed():  # `error` is the browser's own event, for a connection that is lost
            return (_named("refused", reply),)
    return (_named("reply", reply),)


def retry(seconds: float) -> bytes:
    """Say how long a client waits before it comes back."""
    return _retry(seconds) + b"\n"


def closing(code: CloseCode, reason: str) -> bytes:
    """Write the last event of a stream.

    An `EventSource` comes back whatever ends its stream. Where it is not to, the event's id says so, which it brings
    along, and is answered 204, the one way to make it stay away (HTML Standard, section 9.2.3).
    """
    said = {"type": "close", "code": int(code), "reason": reason, "reconnect": code.reconnect}
    text = b"event: close\n" + _data(encode(said))
    return text + (b"\n" if code.reconnect else b"id: %b\n\n" % closed_id(code).encode())


def render(events: Sequence[Event], positions: Positions) -> bytes:
    """Write events for one connection, and move its positions along."""
    parts = []
    for event in events:
        parts.append(event.text)
        if event.text is KEEPALIVE:
            continue
        if event.channel is not None and event.position is not None:
            positions.move(event.channel, event.position)
            parts.append(b"id: %b\n" % str(positions).encode())
        parts.append(b"\n")
    return b"".join(parts)


def _opening(reply: replies.Welcome | replies.Subscribed) -> list[Event]:
    """Write what precedes a channel's pushes, then those that were missed, each with its own place.

    Until the last of them has come, the client stands where it stood.
    """
    kind = "welcome" if isinstance(reply, replies.Welcome) else "subscribed"
    text = b"event: %b\n%b" % (kind.encode(), _data(plain_replies.announcement(reply)))
    events = [Event(text), *map(publication, reply.publications)]
    if reply.channel is not None and reply.position is not None:
        events[-1] = Event(events[-1].text, reply.channel, reply.position)
    return events


def _named(name: str, reply: Reply, channel: str | None = None, position: Position | None = None) -> Event:
    text = b"event: %b\n%b" % (name.encode(), _data(plain_replies.reply(reply)))
    return Event(text, channel, position)


def _data(payload: bytes) -> bytes:
    # A line break would end the field; within JSON it can only be white space.
    if b"\n" in payload or b"\r" in payload:
        payload = payload.replace(b"\n", b" ").replace(b"\r", b" ")
    return b"data: %b\n" % payload


def _retry(seconds: float) -> bytes:
    return b"retry: %d\n" % max(0, round(seconds * 1000))
