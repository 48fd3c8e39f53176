"""What clients ask for, in no wire format; a dialect turns bytes into these."""

import msgspec

from hubbub.hub.publications import Position

Ref = str | int | float | None
"""What a client put on a command to know its answer by."""


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """Anything a client asks for.

    Args:
        ref: echoed by the answer.
    """

    ref: Ref = None


class Authenticate(Command, frozen=True, kw_only=True):
    """Say who one is, or renew it."""

    token: str


class Subscribe(Command, frozen=True, kw_only=True):
    """Receive a channel from now on, or from a position.

    Args:
        channel: the full name.
        since: where the client stopped reading.
        token: where the namespace asks for one.
        as_room: whether the client asked with ``join_room``, and is answered ``joined``.
    """

    channel: str
    since: Position | None = None
    token: str | None = None
    as_room: bool = False


class Unsubscribe(Command, frozen=True, kw_only=True):
    """Receive a channel no longer."""

    channel: str
    as_room: bool = False


class Publish(Command, frozen=True, kw_only=True):
    """Say something in a channel.

    Args:
        channel: the full name; `None` for the room of the connection's path.
        event: the event type.
        data: one JSON value.
        idempotency_key: repeating it within five minutes publishes nothing new.
        is_text: whether the dialect wrote `event` and `data` itself, with no more of the client's than one string in
            one flat object; then only the size is in the client's hands.
    """

    channel: str | None
    event: str
    data: bytes
    idempotency_key: str | None = None
    is_text: bool = False


class ReadHistory(Command, frozen=True, kw_only=True):
    """Read what was said before."""

    channel: str
    limit: int = 50
    before: int | None = None


class ReadPresence(Command, frozen=True, kw_only=True):
    """List who is there."""

    channel: str
    limit: int = 100
    cursor: str | None = None


class Ping(Command, frozen=True, kw_only=True):
    """Ask for a sign of life."""


class Pong(Command, frozen=True, kw_only=True):
    """Give one."""
