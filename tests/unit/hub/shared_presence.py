"""A presence store as several nodes share it, of which the test has the other nodes' part in its hands."""

from collections.abc import Collection
from itertools import count
from types import TracebackType
from typing import Any, Self

import msgspec

from hubbub.brokers.memory_presence import MemoryPresence
from hubbub.exceptions import Unavailable
from hubbub.hub.presence import Change, Lease, Roster
from hubbub.testing import FakeClock
from hubbub.types import UserId


class SharedPresence:
    """Keeps leases in memory and waits to hear that departures were told; it can be away, and lose what it has.

    Not `Immediate`, as no store is that other nodes use too.
    """

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self._inner = MemoryPresence(clock)
        self._numbers = count(1)
        self.is_away = False
        self.untold: dict[str, Change] = {}
        self.handed_out: list[Change] = []
        """What `expire` returns beside what has ended here: departures that another node left untold."""
        self.kept: list[str] = []
        self.acknowledgements: list[list[str]] = []
        self.is_quiet = False
        """Whether it lost what it had, so that restoring is no arrival."""

    def lose_everything(self) -> None:
        self._inner = MemoryPresence(self._clock)
        self.is_quiet = True

    def _departure(self, change: Change) -> Change:
        if not change.edge:
            return change
        change = msgspec.structs.replace(change, departure=str(next(self._numbers)))
        assert change.departure is not None
        self.untold[change.departure] = change
        return change

    def _check(self) -> None:
        if self.is_away:
            raise Unavailable("the store is away")

    async def enter(self, lease: Lease, seconds: float) -> Change:
        self._check()
        return await self._inner.enter(lease, seconds)

    async def leave(self, lease: Lease) -> Change:
        self._check()
        return self._departure(await self._inner.leave(lease))

    async def renew(self, leases: Collection[Lease], seconds: float) -> list[Lease]:
        self._check()
        return await self._inner.renew(leases, seconds)

    async def restore(self, leases: Collection[Lease], seconds: float) -> list[Change]:
        self._check()
        arrivals = await self._inner.restore(leases, seconds)
        return [] if self.is_quiet else arrivals

    async def expire(self, telling: Collection[Change] = ()) -> list[Change]:
        self._check()
        self.kept += [str(change.departure) for change in telling]
        handed_out, self.handed_out = self.handed_out, []
        return handed_out + [self._departure(change) for change in await self._inner.expire()]

    async def told(self, departures: Collection[Change]) -> None:
        self._check()
        self.acknowledgements.append([str(change.departure) for change in departures])
        for change in departures:
            self.untold.pop(str(change.departure), None)

    async def roster(self, channel: str, *, limit: int = 100, after: UserId | None = None) -> Roster:
        self._check()
        return await self._inner.roster(channel, limit=limit, after=after)

    async def present(self, channel: str, users: Collection[UserId]) -> set[UserId]:
        self._check()
        return await self._inner.present(channel, users)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        return


def departure(user: str, channel: str = "room:a", users: int = 0, number: Any = "x") -> Change:
    """Return what another node left untold."""
    return Change(channel, UserId(user), True, users, str(number))
