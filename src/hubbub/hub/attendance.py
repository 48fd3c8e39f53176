"""Who is where: this node's presence leases, what it tells the members, and who went offline."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection

from hubbub.clock import Clock
from hubbub.exceptions import PublishError
from hubbub.hub.background import Background
from hubbub.hub.channels import EVERYONE
from hubbub.hub.limits import Timing
from hubbub.hub.namespaces import Namespaces
from hubbub.hub.presence import Change, Lease, PresenceStore, Roster
from hubbub.hub.publications import Draft, Kind
from hubbub.hub.publishing import Publisher
from hubbub.hub.session import Session, uuid7
from hubbub.hub.wheel import Wheel
from hubbub.types import UserId

logger = logging.getLogger(__name__)

OfflineHook = Callable[[UserId], Awaitable[None]]

ROSTER_LIMIT = 100
"""Above so many members a roster in `joined` is left out, and announcements of a second become one."""
CROWD_INTERVAL = 1.0
"""Seconds between two announcements in a channel above `ROSTER_LIMIT`."""
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
        self._publisher = publisher
        self._namespaces = namespaces
        self._clock = clock
        self._wheel = wheel
        self._background = background
        self._lease = timing.lease
        self._grace = timing.grace
        self._held: set[Lease] = set()
        self._renewed_at = clock.monotonic()
        self._crowds: dict[str, tuple[Change, Kind] | None] = {}
        """Crowded channels that were told something less than a second ago, and what they are told next."""
        self.offline_hooks: list[OfflineHook] = []
        self._hooks_at_once = asyncio.Semaphore(HOOKS_AT_ONCE)

    async def enter(self, session: Session, channel: str) -> Change | None:
        """Take a lease for a session; visitors without an identity are not counted."""
        if session.identity.is_anonymous:
            return None
        lease = Lease(channel, session.user_id, session.id)
        self._held.add(lease)
        return await self._store.enter(lease, self._lease)

    async def announce_arrival(self, change: Change | None) -> None:
        """Tell the members about a user's first device."""
        if change is not None and change.edge:
            await self._announce(change, Kind.JOIN)

    async def leave(self, session: Session, channels: Collection[str], *, clean: bool) -> None:
        """Give leases up: at once where the client said goodbye, after the grace where it was lost."""
        leases = [Lease(channel, session.user_id, session.id) for channel in channels]
        leases = [lease for lease in leases if lease in self._held]
        self._held.difference_update(leases)
        if not clean:
            await self._store.renew(leases, self._grace)
            return
        for lease in leases:
            await self._departed(await self._store.leave(lease))

    async def sweep(self) -> None:
        """Renew every lease of this node when a third of its time is over; then end, and announce, what is over.

        In this order: the sessions of a process that was stopped for longer than a lease are still here.
        """
        now = self._clock.monotonic()
        if now - self._renewed_at >= self._lease / 3:
            if self._held:
                await self._store.renew(tuple(self._held), self._lease)
            self._renewed_at = now
        for change in await self._store.expire():
            await self._departed(change)

    async def roster(self, channel: str, limit: int = ROSTER_LIMIT, after: UserId | None = None) -> Roster:
        """List the users in a channel."""
        return await self._store.roster(channel, limit=limit, after=after)

    async def online(self, users: Collection[UserId]) -> set[UserId]:
        """Return which of these users are connected anywhere."""
        return await self._store.present(EVERYONE, users)

    def __len__(self) -> int:
        return len(self._held)

    async def _departed(self, change: Change) -> None:
        if not change.edge:
            return
        if change.channel != EVERYONE:
            await self._announce(change, Kind.LEAVE)
            return
        if self.offline_hooks:
            self._background.start(self._call_offline_hooks(change.user_id))

    async def _call_offline_hooks(self, user_id: UserId) -> None:
        """Call them apart from everything else: a slow one delays no announcement and no renewal."""
        async with self._hooks_at_once:
            for hook in self.offline_hooks:
                try:
                    await hook(user_id)
                except Exception:
                    logger.exception("The on_offline hook failed for user %r", user_id)

    async def _announce(self, change: Change, kind: Kind) -> None:
        """Tell the members; in a crowd one announcement a second, with the latest count, stands for all.

        Each of n arrivals told to n members would be n² messages.
        """
        channel = change.channel
        if channel in self._crowds:
            self._crowds[channel] = (change, kind)
            return
        if change.users > ROSTER_LIMIT:
            self._crowds[channel] = None
            self._wheel.after(CROWD_INTERVAL, self._after_interval, channel)
        await self._tell(change, kind)

    def _after_interval(self, channel: str) -> None:
        latest = self._crowds.pop(channel)
        if latest is not None:
            self._background.start(self._announce(*latest))

    async def _tell(self, change: Change, kind: Kind) -> None:
        _, namespace = self._namespaces.resolve(change.channel)
        if not namespace.announces:
            return
        draft = Draft(
            change.channel,
            kind.name.lower(),
            str(change.users).encode(),
            str(uuid7()),
            self._clock.time(),
            kind,
            change.user_id,
            frozenset((change.user_id,)),
        )
        try:
            await self._publisher.put(namespace, draft)
        except PublishError:
            # Announcements may be lost (they are not stored); the members' next `presence` is right again.
            logger.warning("An announcement for %r was lost", change.channel, exc_info=True)
