"""Typed events: pydantic models with a name on the wire."""

import re
from typing import Any, ClassVar

from pydantic import BaseModel

MESSAGE_EVENT = "message"
TYPING_EVENT = "typing"
NOTIFICATION_EVENT = "notification"

_WORD_BORDER = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


class Event(BaseModel):
    """A base for event types that says their name on the wire and whether they are kept.

    Any pydantic model is an event too: ``class OrderCreated(BaseModel)`` is ``order_created`` on the wire.
    With this base one chooses: ``class OrderCreated(Event, name="created")``.

    Class arguments:
        name: the event's name on the wire; the class name in snake case when left out.
        ephemeral: true for events that are never stored and not shown to their sender, such as typing.
    """

    event_name: ClassVar[str] = "event"
    event_is_ephemeral: ClassVar[bool] = False

    def __init_subclass__(
        cls, *, name: str | None = None, ephemeral: bool | None = None, **kwargs: Any
    ) -> None:
        """Take the class arguments; pydantic's own go on to pydantic."""
        super().__init_subclass__(**kwargs)
        cls.event_name = name or snake_case(cls.__name__)
        if ephemeral is not None:
            cls.event_is_ephemeral = ephemeral


class ChatMessage(Event, name=MESSAGE_EVENT):
    """What people say in a room: the short form ``{"type":"message","content":"hi"}``."""

    content: str


class Typing(Event, name=TYPING_EVENT, ephemeral=True):
    """Somebody is typing."""


def snake_case(name: str) -> str:
    """``OrderCreated`` → ``order_created``, ``HTTPDone`` → ``http_done``."""
    return _WORD_BORDER.sub("_", name).lower()


def event_name(event_type: type[BaseModel]) -> str:
    """Return the name of an event type on the wire."""
    return event_type.event_name if issubclass(event_type, Event) else snake_case(event_type.__name__)


def is_ephemeral(event_type: type[BaseModel]) -> bool:
    """Whether events of this type are never stored."""
    return issubclass(event_type, Event) and event_type.event_is_ephemeral
