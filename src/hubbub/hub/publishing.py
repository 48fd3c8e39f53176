"""Publishing: what the server may always do, and clients under the namespace's policy."""

import re
from collections.abc import Collection
from itertools import accumulate
from typing import Any

import msgspec
from pydantic import BaseModel, ValidationError

from hubbub.clock import Clock
from hubbub.exceptions import BadRequest, Forbidden, NotSubscribed, TooLarge, UnknownEvent
from hubbub.hub.broker import Broker, Retention
from hubbub.hub.channels import EVERYONE, Channel, name_problem
from hubbub.hub.commands import Publish as PublishCommand
from hubbub.hub.events import TYPING_EVENT, event_name, is_ephemeral
from hubbub.hub.ids import RisingIds
from hubbub.hub.namespaces import Namespace, Namespaces, Publish
from hubbub.hub.publications import EPHEMERAL, MESSAGE, Draft, Kind, Position
from hubbub.hub.session import Session
from hubbub.types import UserId

MAX_IDEMPOTENCY_KEY = 255
MAX_DEPTH = 128
"""Arrays and objects inside one another that clients may publish."""
NOBODY: frozenset[UserId] = frozenset()
"""Whom most publications exclude; one for all of them, because each that is made takes 216 bytes of the stream."""
NOT_KEPT = Retention(0, 0.0)

_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"')
_LONG_NUMBER = re.compile(rb"[0-9.]{300}|[eE][+-]?0*(?:[1-9][0-9]{3}|[4-9][0-9]{2}|3[1-9][0-9]|309)")
_LEVELS = [{"[": 1, "{": 1, "]": -1, "}": -1}.get(chr(byte), 0) for byte in range(256)]


class Publisher:
    """Puts publications into channels.

    Args:
        broker: where they go.
        namespaces: whose policies hold.
        clock: what time they carry.
    """

    def __init__(self, broker: Broker, namespaces: Namespaces, clock: Clock) -> None:
        self._broker = broker
        self._namespaces = namespaces
        self._clock = clock
        self._ids = RisingIds()

    async def publish(
        self,
        channel: str,
        event: str | BaseModel,
        data: Any = None,
        *,
        exclude: Collection[str] = (),
        idempotency_key: str | None = None,
    ) -> Position:
        """Publish as the server.

        Args:
            channel: the full name.
            event: a typed event, or an event's name with its `data` beside it.
            data: any JSON value.
            exclude: user ids that do not get it, now or from history.
            idempotency_key: repeating it within five minutes publishes nothing new and returns the first position.

        Returns:
            Where it stands; offset 0 where the namespace keeps nothing.

        Raises:
            UnknownChannel: no namespace answers to the name.
            TooLarge: the data is over the namespace's `max_message_bytes`.
            BadRequest: the data is nested too deeply for those who receive it.
            PublishError: the broker did not take it (`PublishUncertain`: it is unknown whether it did).
        """
        namespace, draft = self.draft(channel, event, data, exclude)
        return await self.put(namespace, draft, idempotency_key)

    def draft(
        self, channel: str, event: str | BaseModel, data: Any = None, exclude: Collection[str] = ()
    ) -> tuple[Namespace, Draft]:
        """Make what `publish` publishes; arguments and errors as there, without those of the broker."""
        parsed, namespace = self._namespaces.resolve(channel)
        name, body = encode_event(event, data)
        check_size(body, namespace)
        check_depth(body)
        now = self._clock.time()
        kind = kind_of(name, event if isinstance(event, BaseModel) else None)
        return namespace, Draft(
            parsed.name, name, body, self._ids.new(now), now, kind, exclude=excluded(exclude)
        )

    async def broadcast(
        self, event: str | BaseModel, data: Any = None, *, exclude: Collection[str] = ()
    ) -> None:
        """Tell every session of the cluster; not stored.

        Raises:
            PublishError: the broker did not take it.
        """
        name, body = encode_event(event, data)
        now = self._clock.time()
        draft = Draft(
            EVERYONE, name, body, self._ids.new(now), now, Kind.BROADCAST, exclude=excluded(exclude)
        )
        await self._broker.publish(draft, NOT_KEPT)

    async def publish_for(self, session: Session, command: PublishCommand) -> tuple[str, Position]:
        """Publish for a client, if the namespace's policy and hooks allow it.

        Returns:
            The channel, and where the publication stands.

        Raises:
            Refusal: the policy, a limit or a hook refused.
            PublishError: the broker did not take it.
        """
        name = session.room if command.channel is None else command.channel
        if name is None:
            raise BadRequest("The field `room_id` is missing: it may be left out on /ws/{room_id} only.")
        channel, namespace = self._namespaces.resolve(name)
        check_publish(session, channel, namespace)
        authorizer = namespace.publish_authorizer
        if authorizer is not None and not await authorizer(session.identity, channel):
            raise Forbidden(f"You may not publish to {channel.name!r}.")
        event, body = command.event, command.data
        check_size(body, namespace)
        if not command.is_text:
            check_event_name(event)
            check_depth(body)
            check_numbers(body)
        if namespace.event_types:
            typed = await moderated(session, command, channel, namespace)
            # As the type has it: what it does not know was not looked at, and goes to nobody.
            event, body = encode_event(typed)
            check_size(body, namespace)
            kind, is_compact = kind_of(event, typed), False
        else:
            kind, is_compact = kind_of(event, None), command.is_text
        if not is_compact:
            body = compact(body)
        key = command.idempotency_key
        if key is not None:
            key = own_key(session, key)
        sender, now = session.user_id, self._clock.time()
        exclude = frozenset((sender,)) if kind is EPHEMERAL else NOBODY
        draft = Draft(channel.name, event, body, self._ids.new(now), now, kind, sender, exclude)
        return channel.name, await self._broker.publish(draft, namespace.retention, key)

    async def put(self, namespace: Namespace, draft: Draft, idempotency_key: str | None = None) -> Position:
        """Hand a draft to the broker under a namespace's retention."""
        return await self._broker.publish(draft, namespace.retention, idempotency_key)


