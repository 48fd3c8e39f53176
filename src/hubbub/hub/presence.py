"""The presence contract: who is in a channel, as leases that expire.

A user is present while any session of theirs holds a lease. `hubbub.testing.conformance.PresenceSuite` holds
every implementation to what is promised here.
"""

from collections.abc import Collection
from types import TracebackType
from typing import Protocol, Self

import msgspec

from hubbub.types import SessionId, UserId


class Lease(msgspec.Struct, frozen=True, gc=False):
    """One session's hold on one channel."""

    channel: str
    user_id: UserId
    session_id: SessionId


class Change(msgspec.Struct, frozen=True, gc=False):
    """What an arrival or departure did.

    Args:
        channel: where.
        user_id: who.
        edge: whether it was the user's first device to come, or the last to go.
        users: how many users are present now.
        departure: which departure this is, where the store waits to hear that it was told (`PresenceStore.told`); `None`
            where the store ends with its process, and nobody else could tell.
    """

    channel: str
    user_id: UserId
    edge: bool
    users: int
    departure: str | None = None


class Roster(msgspec.Struct, frozen=True, gc=False):
    """One page of the users in a channel, in the order of their ids.

    Args:
        users: at most as many as were asked for.
        total: how many are present altogether.
        cursor: pass it as `after` for the next page; `None` at the end.
    """

    users: tuple[UserId, ...]
    total: int
    cursor: UserId | None = None


class PresenceStore(Protocol):
    """Keeps leases. Every step is atomic: of all nodes that see a user's last lease end, one is told `edge`.

    **A departure is not lost with the node that found it.** In the step that ends a user's last lease the store also
    notes that this is still to be told, and lets whoever caused the step claim that for some seconds. `told` ends it. What
    nobody told when the claim is over is handed out once more, by `expire`, to one who asks; until it is ten minutes old,
    or the user is back. So every departure is *handled at least once* wherever one node is left, and more than once only where
    a node dies, or stands still for longer than its claim, after it told and before it said so. What has to happen once
    carries `Change.departure`, which stays the same, to where a repetition is recognised (an announcement's idempotency key).

    Arrivals are reported once, to whoever caused them, and are lost with that one.

    Raises:
        Unavailable: the store cannot be reached. What was asked for may have been done; all of it is safe to repeat.
    """

    async def enter(self, lease: Lease, seconds: float) -> Change:
        """Take or renew one lease; `edge` where the user had none in this channel."""
        ...

    async def leave(self, lease: Lease) -> Change:
        """Give one lease up; `edge` where the user has no other. Giving up what is not held changes nothing."""
        ...

    async def renew(self, leases: Collection[Lease], seconds: float) -> list[Lease]:
        """Let leases that are still held end `seconds` from now; sooner than before is allowed (a grace).

        Returns:
            Those that are not held, and were not taken by this: they have ended, or the store has lost them.
        """
        ...

    async def restore(self, leases: Collection[Lease], seconds: float) -> list[Change]:
        """Take leases again that `renew` did not find, and whose sessions are there.

        Returns:
            The arrivals that are to be told: of users who had none in that channel, and whose departure may have been told.
            Where the store lost what it had, nobody was told, and this is empty.
        """
        ...

    async def expire(self, telling: Collection[Change] = ()) -> list[Change]:
        """End leases that are over; return the users whose last one it was, and departures that nobody told in time.

        One step may leave some for the next, so that thousands that are over together stall nobody: call it until
        it returns nothing. A store that was out of everybody's reach ends nothing until all had time to renew.

        Args:
            telling: departures that the caller has been handed, and will tell yet: its claims on them last on.
        """
        ...

    async def told(self, departures: Collection[Change]) -> None:
        """Acknowledge departures: whoever was to know of them knows. Repeating it changes nothing."""
        ...

    async def roster(self, channel: str, *, limit: int = 100, after: UserId | None = None) -> Roster:
        """List who is present, and how many; `limit` 0 only counts."""
        ...

    async def present(self, channel: str, users: Collection[UserId]) -> set[UserId]:
        """Return which of these users are in the channel."""
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...
