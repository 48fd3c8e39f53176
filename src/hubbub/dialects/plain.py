"""The plain JSON dialect: one object a text frame (`docs/protocol.md`)."""

import re
from typing import Annotated, Any

import msgspec

from hubbub.dialects import plain_pushes, plain_replies
from hubbub.dialects.plain_pushes import ROOM, encode
from hubbub.exceptions import BadRequest, UnknownType
from hubbub.hub import commands
from hubbub.hub.commands import Command
from hubbub.hub.events import MESSAGE_EVENT, TYPING_EVENT
from hubbub.hub.publications import Position, Publication
from hubbub.hub.replies import Reply
from hubbub.types import Epoch

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
Ref = Annotated[str, msgspec.Meta(max_length=255)] | int | float | None

_ESCAPE = re.compile(
    r"\\(?:ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2}|(?P<half>ud[89a-f][0-9a-f]{2})|.)",
    re.IGNORECASE | re.DOTALL,
)
"""An escape in JSON; half a pair of surrogates has a name. A pair and `\\\\` are taken whole, so that it is never found in them."""


class Since(msgspec.Struct, frozen=True):
    """A position, as clients write it."""

    epoch: str
    offset: Annotated[int, msgspec.Meta(ge=0)]
    id: str | None = None

    def position(self) -> Position:
        """Return it as the hub knows it."""
        return Position(Epoch(self.epoch), self.offset, self.id)


