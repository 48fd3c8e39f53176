"""What travels in a channel, and where a reader stands in it."""

from collections.abc import Iterable
from enum import IntEnum
from typing import Any, Self

import msgspec

from hubbub.types import Epoch, UserId


class Kind(IntEnum):
    """What a publication is to its receivers."""

    MESSAGE = 0
    """Said by a client or the server; stored where the namespace keeps history."""
    EPHEMERAL = 1
    """As a message, but never stored and never shown to its sender: typing, cursors."""
    JOIN = 2
    """A user's first device came; `data` is the number of users now present."""
    LEAVE = 3
    """A user's last device left; `data` as for `JOIN`."""
    BROADCAST = 4
    """To every connected client, outside any channel they subscribed to."""


# In Python 3.11 looking a member up costs several times a name; these two are asked for with every message.
MESSAGE = Kind.MESSAGE
EPHEMERAL = Kind.EPHEMERAL


class Position(msgspec.Struct, frozen=True, gc=False):
    """A place in a channel's stream.

    Args:
        epoch: the life of the stream; positions of another epoch say nothing about this one.
        offset: how many publications the stream has had; 0 is before the first, and what is not stored has 0.
        id: the id of the publication at this offset, where it is known.
    """

    epoch: Epoch
    offset: int
    id: str | None = None


NOWHERE = Position(Epoch(""), 0)
"""Where one stands who has not read a stream, or whose stream has not begun."""


class Draft(msgspec.Struct, frozen=True, gc=False):
    """A publication before the broker has given it a place.

    Args:
        channel: the full name.
        event: the event type, such as ``message``.
        data: one JSON value as UTF-8, without raw newlines.
        id: a UUIDv7.
        time: seconds since 1970 UTC.
        kind: what it is to its receivers.
        sender: the user who said it; `None` for the server.
        exclude: users who do not get it, now or from history.
    """

    channel: str
    event: str
    data: bytes
    id: str
    time: float
    kind: Kind = Kind.MESSAGE
    sender: UserId | None = None
    exclude: frozenset[UserId] = frozenset()


class Publication(msgspec.Struct, frozen=True, gc=False):
    """One message in a channel; fields as in `Draft`, and its place (offset 0: not stored)."""

    channel: str
    event: str
    data: bytes
    id: str
    time: float
    kind: Kind
    sender: UserId | None
    exclude: frozenset[UserId]
    epoch: Epoch
    offset: int

    @classmethod
    def placed(cls, draft: Draft, epoch: Epoch, offset: int) -> "Publication":
        """Give a draft its place."""
        return cls(
            draft.channel,
            draft.event,
            draft.data,
            draft.id,
            draft.time,
            draft.kind,
            draft.sender,
            draft.exclude,
            epoch,
            offset,
        )

    @property
    def position(self) -> Position:
        """Where this publication stands."""
        return Position(self.epoch, self.offset, self.id)

    def value(self) -> Any:
        """Read the data as a JSON value."""
        return msgspec.json.decode(self.data)

    def is_for(self, user_id: UserId) -> bool:
        """Whether a session of this user gets it."""
        return user_id not in self.exclude


class Shared(tuple[Publication, ...]):
    """Publications that many sessions have missed alike; each dialect writes them once."""

    written: dict[str, bytes]
    """What a dialect made of them, by its name; it lives as long as the reading that is kept."""

    def __new__(cls, publications: Iterable[Publication]) -> Self:
        """Hold them; nothing is written yet."""
        shared = super().__new__(cls, publications)
        shared.written = {}
        return shared
