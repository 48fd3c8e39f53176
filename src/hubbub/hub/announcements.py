"""Telling a channel's members who came and went: the first at once, those that follow close behind it together."""

import asyncio
import logging

from hubbub.clock import Clock
from hubbub.exceptions import PublishError, Unavailable
from hubbub.hub.background import Background
from hubbub.hub.broker import Immediate
from hubbub.hub.errands import Errands
from hubbub.hub.ids import RisingIds
from hubbub.hub.namespaces import Namespace, Namespaces
from hubbub.hub.presence import Change, PresenceStore
from hubbub.hub.publications import Draft, Kind
from hubbub.hub.publishing import Publisher
from hubbub.hub.receipts import Receipts
from hubbub.hub.wheel import Wheel
from hubbub.types import UserId

logger = logging.getLogger(__name__)

CROWD = 100
"""Above so many users one announcement stands for all of an interval."""
WINDOW = 0.1
"""Seconds in which announcements of a channel are gathered, once it was told something."""
CROWD_WINDOW = 1.0
"""The same in a crowd: each of n arrivals told to n members would be n² messages."""


class Gathered:
    """What a channel has not been told yet."""

    __slots__ = ("_changes", "_of_crowd", "departures", "users")

    def __init__(self, users: int) -> None:
        self._changes: dict[UserId, Kind] = {}
        self._of_crowd: tuple[UserId, Kind] | None = None
        self.departures: list[Change] = []
        """Those that somebody waits to hear were told, whichever announcement stands for them."""
        self.users = users
        """The latest count, which all that is gathered is told with: it is the right one at that moment."""

    def add(self, change: Change, kind: Kind) -> None:
        """Gather one more; coming and going of one user, neither of them told yet, cancel each other out."""
        self.users = change.users
        if change.departure is not None:
            self.departures.append(change)
        before = self._changes.pop(change.user_id, kind)
        if before is not kind:
            return
        # The crowd's announcement may stand for others too, so one who caused it and went back does not cancel it.
        if change.users > CROWD or (self._of_crowd is not None and self._of_crowd[0] == change.user_id):
            self._of_crowd = change.user_id, kind
            return
        self._changes[change.user_id] = kind

    def take(self) -> list[tuple[UserId, Kind]]:
        """Return what is to be told, and begin anew."""
        told = list(self._changes.items())
        if self._of_crowd is not None:
            told.append(self._of_crowd)
        self._changes.clear()
        self._of_crowd = None
        return told

    def __bool__(self) -> bool:
        return bool(self._changes or self.departures) or self._of_crowd is not None


