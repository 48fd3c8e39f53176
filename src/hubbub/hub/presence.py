"""The presence contract: who is in a channel, as leases that expire.

A user is present while any session of theirs holds a lease. `hubbub.testing.conformance.PresenceSuite` holds
every implementation to what is promised here.
"""

from collections.abc import Collection, Iterable
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
    """

    channel: str
    user_id: UserId
    edge: bool
    users: int


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
    """Keeps leases. Every step is atomic: of all nodes that see a user's last lease end, one is told `edge`."""

    async def enter(self, lease: Lease, seconds: float) -> Change:
        """Take or renew one lease; `edge` where the user had none in this channel."""
        ...

    async def leave(self, lease: Lease) -> Change:
        """Give one lease up; `edge` where the user has no other. Giving up what is not held changes nothing."""
        ...

    async def renew(self, leases: Iterable[Lease], seconds: float) -> None:
        """Let leases that are still held end `seconds` from now; sooner than before is allowed (a grace)."""
        ...

    async def expire(self) -> list[Change]:
        """End leases that are over; return the users whose last one it was, each told exactly once.

        One step may leave some for the next, so that thousands that are over together stall nobody: call it until
        it returns nothing.
        """
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
