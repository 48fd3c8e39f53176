"""Who is where: this node's presence leases, what it tells the members, and who went offline."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable

from hubbub.clock import Clock
from hubbub.hub.announcements import CROWD, Announcer
from hubbub.hub.background import Background
from hubbub.hub.channels import EVERYONE
from hubbub.hub.errands import Errands
from hubbub.hub.limits import Timing
from hubbub.hub.namespaces import Namespaces
from hubbub.hub.presence import Change, Lease, PresenceStore, Roster
from hubbub.hub.publications import Kind
from hubbub.hub.publishing import Publisher
from hubbub.hub.session import Session
from hubbub.hub.wheel import Wheel
from hubbub.types import SessionId, UserId

logger = logging.getLogger(__name__)

OfflineHook = Callable[[UserId], Awaitable[None]]

ROSTER_LIMIT = CROWD
"""Above so many members a roster in `joined` is left out."""
HOOKS_AT_ONCE = 16
"""Users whose `on_offline` hooks run at the same time, however many went at once."""


class Attendance:
    """Keeps the leases of this node's sessions and announces arrivals and departures.

    Args:
        store: where leases are kept.
        publisher: carries the announcements.
        namespaces: which channels announce.
        clock: what time announcements carry.
        wheel: for announcements that are put together.
        background: runs them.
        timing: how long leases last.
    """

    def __init__(
        self,
        store: PresenceStore,
        publisher: Publisher,
        namespaces: Namespaces,
        clock: Clock,
        wheel: Wheel,
        background: Background,
        timing: Timing,
    ) -> None:
        self._store = store
        self._clock = clock
        self._lease = timing.lease
        self._grace = timing.grace
        self._announcer = Announcer(publisher, namespaces, clock, wheel, background)
        self._held: dict[SessionId, tuple[str, ...]] = {}
        """Of each session its user, then the channels in which it holds a lease: half of what the leases would cost."""
        self._round: list[SessionId] = []
        """Whose leases are still to be renewed in this round; the last one is next."""
        self._round_size = 0
        self._round_began = self._swept_at = clock.monotonic()
        self.offline_hooks: list[OfflineHook] = []
        self._offline = Errands(background, self._call_offline_hooks, HOOKS_AT_ONCE)

    async def enter(self, session: Session, channel: str) -> Change | None:
        """Take a lease for a session; visitors without an identity are not counted."""
        if session.identity.is_anonymous:
            return None
        held = self._held.get(session.id, (session.user_id,))
        if channel not in held[1:]:
            self._held[session.id] = (*held, channel)
        return await self._store.enter(Lease(channel, session.user_id, session.id), self._lease)

    async def announce_arrival(self, change: Change | None) -> None:
        """Tell the members about a user's first device."""
        if change is not None and change.edge:
            await self._announcer.announce(change, Kind.JOIN)

    async def leave(self, session: Session, channels: Collection[str], *, clean: bool) -> None:
        """Give leases up: at once where the client said goodbye, after the grace where it was lost."""
        user, *held = self._held.pop(session.id, (session.user_id,))
        given_up = [channel for channel in channels if channel in held]
        if len(given_up) < len(held):
            self._held[session.id] = (user, *(channel for channel in held if channel not in given_up))
        leases = [Lease(channel, session.user_id, session.id) for channel in given_up]
        if not clean:
            await self._store.renew(leases, self._grace)
            return
        for lease in leases:
            await self._departed(await self._store.leave(lease))

    async def sweep(self) -> None:
        """Renew the leases of this node that it is time for; then end, and announce, what is over.

        In this order: the sessions of a process that was stopped for longer than a lease are still here.
        """
        await self._renew()
        while changes := await self._store.expire():
            for change in changes:
                await self._departed(change)
            await asyncio.sleep(0)  # a node that died may leave thousands

    async def roster(self, channel: str, limit: int = ROSTER_LIMIT, after: UserId | None = None) -> Roster:
        """List the users in a channel."""
        return await self._store.roster(channel, limit=limit, after=after)

    async def online(self, users: Collection[UserId]) -> set[UserId]:
        """Return which of these users are connected anywhere."""
        return await self._store.present(EVERYONE, users)

    def __len__(self) -> int:
        return sum(len(held) - 1 for held in self._held.values())

    async def _renew(self) -> None:
        """Renew as many leases as belong to the time since the last sweep: all of them in a third of a lease.

        Whoever was first in one round and last in the next had been renewed for two thirds of a lease. A sweep that
        comes a third late renews everything at once, because nothing is known to last until the next.
        """
        now = self._clock.monotonic()
        period = self._lease / 3
        is_late = now - self._swept_at >= period
        self._swept_at = now
        if is_late or now - self._round_began >= period:
            await self._renew_all_but(0)
            self._round = list(reversed(self._held))
            self._round_size, self._round_began = len(self._round), now
        left = 0.0 if is_late else 1 - (now - self._round_began) / period
        await self._renew_all_but(int(self._round_size * left))

    async def _renew_all_but(self, left: int) -> None:
        batch, self._round = self._round[left:], self._round[:left]
        leases = self._leases(reversed(batch))
        if leases:
            await self._store.renew(leases, self._lease)

    def _leases(self, sessions: Iterable[SessionId]) -> list[Lease]:
        held = ((session, self._held[session]) for session in sessions if session in self._held)
        return [
            Lease(channel, UserId(user), session)
            for session, (user, *channels) in held
            for channel in channels
        ]

    async def _departed(self, change: Change) -> None:
        if not change.edge:
            return
        if change.channel != EVERYONE:
            await self._announcer.announce(change, Kind.LEAVE)
        elif self.offline_hooks:
            self._offline.add(change.user_id)

    async def _call_offline_hooks(self, user_id: UserId) -> None:
        """Call them apart from everything else: a slow one delays no announcement and no renewal."""
        for hook in self.offline_hooks:
            try:
                await hook(user_id)
            except Exception:
                logger.exception("The on_offline hook failed for user %r", user_id)
