"""The presence store of one process."""

import heapq
from bisect import bisect_right, insort
from collections.abc import Collection, Iterable
from types import TracebackType
from typing import Self

from hubbub.clock import Clock, SystemClock
from hubbub.hub.presence import Change, Lease, Roster
from hubbub.types import UserId


class Members:
    """The users of one channel: who, in order, and how many sessions hold each of them."""

    __slots__ = ("order", "sessions")

    def __init__(self) -> None:
        self.sessions: dict[UserId, int] = {}
        self.order: list[UserId] = []

    def add(self, user_id: UserId) -> bool:
        """Count one more session; return whether it is the user's first."""
        count = self.sessions.get(user_id, 0)
        self.sessions[user_id] = count + 1
        if not count:
            insort(self.order, user_id)
        return not count

    def remove(self, user_id: UserId) -> bool:
        """Count one session less; return whether it was the user's last."""
        self.sessions[user_id] -= 1
        if self.sessions[user_id]:
            return False
        del self.sessions[user_id]
        del self.order[bisect_right(self.order, user_id) - 1]
        return True


class MemoryPresence:
    """Keeps leases in memory. See `hubbub.hub.presence.PresenceStore` for what it promises.

    Args:
        clock: what time it is.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._ends: dict[Lease, float] = {}
        self._due: list[tuple[float, Lease]] = []
        """A heap; an entry that does not agree with `_ends` was renewed or given up."""
        self._channels: dict[str, Members] = {}

    async def enter(self, lease: Lease, seconds: float) -> Change:
        """Take or renew one lease."""
        members = self._channels.setdefault(lease.channel, Members())
        edge = lease not in self._ends and members.add(lease.user_id)
        self._set(lease, seconds)
        return Change(lease.channel, lease.user_id, edge, len(members.order))

    async def leave(self, lease: Lease) -> Change:
        """Give one lease up."""
        if self._ends.pop(lease, None) is None:
            return Change(lease.channel, lease.user_id, edge=False, users=self._count(lease.channel))
        return self._remove(lease)

    async def renew(self, leases: Iterable[Lease], seconds: float) -> None:
        """Let leases that are still held end `seconds` from now."""
        for lease in leases:
            if lease in self._ends:
                self._set(lease, seconds)

    async def expire(self) -> list[Change]:
        """End every lease that is over."""
        now = self._clock.monotonic()
        changes = []
        while self._due and self._due[0][0] <= now:
            end, lease = heapq.heappop(self._due)
            if self._ends.get(lease) == end:
                del self._ends[lease]
                change = self._remove(lease)
                if change.edge:
                    changes.append(change)
        return changes

    async def roster(self, channel: str, *, limit: int = 100, after: UserId | None = None) -> Roster:
        """List who is present, and how many."""
        members = self._channels.get(channel)
        if members is None:
            return Roster((), 0)
        start = 0 if after is None else bisect_right(members.order, after)
        users = tuple(members.order[start : start + limit])
        more = users and start + limit < len(members.order)
        return Roster(users, len(members.order), users[-1] if more else None)

    async def present(self, channel: str, users: Collection[UserId]) -> set[UserId]:
        """Return which of these users are in the channel."""
        members = self._channels.get(channel)
        return set() if members is None else {user for user in users if user in members.sessions}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        return

    def _set(self, lease: Lease, seconds: float) -> None:
        end = self._clock.monotonic() + seconds
        self._ends[lease] = end
        heapq.heappush(self._due, (end, lease))

    def _remove(self, lease: Lease) -> Change:
        members = self._channels[lease.channel]
        edge = members.remove(lease.user_id)
        if not members.order:
            del self._channels[lease.channel]
        return Change(lease.channel, lease.user_id, edge, len(members.order))

    def _count(self, channel: str) -> int:
        members = self._channels.get(channel)
        return len(members.order) if members else 0
