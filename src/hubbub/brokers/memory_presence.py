"""The presence store of one process."""

import heapq
import math
from bisect import bisect_left, bisect_right, insort
from collections.abc import Collection, Iterator
from types import TracebackType
from typing import Literal, Self

import msgspec

from hubbub.clock import Clock, SystemClock
from hubbub.hub.presence import Change, Lease, Roster
from hubbub.types import SessionId, UserId

TICKS = 8
"""Leases end on an eighth of a second, the next one: those that end together share a list, and the number."""
STEP = 250
"""Departures that `expire` returns at once."""

OVER = -math.inf


class Held(msgspec.Struct, gc=False, eq=False):
    """A lease that is held; of strings and a number, so that the garbage collector need not know of it.

    Args:
        channel: where.
        user_id: who.
        session_id: which of their sessions.
        end: until when, on the store's clock; `OVER` once it was given up.
    """

    channel: str
    user_id: UserId
    session_id: SessionId
    end: float = OVER


class Members:
    """The users of one channel, and the leases that hold each of them there."""

    __slots__ = ("_by_user", "_order")

    def __init__(self) -> None:
        # Most users have one device: a dict of one lease would cost four times as much as the lease.
        self._by_user: dict[UserId, Held | dict[SessionId, Held]] = {}
        self._order: list[UserId] | None = None
        """The users' ids in order, from the first time that somebody asks; nobody asks who is online."""

    def find(self, lease: Lease) -> Held | None:
        """Return the lease if it is held."""
        held = self._by_user.get(lease.user_id)
        if isinstance(held, dict):
            return held.get(lease.session_id)
        return held if held is not None and held.session_id == lease.session_id else None

    def add(self, held: Held) -> bool:
        """Add a lease that is not held yet; return whether it is the user's first."""
        others = self._by_user.get(held.user_id)
        if others is None:
            self._by_user[held.user_id] = held
            if self._order is not None:
                insort(self._order, held.user_id)
        elif isinstance(others, dict):
            others[held.session_id] = held
        else:
            self._by_user[held.user_id] = {others.session_id: others, held.session_id: held}
        return others is None

    def remove(self, held: Held) -> bool:
        """Take out a lease that is held; return whether it was the user's last."""
        others = self._by_user[held.user_id]
        if isinstance(others, dict):
            del others[held.session_id]
            if len(others) == 1:
                (self._by_user[held.user_id],) = others.values()
            return False
        del self._by_user[held.user_id]
        if self._order is not None:
            del self._order[bisect_left(self._order, held.user_id)]
        return True

    def page(self, limit: int, after: UserId | None) -> Roster:
        """List the users after that one."""
        if not limit:
            return Roster((), len(self))
        if self._order is None:
            self._order = sorted(self._by_user)
        start = 0 if after is None else bisect_right(self._order, after)
        users = tuple(self._order[start : start + limit])
        more = users and start + limit < len(self._order)
        return Roster(users, len(self._order), users[-1] if more else None)

    def __contains__(self, user_id: UserId) -> bool:
        return user_id in self._by_user

    def __len__(self) -> int:
        return len(self._by_user)


class MemoryPresence:
    """Keeps leases in memory. See `hubbub.hub.presence.PresenceStore` for what it promises.

    Args:
        clock: what time it is.
    """

    immediate: Literal[True] = True

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._channels: dict[str, Members] = {}
        self._due: dict[float, list[Held]] = {}
        """When to look at which leases. One that was renewed meanwhile is only then put where it now belongs, so that
        renewing touches no list; a lease that ends sooner than before stands in two."""
        self._ends: list[float] = []
        """The keys of `_due`, as a heap."""
        self._latest = 0.0

    async def enter(self, lease: Lease, seconds: float) -> Change:
        """Take or renew one lease."""
        members = self._channels.get(lease.channel)
        if members is None:
            members = self._channels[lease.channel] = Members()
        held = members.find(lease)
        if held is not None:
            self._renew(held, self._end(seconds))
            return Change(lease.channel, lease.user_id, edge=False, users=len(members))
        held = Held(lease.channel, lease.user_id, lease.session_id, self._end(seconds))
        self._look_at(held)
        return Change(lease.channel, lease.user_id, edge=members.add(held), users=len(members))

    async def leave(self, lease: Lease) -> Change:
        """Give one lease up."""
        members = self._channels.get(lease.channel)
        held = None if members is None else members.find(lease)
        if held is None:
            return Change(lease.channel, lease.user_id, edge=False, users=len(members or ()))
        return self._remove(held)

    async def renew(self, leases: Collection[Lease], seconds: float) -> list[Lease]:
        """Let leases that are still held end `seconds` from now."""
        end = self._end(seconds)
        missing = []
        for lease in leases:
            members = self._channels.get(lease.channel)
            held = None if members is None else members.find(lease)
            if held is None:
                missing.append(lease)
            else:
                self._renew(held, end)
        return missing

    async def restore(self, leases: Collection[Lease], seconds: float) -> list[Change]:
        """Take leases again that ended."""
        return [change for lease in leases if (change := await self.enter(lease, seconds)).edge]

    async def told(self, departures: Collection[Change]) -> None:
        """Do nothing: no other node could have told."""

    async def expire(self, telling: Collection[Change] = ()) -> list[Change]:
        """End leases that are over."""
        now = self._clock.monotonic()
        changes: list[Change] = []
        for held in self._due_by(now):
            if held.end > now:
                self._look_at(held)
            elif held.end != OVER:
                change = self._remove(held)
                if change.edge:
                    changes.append(change)
                if len(changes) == STEP:
                    break
        return changes

    async def roster(self, channel: str, *, limit: int = 100, after: UserId | None = None) -> Roster:
        """List who is present, and how many."""
        members = self._channels.get(channel)
        return Roster((), 0) if members is None else members.page(limit, after)

    async def present(self, channel: str, users: Collection[UserId]) -> set[UserId]:
        """Return which of these users are in the channel."""
        members = self._channels.get(channel)
        return set() if members is None else {user for user in users if user in members}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        return

    def _end(self, seconds: float) -> float:
        end = math.ceil((self._clock.monotonic() + seconds) * TICKS) / TICKS
        if end != self._latest:
            self._latest = end
        return self._latest  # the same object for all who come together

    def _renew(self, held: Held, end: float) -> None:
        sooner = end < held.end
        held.end = end
        if sooner:
            self._look_at(held)

    def _look_at(self, held: Held) -> None:
        """See to it that a lease is looked at when it ends."""
        due = self._due.get(held.end)
        if due is None:
            due = self._due[held.end] = []
            heapq.heappush(self._ends, held.end)
        due.append(held)

    def _due_by(self, now: float) -> Iterator[Held]:
        """Take what is to be looked at, one after the other."""
        while self._ends and self._ends[0] <= now:
            due = self._due[self._ends[0]]
            while due:
                yield due.pop()
            del self._due[heapq.heappop(self._ends)]

    def _remove(self, held: Held) -> Change:
        members = self._channels[held.channel]
        held.end = OVER
        edge = members.remove(held)
        if not members:
            del self._channels[held.channel]
        return Change(held.channel, held.user_id, edge, len(members))
