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
from hubbub.hub.namespaces import Namespace, Namespaces, Publish
from hubbub.hub.publications import Draft, Kind, Position
from hubbub.hub.session import Session, uuid7
from hubbub.types import UserId

MAX_IDEMPOTENCY_KEY = 255
MAX_DEPTH = 128
"""Arrays and objects inside one another that clients may publish."""
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
            PublishError: the broker did not take it (`PublishUncertain`: it is unknown whether it did).
        """
        parsed, namespace = self._namespaces.resolve(channel)
        name, body = encode_event(event, data)
        check_size(body, namespace)
        return await self.put(
            namespace,
            Draft(
                parsed.name,
                name,
                body,
                str(uuid7()),
                self._clock.time(),
                kind_of(name, event if isinstance(event, BaseModel) else None),
                exclude=excluded(exclude),
            ),
            idempotency_key,
        )

    async def broadcast(
        self, event: str | BaseModel, data: Any = None, *, exclude: Collection[str] = ()
    ) -> None:
        """Tell every session of the cluster; not stored.

        Raises:
            PublishError: the broker did not take it.
        """
        name, body = encode_event(event, data)
        draft = Draft(
            EVERYONE,
            name,
            body,
            str(uuid7()),
            self._clock.time(),
            Kind.BROADCAST,
            exclude=excluded(exclude),
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
        await check_publish(session, channel, namespace)
        check_size(command.data, namespace)
        check_event_name(command.event)
        check_depth(command.data)
        check_numbers(command.data)
        event = decode_event(command, namespace)
        body, event_title, kind = command.data, command.event, kind_of(command.event, event)
        if event is not None:
            moderator = namespace.moderators.get(command.event)
            if moderator is not None:
                event = await moderator(event, session.identity, channel)
            if event is None:
                raise Forbidden("The server refused this message.")
            # As the type has it: what it does not know was not looked at, and goes to nobody.
            event_title, body = encode_event(event)
            kind = kind_of(event_title, event)
            check_size(body, namespace)
        key = command.idempotency_key
        if key is not None:
            if not 0 < len(key) <= MAX_IDEMPOTENCY_KEY:
                raise BadRequest(f"An `idempotency_key` has 1 to {MAX_IDEMPOTENCY_KEY} characters.")
            # Keys of different users, and of different visitors, never meet.
            key = f"{session.user_id or session.id}\x00{key}"
        sender = session.user_id
        draft = Draft(
            channel.name,
            event_title,
            compact(body),
            str(uuid7()),
            self._clock.time(),
            kind,
            sender,
            frozenset((sender,)) if kind is Kind.EPHEMERAL else frozenset(),
        )
        return channel.name, await self.put(namespace, draft, key)

    async def put(self, namespace: Namespace, draft: Draft, idempotency_key: str | None = None) -> Position:
        """Hand a draft to the broker under a namespace's retention."""
        return await self._broker.publish(draft, namespace.retention, idempotency_key)


async def check_publish(session: Session, channel: Channel, namespace: Namespace) -> None:
    """Apply a namespace's policy to a client that wants to publish.

    Raises:
        Refusal: it may not.
    """
    policy = namespace.publish
    if policy is Publish.NOBODY:
        raise Forbidden(f"Clients may not publish to {namespace.name}:…; only the server does.")
    if policy is Publish.SUBSCRIBER and channel.name not in session.subscriptions:
        raise NotSubscribed(f"Join {channel.name!r} before you publish to it.")
    if policy is Publish.AUTHENTICATED and session.identity.is_anonymous:
        raise Forbidden(f"Sign in to publish to {namespace.name}:….")
    authorizer = namespace.publish_authorizer
    if authorizer is not None and not await authorizer(session.identity, channel):
        raise Forbidden(f"You may not publish to {channel.name!r}.")


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
    if data.count(b"[") + data.count(b"{") <= MAX_DEPTH:
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


def decode_event(command: PublishCommand, namespace: Namespace) -> BaseModel | None:
    """Read a client's data as the event type that the namespace lists, if it lists any.

    Raises:
        UnknownEvent: it lists others.
        BadRequest: the data does not fit the type.
    """
    if not namespace.event_types:
        return None
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
    return frozenset(UserId(user) for user in users)


def kind_of(name: str, event: BaseModel | None) -> Kind:
    """Say whether an event is kept."""
    if name == TYPING_EVENT or (event is not None and is_ephemeral(type(event))):
        return Kind.EPHEMERAL
    return Kind.MESSAGE


def compact(data: bytes) -> bytes:
    """Take raw newlines out of JSON text, which line-based wire formats cannot carry."""
    return msgspec.json.format(data, indent=-1) if b"\n" in data or b"\r" in data else data