def check_publish(session: Session, channel: Channel, namespace: Namespace) -> None:
    """Apply a namespace's policy to a client that wants to publish; its hook is asked after this.

    Raises:
        Refusal: it may not.
    """
    policy = namespace.publish
    if policy is Publish.SUBSCRIBER:
        if channel.name not in session.subscriptions:
            raise NotSubscribed(f"Join {channel.name!r} before you publish to it.")
    elif policy is Publish.NOBODY:
        raise Forbidden(f"Clients may not publish to {namespace.name}:…; only the server does.")
    elif policy is Publish.AUTHENTICATED and session.identity.is_anonymous:
        raise Forbidden(f"Sign in to publish to {namespace.name}:….")


async def moderated(
    session: Session, command: PublishCommand, channel: Channel, namespace: Namespace
) -> BaseModel:
    """Read a client's data as one of the namespace's event types, and return what its moderator makes of it.

    Raises:
        UnknownEvent: the namespace lists others.
        BadRequest: the data does not fit the type.
        Forbidden: the moderator refused.
    """
    event = decode_event(command, namespace)
    moderator = namespace.moderators.get(command.event)
    if moderator is None:
        return event
    answer = await moderator(event, session.identity, channel)
    if answer is None:
        raise Forbidden("The server refused this message.")
    return answer


def own_key(session: Session, key: str) -> str:
    """Return an idempotency key that meets no other user's, and no other visitor's.

    Raises:
        BadRequest: it is empty or too long.
    """
    if not 0 < len(key) <= MAX_IDEMPOTENCY_KEY:
        raise BadRequest(f"An `idempotency_key` has 1 to {MAX_IDEMPOTENCY_KEY} characters.")
    return f"{session.user_id or session.id}\x00{key}"


def check_size(data: bytes, namespace: Namespace) -> None:
    """Hold data against the namespace's bound.

    Raises:
        TooLarge: it is over it.
    """
    if 0 < namespace.max_message_bytes < len(data):
        raise TooLarge(
            f"The data has {len(data)} bytes; {namespace.name}:… takes at most {namespace.max_message_bytes}."
        )


def check_depth(data: bytes) -> None:
    """Hold data against the bound on nesting, so that the parsers of those who receive it can read it.

    Raises:
        BadRequest: it is nested too deeply.
    """
    if len(data) <= MAX_DEPTH or data.count(b"[") + data.count(b"{") <= MAX_DEPTH:
        return
    if max(accumulate(map(_LEVELS.__getitem__, _STRING.sub(b"", data)))) > MAX_DEPTH:
        raise BadRequest(f"The data is nested too deeply; at most {MAX_DEPTH} levels are taken.")


def check_numbers(data: bytes) -> None:
    """Hold numbers against what parsers take: JSON has no bound, a double and Python's `int` do (RFC 8259 section 6).

    Raises:
        BadRequest: one is out of range, or has hundreds of digits.
    """
    if _LONG_NUMBER.search(data) and _LONG_NUMBER.search(_STRING.sub(b'""', data)):
        raise BadRequest("A number in the data is out of range.")


def decode_event(command: PublishCommand, namespace: Namespace) -> BaseModel:
    """Read a client's data as the event type that the namespace lists.

    Raises:
        UnknownEvent: it lists others.
        BadRequest: the data does not fit the type.
    """
    event_type = namespace.event_types.get(command.event)
    if event_type is None:
        expected = ", ".join(sorted(namespace.event_types))
        raise UnknownEvent(f"{namespace.name}:… takes the events {expected}, not {command.event!r}.")
    try:
        return event_type.model_validate_json(command.data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(step) for step in ("data", *first["loc"]))
        raise BadRequest(
            f"The event {command.event!r} does not fit: {first['msg']} - at `{where}`."
        ) from None


def encode_event(event: str | BaseModel, data: Any = None) -> tuple[str, bytes]:
    """Return an event's name and its data as one JSON value."""
    if isinstance(event, BaseModel):
        return event_name(type(event)), event.model_dump_json().encode()
    if not isinstance(event, str):
        raise TypeError(
            f"publish an event (an instance of a pydantic model) or an event's name, not {event!r}"
        )
    check_event_name(event)
    return event, msgspec.json.encode(data)


def check_event_name(name: str) -> None:
    """Hold an event's name against the rule for names.

    Raises:
        BadRequest: it is empty, too long, or has control characters.
    """
    problem = name_problem(name)
    if problem:
        raise BadRequest(f"The event's name {problem}.")


def excluded(users: Collection[str]) -> frozenset[UserId]:
    """Read who does not get a publication.

    Raises:
        TypeError: it is one string, whose letters would be taken for users.
    """
    if isinstance(users, str):
        raise TypeError(f"exclude takes a collection of user ids, such as {{{users!r}}}, not one string")
    return frozenset(UserId(user) for user in users) if users else NOBODY


def kind_of(name: str, event: BaseModel | None) -> Kind:
    """Say whether an event is kept."""
    if name == TYPING_EVENT or (event is not None and is_ephemeral(type(event))):
        return EPHEMERAL
    return MESSAGE


def compact(data: bytes) -> bytes:
    """Take raw newlines out of JSON text, which line-based wire formats cannot carry."""
    return msgspec.json.format(data, indent=-1) if b"\n" in data or b"\r" in data else data