class Announcer:
    """Announces arrivals and departures, joining being O(1) however many come at once.

    A channel that was quiet is told at once, and so are those who were alone there. What follows within `WINDOW` is gathered and told together when that is
    over, in the order of its users' last steps; then another window begins, until there was nothing to tell. Up to
    `CROWD` users each arrival and departure is told; above it the latest of a `CROWD_WINDOW` stands for all.

    A channel's next window begins when it has been told, so that a slow broker never has two of its announcements.

    Several nodes announce what each of them saw. Before what was gathered is told the store is asked who is there *now*: a
    user who left here and came back there meanwhile has not left, and the count is the one of this moment.

    Args:
        store: knows who is there.
        receipts: are told which departures were told. One that the broker did not take is given up, and some node is handed
            it again; the departure's id is the announcement's idempotency key, so that no repetition is heard.
        publisher: carries the announcements.
        namespaces: which channels announce.
        clock: what time announcements carry.
        wheel: ends the windows.
        background: tells what was gathered.
    """

    def __init__(
        self,
        store: PresenceStore,
        receipts: Receipts,
        publisher: Publisher,
        namespaces: Namespaces,
        clock: Clock,
        wheel: Wheel,
        background: Background,
    ) -> None:
        self._store = store
        self._is_alone = isinstance(store, Immediate)
        self._receipts = receipts
        self._publisher = publisher
        self._namespaces = namespaces
        self._ids = RisingIds()
        self._clock = clock
        self._wheel = wheel
        self._windows: dict[str, Gathered] = {}
        """The channels that were told something just now."""
        self._due = Errands(background, self._tell_gathered)

    async def announce(self, change: Change, kind: Kind) -> None:
        """Tell the members of an arrival or departure, now or soon."""
        gathered = self._windows.get(change.channel)
        if gathered is not None:
            gathered.add(change, kind)
            return
        _, namespace = self._namespaces.resolve(change.channel)
        if not namespace.announces:
            self._receipts.told(change)
            return
        gathered = self._windows[change.channel] = Gathered(change.users)
        is_told = False
        try:
            is_told = await self._tell(
                namespace, change.channel, change.user_id, kind, change.users, change.departure
            )
        finally:
            self._account(change, is_told=is_told)
            # Whoever was alone has not been told anything, so that the next to come is told of at once.
            if gathered or change.users > (kind is Kind.JOIN):
                self._open_window(change.channel, gathered)
            else:
                del self._windows[change.channel]

    def __len__(self) -> int:
        return len(self._windows)

    def _open_window(self, channel: str, gathered: Gathered) -> None:
        seconds = WINDOW if gathered.users <= CROWD else CROWD_WINDOW
        self._wheel.after(seconds, self._window_over, channel)

    def _window_over(self, channel: str) -> None:
        if self._windows[channel]:
            self._due.add(channel)
        else:
            del self._windows[channel]

    async def _tell_gathered(self, channel: str) -> None:
        gathered = self._windows[channel]
        _, namespace = self._namespaces.resolve(channel)
        # Taken here and not when the window ended: what came in between goes along.
        changes = gathered.take()
        departures, gathered.departures = gathered.departures, []
        ids = {change.user_id: change.departure for change in departures}
        told: set[UserId] = set()
        is_all_told = False
        try:
            if not self._is_alone:
                changes = await self._still_so(channel, gathered, changes)
            for user_id, kind in changes:
                departure = ids.get(user_id) if kind is Kind.LEAVE else None
                if await self._tell(namespace, channel, user_id, kind, gathered.users, departure):
                    told.add(user_id)
            is_all_told = len(told) == len(changes)
        finally:
            for change in departures:
                # One that was told may stand for others; one that was left out is no longer so.
                self._account(change, is_told=is_all_told or change.user_id in told)
            self._open_window(channel, gathered)

    async def _still_so(
        self, channel: str, gathered: Gathered, changes: list[tuple[UserId, Kind]]
    ) -> list[tuple[UserId, Kind]]:
        """Leave out what another node has seen change since then."""
        try:
            present, roster = await asyncio.gather(
                self._store.present(channel, [user_id for user_id, _ in changes]),
                self._store.roster(channel, limit=0),
            )
        except Unavailable:
            return changes
        gathered.users = roster.total
        return [(user_id, kind) for user_id, kind in changes if (user_id in present) == (kind is Kind.JOIN)]

    def _account(self, change: Change, *, is_told: bool) -> None:
        if change.departure is not None:
            (self._receipts.told if is_told else self._receipts.give_up)(change)

    async def _tell(
        self,
        namespace: Namespace,
        channel: str,
        user_id: UserId,
        kind: Kind,
        users: int,
        departure: str | None,
    ) -> bool:
        now = self._clock.time()
        draft = Draft(
            channel,
            kind.name.lower(),
            str(users).encode(),
            self._ids.new(now),
            now,
            kind,
            user_id,
            frozenset((user_id,)),
        )
        try:
            if departure is None:
                await self._publisher.put(namespace, draft)
            else:
                await self._publisher.put(namespace, draft, f"\0left\0{departure}\0{user_id}")
        except PublishError as error:
            # Announcements may be lost (they are not stored); the members' next `presence` is right again.
            what = "was lost" if departure is None else "has to be made again"
            logger.debug("An announcement for %r %s: %s", channel, what, error)
            return False
        return True
