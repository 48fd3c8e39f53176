"""Who is where: this node's presence leases, what it tells the members, and who went offline."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable

from hubbub.clock import Clock
from hubbub.exceptions import Unavailable, UnknownChannel
from hubbub.hub.announcements import CROWD, Announcer
from hubbub.hub.background import Background
from hubbub.hub.channels import EVERYONE
from hubbub.hub.errands import Errands
from hubbub.hub.limits import Timing
from hubbub.hub.namespaces import Namespaces
from hubbub.hub.presence import Change, Lease, PresenceStore, Roster
from hubbub.hub.publications import Kind
from hubbub.hub.publishing import Publisher
from hubbub.hub.receipts import Receipts
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

    What the store lost, or ended while this node stood still, is taken again as soon as a renewal finds it missing.

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
        self._receipts = Receipts(store, clock, background)
        self._announcer = Announcer(store, self._receipts, publisher, namespaces, clock, wheel, background)
        self._news = Errands(background, self._tell)
        self._held: dict[SessionId, tuple[str, ...]] = {}
        """Of each session its user, then the channels in which it holds a lease: half of what the leases would cost."""
        self._round: list[SessionId] = []
        """Whose leases are still to be renewed in this round; the last one is next."""
        self._round_size = 0
        self._round_began = self._swept_at = clock.monotonic()
        self._is_behind = False
        """Whether leases may be missing that this node should have: all of them are to be renewed."""
        self._is_cut_off = False
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
        try:
            if not clean:
                await self._store.renew(leases, self._grace)
                return
            for lease in leases:
                change = await self._store.leave(lease)
                self._receipts.take(change)
                await self._departed(change)
        except Unavailable as error:
            # They end by themselves, as nobody renews them, and are told then.
            logger.info("Leases of user %r could not be given up: %s", session.user_id, error)

    async def sweep(self) -> None:
        """Renew the leases of this node that it is time for; then end, and announce, what is over.

        In this order: the sessions of a process that was stopped for longer than a lease are still here.
        """
        try:
            await self._renew()
            self._receipts.send()
            await self._expire()
        except Unavailable as error:
            if not self._is_cut_off:
                logger.warning("Presence stands still: %s", error)
            self._is_cut_off = True
            self._is_behind = True  # it may have lost something meanwhile
            return
        if self._is_cut_off:
            logger.info("Presence goes on")
            self._is_cut_off = False

    async def roster(self, channel: str, limit: int = ROSTER_LIMIT, after: UserId | None = None) -> Roster:
        """List the users in a channel."""
        return await self._store.roster(channel, limit=limit, after=after)

    async def roster_for(self, channel: str, arrival: Change | None) -> Roster:
        """List the users in a channel for one who has just come; of a crowd, whose names are left out, only the number."""
        if arrival is not None and arrival.users > ROSTER_LIMIT:
            return Roster((), arrival.users, arrival.user_id)
        return await self.roster(channel)

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
        is_late = self._is_behind or now - self._swept_at >= period
        self._swept_at = now
        self._is_behind = True  # unless all of this succeeds
        is_lossy = False
        if is_late or now - self._round_began >= period:
            is_lossy = await self._renew_all_but(0)
            self._begin_round(now)
        left = 0.0 if is_late else 1 - (now - self._round_began) / period
        is_lossy = await self._renew_all_but(int(self._round_size * left)) or is_lossy
        if is_lossy and not is_late:
            # Where one was missing others are.
            self._begin_round(now)
            await self._renew_all_but(0)
        self._is_behind = False

    def _begin_round(self, now: float) -> None:
        self._round = list(reversed(self._held))
        self._round_size, self._round_began = len(self._round), now

    async def _renew_all_but(self, left: int) -> bool:
        """Renew those whose turn it is, and take again what is missing; return whether there was any."""
        batch, self._round = self._round[left:], self._round[:left]
        leases = self._leases(reversed(batch))
        if not leases:
            return False
        missing = await self._store.renew(leases, self._lease)
        lost = [lease for lease in missing if lease.channel in self._held.get(lease.session_id, ())[1:]]
        if lost:
            logger.warning("%d leases of sessions that are here were missing, and are taken again", len(lost))
            for change in await self._store.restore(lost, self._lease):
                if change.channel != EVERYONE:
                    self._news.add((change, Kind.JOIN))
        return bool(lost)

    async def _expire(self) -> None:
        telling = self._receipts.to_keep()
        while changes := await self._store.expire(telling):
            telling = ()
            for change in changes:
                if change.departure is None:
                    await self._departed(change)
                else:  # a broker that is slow shall not keep this from renewing
                    self._receipts.take(change)
                    self._news.add((change, Kind.LEAVE))
            await asyncio.sleep(0)  # a node that died may leave thousands

    def _leases(self, sessions: Iterable[SessionId]) -> list[Lease]:
        held = ((session, self._held[session]) for session in sessions if session in self._held)
        return [
            Lease(channel, UserId(user), session)
            for session, (user, *channels) in held
            for channel in channels
        ]

    async def _tell(self, news: tuple[Change, Kind]) -> None:
        change, kind = news
        await (self.announce_arrival if kind is Kind.JOIN else self._departed)(change)

    async def _departed(self, change: Change) -> None:
        if not change.edge:
            return
        if change.channel != EVERYONE:
            try:
                await self._announcer.announce(change, Kind.LEAVE)
            except UnknownChannel:
                # Of a node that has other namespaces, before or after a deployment: one of those has to tell.
                self._receipts.give_up(change)
        elif self.offline_hooks:
            self._offline.add(change)
        else:
            self._receipts.told(change)

    async def _call_offline_hooks(self, change: Change) -> None:
        """Call them apart from everything else: a slow one delays no announcement and no renewal."""
        for hook in self.offline_hooks:
            try:
                await hook(change.user_id)
            except Exception:
                logger.exception("The on_offline hook failed for user %r", change.user_id)
        self._receipts.told(change)
