"""The broker contract: carries publications between nodes and keeps the streams.

`hubbub.testing.conformance.BrokerSuite` holds every implementation to what is promised here.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Protocol, Self, runtime_checkable

import msgspec

from hubbub.hub.publications import Draft, Position, Publication

KEY_TTL = 300.0
"""Seconds in which a repeated idempotency key publishes nothing new, when nothing else is asked for."""


class Receiver(Protocol):
    """Takes what arrives from the broker."""

    def receive(self, publication: Publication) -> None:
        """Take a publication; on the event loop, and neither blocking nor raising."""
        ...

    def interrupted(self, reason: str) -> None:
        """Learn that publications may be missed from now on.

        Args:
            reason: ``deaf`` where a canary did not come back, ``connection`` where one broke, ``moved`` where a channel
                went to another server.
        """
        ...

    async def mend(self, channels: Collection[str]) -> None:
        """Read what was missed of these channels, which are delivered again; returns when they are up to date."""
        ...


@dataclass(frozen=True, slots=True)
class Retention:
    """How much of a stream is kept: at most `size` publications, none older than `ttl` seconds."""

    size: int
    ttl: float

    @property
    def keeps(self) -> bool:
        """Whether anything is stored at all."""
        return self.size > 0 and self.ttl > 0


class Reading(msgspec.Struct, frozen=True, gc=False):
    """What a stream held at one instant.

    Args:
        top: the position of the newest publication (offset 0 in an empty stream).
        publications: in offset order.
        whole: whether these are all publications after the position that was asked for.
        began: where the epoch began: at 0, or, where a broker found that it had lost publications, at the last one that it
            is sure of.
    """

    top: Position
    publications: tuple[Publication, ...] = ()
    whole: bool = True
    began: int = 0


@runtime_checkable
class Immediate(Protocol):
    """An ability of a broker or presence store: none of its methods ever waits, so that they need no task around them."""

    immediate: Literal[True]


class Broker(Protocol):
    """Carries and keeps publications. An async context manager: entered before use, left at shutdown.

    A broker that may miss deliveries tells its receiver so (`Receiver.interrupted`), and has it read what it missed
    (`Receiver.mend`), before `problem` is `None` again.
    """

    @property
    def problem(self) -> str | None:
        """Why publications may be missed or refused at the moment; `None` while all is well."""
        ...

    async def publish(
        self,
        draft: Draft,
        retention: Retention,
        idempotency_key: str | None = None,
        key_ttl: float = KEY_TTL,
    ) -> Position:
        """Store a publication and hand it to every node that is subscribed to its channel.

        Returns when it is stored. What is stored and what is delivered agree: the offsets of one channel rise by
        one, and every receiver gets them in that order. Where `retention` keeps nothing, or the draft's kind is
        not `MESSAGE`, nothing is stored, the offset is 0 and delivery is at most once. The same
        idempotency key in the same channel within `key_ttl` seconds of the first returns the first position and stores
        nothing; what a repetition gives as `key_ttl` changes nothing.

        Raises:
            PublishUncertain: the answer was lost; the publication may or may not be stored.
            PublishError: it was not stored and will not be delivered.
        """
        ...

    async def forget(self, channel: str, keys: Collection[str]) -> None:
        """Keep idempotency keys of a channel no longer than the usual `KEY_TTL` from now: they will not be repeated.

        They are not let go at once, because somebody who was stopped between a look and a send may still repeat one. Keys
        that would have gone before, and those that are not known, stay as they are.

        Raises:
            Unavailable: the broker cannot be reached; they go when their own time is over.
        """
        ...

    async def subscribe(self, channel: str) -> None:
        """Begin to hand this channel's publications to the receiver.

        Everything that is stored after this returns is delivered. Repeating it changes nothing.

        Raises:
            Unavailable: the broker cannot be reached.
        """
        ...

    async def unsubscribe(self, channel: str) -> None:
        """Stop handing on this channel; what is already on its way may still arrive."""
        ...

    async def read(self, channel: str, since: Position | None = None) -> Reading:
        """Read the top and, with `since`, everything after it, in one atomic step.

        `whole` is true if and only if the epochs match, `since.offset` is not above the top, `since.id` (when given)
        is the id stored at that offset, and nothing after it was trimmed; otherwise `publications` is empty.
        Trimming never changes the epoch; losing the stream does, or a part of it that somebody has seen.

        Raises:
            Unavailable: the broker cannot be reached.
        """
        ...

    async def history(self, channel: str, *, limit: int, before: int | None = None) -> Reading:
        """Read at most `limit` publications, the newest ones below the offset `before`; raises as `read` does."""
        ...

    async def positions(self, channels: Sequence[str]) -> list[Position]:
        """Read the tops of many streams, cheaply; the epoch is empty where there is none. Raises as `read` does."""
        ...

    def deliver_to(self, receiver: Receiver) -> None:
        """Name who takes what arrives; called once, before the broker is entered."""
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...
