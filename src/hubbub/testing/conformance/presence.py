"""What every presence store promises (`hubbub.hub.presence.PresenceStore`)."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from hubbub.hub.presence import Change, Lease, PresenceStore
from hubbub.testing.clock import FakeClock
from hubbub.types import SessionId, UserId

CHANNEL = "room:conformance"


def lease(user: str, device: str = "1", channel: str = CHANNEL) -> Lease:
    """One device of a user."""
    return Lease(channel, UserId(user), SessionId(f"{user}-{device}"))


async def ended(store: PresenceStore) -> list[Change]:
    """End everything that is over, in as many steps as the store likes."""
    changes = []
    while step := await store.expire():
        changes += step
    return changes


class PresenceSuite(ABC):
    """Tests for one implementation; nothing in them sleeps."""

    @abstractmethod
    def store(self, clock: FakeClock) -> PresenceStore:
        """Make a fresh store whose leases go by this clock."""

    async def pass_time(self, clock: FakeClock, seconds: float) -> None:
        """Let time pass; override where the server has a clock of its own."""
        clock.advance(seconds)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[tuple[PresenceStore, FakeClock]]:
        """Enter a store."""
        clock = FakeClock()
        async with self.store(clock) as store:
            yield store, clock

    async def test_a_user_counts_once_over_devices(self) -> None:
        """The first device is an edge, the last one that leaves too; those between are not."""
        async with self.running() as (store, _):
            first = await store.enter(lease("ada", "phone"), 30)
            assert (first.edge, first.users) == (True, 1)
            second = await store.enter(lease("ada", "laptop"), 30)
            assert (second.edge, second.users) == (False, 1)
            assert (await store.enter(lease("bob"), 30)).users == 2
            one_less = await store.leave(lease("ada", "phone"))
            assert (one_less.edge, one_less.users) == (False, 2)
            gone = await store.leave(lease("ada", "laptop"))
            assert (gone.edge, gone.users) == (True, 1)

    async def test_entering_twice_and_leaving_twice_change_nothing(self) -> None:
        """Both are safe to repeat."""
        async with self.running() as (store, _):
            await store.enter(lease("ada"), 30)
            assert not (await store.enter(lease("ada"), 30)).edge
            assert (await store.leave(lease("ada"))).edge
            assert not (await store.leave(lease("ada"))).edge
            assert (await store.roster(CHANNEL)).total == 0

    async def test_a_lease_ends_unless_renewed(self) -> None:
        """Whoever is not renewed is reported by `expire` once, and only once."""
        async with self.running() as (store, clock):
            await store.enter(lease("ada"), 30)
            await store.enter(lease("bob"), 30)
            await self.pass_time(clock, 20)
            await store.renew([lease("ada")], 30)
            await self.pass_time(clock, 15)
            changes = await ended(store)
            assert [(each.user_id, each.edge, each.users) for each in changes] == [("bob", True, 1)]
            assert await ended(store) == []
            await self.pass_time(clock, 40)
            assert [each.user_id for each in await ended(store)] == ["ada"]

    async def test_the_end_of_one_device_of_two_is_no_departure(self) -> None:
        """The user stays; nothing is reported."""
        async with self.running() as (store, clock):
            await store.enter(lease("ada", "phone"), 5)
            await store.enter(lease("ada", "laptop"), 30)
            await self.pass_time(clock, 10)
            assert await ended(store) == []
            assert (await store.roster(CHANNEL)).users == ("ada",)

    async def test_renewing_for_less_is_a_grace(self) -> None:
        """A lost connection's lease is shortened; one that is not held is not taken."""
        async with self.running() as (store, clock):
            await store.enter(lease("ada"), 300)
            await store.renew([lease("ada"), lease("nobody")], 5)
            await self.pass_time(clock, 6)
            assert [each.user_id for each in await ended(store)] == ["ada"]
            assert (await store.roster(CHANNEL)).total == 0

    async def test_coming_back_within_the_grace_is_no_event(self) -> None:
        """A new session before the old lease ends: no arrival, no departure."""
        async with self.running() as (store, clock):
            await store.enter(lease("ada", "before"), 300)
            await store.renew([lease("ada", "before")], 5)
            await self.pass_time(clock, 3)
            assert not (await store.enter(lease("ada", "after"), 300)).edge
            await self.pass_time(clock, 5)
            assert await ended(store) == []

    async def test_concurrent_sweeps_report_each_departure_once(self) -> None:
        """Of all who sweep at once, one is told."""
        async with self.running() as (store, clock):
            for number in range(20):
                await store.enter(lease(f"user{number:02}"), 5)
            await self.pass_time(clock, 6)
            sweeps = await asyncio.gather(*(ended(store) for _ in range(5)))
            assert sorted(each.user_id for sweep in sweeps for each in sweep) == [
                f"user{number:02}" for number in range(20)
            ]

    async def test_thousands_that_end_together_are_each_reported_once(self) -> None:
        """However many steps that takes, and whatever is renewed or given up between the steps."""
        async with self.running() as (store, clock):
            users = [f"user{number:04}" for number in range(2000)]
            for user in users:
                await store.enter(lease(user), 5)
            await store.renew([lease(user) for user in users[:10]], 60)
            await self.pass_time(clock, 6)
            changes = await ended(store)
            assert sorted(each.user_id for each in changes) == users[10:]
            assert min(each.users for each in changes) == 10
            assert (await store.roster(CHANNEL, limit=20)).users == tuple(users[:10])

    async def test_a_lease_renewed_again_and_again_ends_when_it_was_last_renewed_for(self) -> None:
        """Longer, shorter and longer again: the last word counts."""
        async with self.running() as (store, clock):
            await store.enter(lease("ada"), 5)
            for seconds in (300, 5, 60, 10, 40, 20):
                await store.renew([lease("ada")], seconds)
                await self.pass_time(clock, 4)
                assert await ended(store) == []
            await self.pass_time(clock, 15)
            assert await ended(store) == []
            await self.pass_time(clock, 2)
            assert [each.user_id for each in await ended(store)] == ["ada"]
            await self.pass_time(clock, 600)
            assert await ended(store) == []

    async def test_one_of_several_devices_is_told_from_the_others(self) -> None:
        """Each lease ends, or is given up, by itself; a user whose only device is another one keeps it."""
        async with self.running() as (store, clock):
            for device in ("phone", "laptop", "tablet"):
                await store.enter(lease("ada", device), 30)
            assert not (await store.leave(lease("ada", "phone"))).edge
            assert not (await store.leave(lease("ada", "phone"))).edge
            await store.renew([lease("ada", "phone"), lease("ada", "laptop")], 60)
            await self.pass_time(clock, 40)
            assert await ended(store) == []
            assert not (await store.leave(lease("ada", "tablet"))).edge
            assert (await store.roster(CHANNEL)).users == ("ada",)
            assert not (await store.enter(lease("ada", "tablet"), 60)).edge
            assert not (await store.leave(lease("ada", "laptop"))).edge
            assert (await store.leave(lease("ada", "tablet"))).edge

    async def test_rosters_are_paged_in_order(self) -> None:
        """Pages join up; a page of none only counts."""
        async with self.running() as (store, _):
            for number in (3, 1, 4, 0, 2):
                await store.enter(lease(f"user{number}"), 30)
            first = await store.roster(CHANNEL, limit=2)
            assert (first.users, first.total) == (("user0", "user1"), 5)
            second = await store.roster(CHANNEL, limit=2, after=first.cursor)
            assert second.users == ("user2", "user3")
            last = await store.roster(CHANNEL, limit=2, after=second.cursor)
            assert (last.users, last.cursor) == (("user4",), None)
            assert (await store.roster(CHANNEL, limit=5)).cursor is None
            count = await store.roster(CHANNEL, limit=0)
            assert (count.users, count.total) == ((), 5)
            for number in (5, 7):
                await store.enter(lease(f"user{number}"), 30)
            for number in (3, 0):
                await store.leave(lease(f"user{number}"))
            assert (await store.roster(CHANNEL)).users == ("user1", "user2", "user4", "user5", "user7")

    async def test_channels_are_apart(self) -> None:
        """Leaving one leaves the others alone; who is where is asked in bulk."""
        async with self.running() as (store, _):
            await store.enter(lease("ada"), 30)
            await store.enter(lease("ada", channel="room:other"), 30)
            assert (await store.leave(lease("ada"))).edge
            asked = [UserId("ada"), UserId("bob")]
            assert await store.present("room:other", asked) == {"ada"}
            assert await store.present(CHANNEL, asked) == set()
            assert await store.present("room:nowhere", asked) == set()
