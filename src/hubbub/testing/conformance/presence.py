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
    """End everything that is over, in as many steps as the store likes, and tell whoever is to know."""
    changes = []
    while step := await store.expire():
        changes += step
        await store.told(step)
    return changes


class PresenceSuite(ABC):
    """Tests for one implementation; nothing in them sleeps."""

    shared = False
    """Whether all stores that `store` makes in one test share what they keep, as several nodes do."""

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

    @asynccontextmanager
    async def two_running(self) -> AsyncIterator[tuple[PresenceStore, PresenceStore, FakeClock]]:
        """Enter two stores that share what they keep."""
        clock = FakeClock()
        async with self.store(clock) as one, self.store(clock) as other:
            yield one, other, clock

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

    async def test_ids_are_in_the_order_of_their_characters(self) -> None:
        """Whatever a user is called: of up to 255 bytes, with colons, and in any script."""
        async with self.running() as (store, clock):
            users = ["a", "a:b", "a b", "Z", "z" * 255, "\u00e9", "\u6f22", "\U0001f600", "\uff5e", "1"]
            for user in users:
                assert (await store.enter(lease(user), 30)).edge
                await store.enter(lease(user, channel=f"{CHANNEL}:more"), 30)
            listed: list[UserId] = []
            after = None
            while True:
                page = await store.roster(CHANNEL, limit=3, after=after)
                listed += page.users
                after = page.cursor
                if after is None:
                    break
            assert listed == sorted(users)
            assert await store.present(CHANNEL, [UserId(user) for user in [*users, "b"]]) == set(users)
            left = [await store.leave(lease(user)) for user in users[:4]]
            assert all(each.edge for each in left)
            await store.told(left)
            await self.pass_time(clock, 40)
            gone = [each.user_id for each in await ended(store) if each.channel == CHANNEL]
            assert sorted(gone) == sorted(users[4:])

    async def test_who_of_five_hundred_is_there(self) -> None:
        """All are asked about at once, and in whatever order."""
        async with self.running() as (store, _):
            for number in range(0, 500, 7):
                await store.enter(lease(f"user{number}"), 30)
            asked = [UserId(f"user{number}") for number in range(500)]
            assert await store.present(CHANNEL, asked) == set(asked[::7])
            assert await store.present(CHANNEL, []) == set()

    async def test_renewing_tells_what_is_not_held(self) -> None:
        """Those that have ended, were given up or never were; also among many, and in several channels."""
        async with self.running() as (store, clock):
            await store.enter(lease("ada"), 5)
            await store.enter(lease("eve"), 30)
            held = [lease(f"user{number}", channel=f"room:{number % 40}") for number in range(700)]
            for each in held:
                await store.enter(each, 30)
            await self.pass_time(clock, 6)
            await ended(store)
            await store.leave(lease("eve"))
            missing = [lease("ada"), lease("eve"), lease("nobody")]
            found = await store.renew([missing[0], *held[:350], missing[1], *held[350:], missing[2]], 30)
            assert set(found) == set(missing)
            assert len(found) == 3
            assert (await store.roster(CHANNEL)).total == 0
            assert await store.renew([], 30) == []

    async def test_restoring_is_an_arrival_of_those_who_had_left(self) -> None:
        """A node that stood still for longer than a lease: its users were told to have left, and are there."""
        async with self.running() as (store, clock):
            await store.enter(lease("ada"), 5)
            await store.enter(lease("bob", "phone"), 5)
            await store.enter(lease("bob", "laptop"), 300)
            await self.pass_time(clock, 6)
            assert [each.user_id for each in await ended(store)] == ["ada"]
            lost = [lease("ada"), lease("bob", "phone")]
            assert await store.renew(lost, 30) == lost
            arrivals = await store.restore(lost, 30)
            assert [(each.user_id, each.edge, each.users) for each in arrivals] == [("ada", True, 2)]
            assert await store.restore(lost, 30) == []
            assert not (await store.leave(lease("bob", "laptop"))).edge
            await self.pass_time(clock, 31)
            assert sorted(each.user_id for each in await ended(store)) == ["ada", "bob"]

    async def test_what_was_told_is_not_handed_out_again(self) -> None:
        """However long ago, and however often it is said."""
        async with self.running() as (store, clock):
            await store.enter(lease("ada"), 5)
            await store.enter(lease("bob"), 300)
            await self.pass_time(clock, 6)
            changes = [await store.leave(lease("bob")), *await ended(store)]
            assert [each.user_id for each in changes] == ["bob", "ada"]
            for _ in range(2):
                await store.told(changes)
                await self.pass_time(clock, 60)
                assert await ended(store) == []
            await store.told([])

    async def test_what_nobody_told_is_handed_out_again(self) -> None:
        """One node dies after it took departures on: another is handed them when the claim is over, as the same ones."""
        if not self.shared:
            return
        async with self.two_running() as (dead, alive, clock):
            await dead.enter(lease("ada"), 5)
            await dead.enter(lease("bob"), 300)
            await self.pass_time(clock, 6)
            lost = [await dead.leave(lease("bob")), *await dead.expire()]
            assert await ended(alive) == []
            await self.pass_time(clock, 60)
            found = await ended(alive)
            assert sorted((each.user_id, each.departure, each.edge) for each in found) == sorted(
                (each.user_id, each.departure, True) for each in lost
            )
            assert {each.users for each in found} == {0}
            assert await ended(alive) == await ended(dead) == []
            await alive.told(found)
            await self.pass_time(clock, 60)
            assert await ended(alive) == []

    async def test_a_claim_lasts_as_long_as_it_is_kept(self) -> None:
        """A node that has thousands to tell, one after the other, is not overtaken by another."""
        if not self.shared:
            return
        async with self.two_running() as (slow, other, clock):
            await slow.enter(lease("ada"), 5)
            left = await slow.leave(lease("ada"))
            for _ in range(5):
                await self.pass_time(clock, 60)
                assert await slow.expire([left]) == []
                assert await ended(other) == []
            await self.pass_time(clock, 60)
            assert [each.departure for each in await ended(other)] == [left.departure]

    async def test_who_is_back_did_not_leave_for_those_who_were_not_told(self) -> None:
        """What was not told by then is not told any more; the next departure is another one."""
        if not self.shared:
            return
        async with self.two_running() as (store, other, clock):
            await store.enter(lease("ada"), 30)
            before = await store.leave(lease("ada"))
            assert (await store.enter(lease("ada"), 300)).edge
            await self.pass_time(clock, 60)
            assert await ended(other) == []
            after = await store.leave(lease("ada"))
            assert after.departure != before.departure
            await store.told([before])  # late
            await self.pass_time(clock, 60)
            assert [each.departure for each in await ended(other)] == [after.departure]