class ClientMessage(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """Anything a client sends; `type` says which."""

    ref: Ref = None

    def command(self) -> Command:
        """Return what it asks for."""
        raise TypeError(type(self).__name__)


class Auth(ClientMessage, frozen=True, kw_only=True, tag="auth"):
    """``{"type":"auth","token":"…"}``."""

    token: str

    def command(self) -> Command:
        """Return what it asks for."""
        return commands.Authenticate(ref=self.ref, token=self.token)


class JoinRoom(ClientMessage, frozen=True, kw_only=True, tag="join_room"):
    """``{"type":"join_room","room_id":"general","since":{…}}``."""

    room_id: str
    since: Since | None = None
    token: str | None = None

    def command(self) -> Command:
        """Return what it asks for."""
        since = None if self.since is None else self.since.position()
        return commands.Subscribe(
            ref=self.ref, channel=ROOM + self.room_id, since=since, token=self.token, as_room=True
        )


class LeaveRoom(ClientMessage, frozen=True, kw_only=True, tag="leave_room"):
    """``{"type":"leave_room","room_id":"general"}``."""

    room_id: str

    def command(self) -> Command:
        """Return what it asks for."""
        return commands.Unsubscribe(ref=self.ref, channel=ROOM + self.room_id, as_room=True)


class Message(ClientMessage, frozen=True, kw_only=True, tag="message"):
    """``{"type":"message","room_id":"general","content":"hi"}``."""

    content: str
    room_id: str | None = None
    idempotency_key: str | None = None

    def command(self) -> Command:
        """Return what it asks for."""
        return commands.Publish(
            ref=self.ref,
            channel=None if self.room_id is None else ROOM + self.room_id,
            event=MESSAGE_EVENT,
            data=encode({"content": self.content}),
            idempotency_key=self.idempotency_key,
            is_text=True,
        )


class Typing(ClientMessage, frozen=True, kw_only=True, tag="typing"):
    """``{"type":"typing","room_id":"general"}``."""

    room_id: str | None = None

    def command(self) -> Command:
        """Return what it asks for."""
        channel = None if self.room_id is None else ROOM + self.room_id
        return commands.Publish(ref=self.ref, channel=channel, event=TYPING_EVENT, data=b"{}", is_text=True)


class Subscribe(ClientMessage, frozen=True, kw_only=True, tag="subscribe"):
    """``{"type":"subscribe","channel":"topic:orders","since":{…},"token":…}``."""

    channel: str
    since: Since | None = None
    token: str | None = None

    def command(self) -> Command:
        """Return what it asks for."""
        since = None if self.since is None else self.since.position()
        return commands.Subscribe(ref=self.ref, channel=self.channel, since=since, token=self.token)


class Unsubscribe(ClientMessage, frozen=True, kw_only=True, tag="unsubscribe"):
    """``{"type":"unsubscribe","channel":"topic:orders"}``."""

    channel: str

    def command(self) -> Command:
        """Return what it asks for."""
        return commands.Unsubscribe(ref=self.ref, channel=self.channel)


class Publish(ClientMessage, frozen=True, kw_only=True, tag="publish"):
    """``{"type":"publish","channel":"room:general","event":"message","data":{…}}``."""

    channel: str
    event: Name
    data: msgspec.Raw
    idempotency_key: str | None = None

    def command(self) -> Command:
        """Return what it asks for."""
        return commands.Publish(
            ref=self.ref,
            channel=self.channel,
            event=self.event,
            data=bytes(self.data),
            idempotency_key=self.idempotency_key,
        )


class History(ClientMessage, frozen=True, kw_only=True, tag="history"):
    """``{"type":"history","channel":"room:general","limit":50,"before":41}``."""

    channel: str
    limit: int = 50
    before: int | None = None

    def command(self) -> Command:
        """Return what it asks for."""
        return commands.ReadHistory(ref=self.ref, channel=self.channel, limit=self.limit, before=self.before)


class Presence(ClientMessage, frozen=True, kw_only=True, tag="presence"):
    """``{"type":"presence","channel":"room:general"}``."""

    channel: str
    limit: int = 100
    cursor: str | None = None

    def command(self) -> Command:
        """Return what it asks for."""
        return commands.ReadPresence(ref=self.ref, channel=self.channel, limit=self.limit, cursor=self.cursor)


class Ping(ClientMessage, frozen=True, kw_only=True, tag="ping"):
    """``{"type":"ping"}``."""

    def command(self) -> Command:
        """Return what it asks for."""
        return commands.Ping(ref=self.ref)


class Pong(ClientMessage, frozen=True, kw_only=True, tag="pong"):
    """``{"type":"pong"}``."""

    def command(self) -> Command:
        """Return what it asks for."""
        return commands.Pong(ref=self.ref)


AnyClientMessage = (
    Auth
    | JoinRoom
    | LeaveRoom
    | Message
    | Typing
    | Subscribe
    | Unsubscribe
    | Publish
    | History
    | Presence
    | Ping
    | Pong
)

TYPES = tuple(sorted(str(kind.__struct_config__.tag) for kind in AnyClientMessage.__args__))


class Head(msgspec.Struct, frozen=True):
    """What can be told of a message that could not be understood."""

    type: Any = None
    ref: Any = None


class PlainJSON:
    """The dialect's two directions. Stateless: one instance serves every session."""

    name = "plain"

    def __init__(self) -> None:
        self._decoder = msgspec.json.Decoder(AnyClientMessage)
        self._head = msgspec.json.Decoder(Head)

    def decode(self, text: str) -> Command:
        """Understand one message of a client.

        Raises:
            UnknownType: its `type` does not exist.
            BadRequest: it is not JSON, not an object, or a field is missing or of the wrong type.
        """
        try:
            message: ClientMessage = self._decoder.decode(text)
        except msgspec.ValidationError as error:
            raise self._explain(text, error) from None
        except msgspec.DecodeError as error:
            raise _not_json(text, error) from None
        except RecursionError:
            raise BadRequest("The JSON is nested too deeply.") from None
        except UnicodeEncodeError:
            raise BadRequest("The text is not valid Unicode.") from None
        return message.command()

    def encode_publication(self, publication: Publication) -> bytes:
        """Write a publication as its push."""
        return plain_pushes.publication(publication)

    def encode_reply(self, reply: Reply) -> bytes:
        """Write a reply."""
        return plain_replies.reply(reply)

    def _explain(self, text: str, error: msgspec.ValidationError) -> BadRequest:
        try:
            head = self._head.decode(text)
        except msgspec.ValidationError:
            return BadRequest(f"A message is a JSON object with a `type`. {error}.")
        except msgspec.DecodeError as unread:  # found behind what was wrong with the message
            return _not_json(text, unread)
        except RecursionError:
            return BadRequest("The JSON is nested too deeply.")
        ref = _accepted(head.ref)
        if isinstance(head.type, str) and head.type not in TYPES:
            return UnknownType(
                f"There is no message type {head.type[:50]!r}; there are {', '.join(TYPES)}.", ref
            )
        return BadRequest(f"{error}.", ref)


def _accepted(ref: Any) -> Ref:
    """Return a `ref` that a message may have, else none: one that is refused is not echoed, whatever its size."""
    try:
        accepted: Ref = msgspec.convert(ref, Ref)
    except msgspec.ValidationError:
        return None
    return accepted


def _not_json(text: str, error: msgspec.DecodeError) -> BadRequest:
    """Say what is wrong; of half a pair of surrogates msgspec says now and then that the text was truncated."""
    half = next((escape["half"] for escape in _ESCAPE.finditer(text) if escape["half"]), None)
    if half is None:
        return BadRequest(f"This is not JSON: {error}.")
    return BadRequest(
        f"This is not JSON: text must be well-formed Unicode, and \\{half} is half of a pair of surrogates."
    )
