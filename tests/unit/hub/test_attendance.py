"""Who is where: arrivals, departures, and who went offline, each told once."""

import logging
from itertools import pairwise
from typing import Any

import pytest
from stage import Guest, Stage, one, room, turns, types

from hubbub.exceptions import PublishError
from hubbub.hub.attendance import ROSTER_LIMIT
from hubbub.hub.channels import EVERYONE
from hubbub.types import UserId

ROOM = "room:a"


def comings(guest: Guest) -> list[tuple[str, str, int]]:
    """Return who came and went since the last look, and how many were there then."""
    return [
        (message["type"].removeprefix("user_"), message["user_id"], message["active_users"])
        for message in guest.news()
        if message["type"] in {"user_joined", "user_left"}
    ]


async def into(stage: Stage, *users: str) -> list[Guest]:
    guests = [await stage.enter(user) for user in users]
    for guest in guests:
        await guest.join("a")
    await stage.all_told()
    for guest in guests:
        guest.news()
    return guests


async def test_joined_says_who_is_there_oneself_included():
    async with Stage() as stage:
        ada, bob = await stage.enter("ada"), await stage.enter("bob")
        first = await ada.join("a")
        await stage.all_told()
        assert (first["members"], first["active_users"]) == (["ada"], 1)
        second = await bob.join("a")
        assert (second["members"], second["active_users"]) == (["ada", "bob"], 2)
        assert comings(ada) == [("joined", "bob", 2)]
        assert types(bob.outlet.sent) == ["welcome", "joined"]


async def test_the_shape_of_an_arrival():
    async with Stage() as stage:
        (ada,) = await into(stage, "ada")
        await into(stage, "bob")
        assert one(ada.news(), "user_joined") == {
            "type": "user_joined",
            "room_id": "a",
            "channel": ROOM,
            "user_id": "bob",
            "timestamp": "2025-06-15T15:06:40.500Z",
            "active_users": 2,
        }


async def test_several_devices_are_one_user():
    async with Stage() as stage:
        ada, bob_phone = await into(stage, "ada", "bob")
        (bob_laptop,) = await into(stage, "bob")
        assert comings(ada) == []
        await bob_phone.leave()
        assert comings(ada) == comings(bob_laptop) == []
        joined = await ada.join("a")
        assert (joined["members"], joined["active_users"]) == (["ada", "bob"], 2)
        await bob_laptop.ask("leave_room", room_id="a")
        assert comings(ada) == [("left", "bob", 1)]


async def test_nobody_is_told_of_their_own_devices():
    async with Stage() as stage:
        (phone,) = await into(stage, "ada")
        (laptop,) = await into(stage, "ada")
        await phone.leave()
        await laptop.ask("leave_room", room_id="a")
        (laptop,) = await into(stage, "ada")
        for device in (phone, laptop):
            assert {"user_joined", "user_left"}.isdisjoint(types(device.outlet.sent))


async def test_a_clean_leave_is_told_at_once():
    async with Stage(grace=5) as stage:
        ada, bob, eve = await into(stage, "ada", "bob", "eve")
        await bob.leave(clean=True)
        assert comings(ada) == [("left", "bob", 2)]
        await stage.all_told()
        await eve.ask("leave_room", room_id="a")
        assert comings(ada) == [("left", "eve", 1)]


async def test_a_cut_is_told_after_the_grace_and_once():
    async with Stage(grace=5, lease=30) as stage:
        ada, bob = await into(stage, "ada", "bob")
        await bob.leave(clean=False)
        await stage.pass_time(4.5)
        assert comings(ada) == []
        assert (await stage.node.attendance.roster(ROOM)).total == 2
        await stage.pass_time(1.2)
        assert comings(ada) == [("left", "bob", 1)]
        for _ in range(10):
            await stage.pass_time(10)
        assert comings(ada) == []


async def test_who_is_back_in_time_never_left():
    async with Stage(grace=5) as stage:
        ada, bob = await into(stage, "ada", "bob")
        await bob.leave(clean=False)
        await stage.pass_time(4)
        (bob,) = await into(stage, "bob")
        for _ in range(10):
            await stage.pass_time(1)
        assert comings(ada) == []
        assert (await stage.node.attendance.roster(ROOM)).total == 2


async def test_back_after_the_grace_is_an_arrival():
    async with Stage(grace=5) as stage:
        ada, bob = await into(stage, "ada", "bob")
        await bob.leave(clean=False)
        await stage.pass_time(6)
        await into(stage, "bob")
        assert comings(ada) == [("left", "bob", 1), ("joined", "bob", 2)]


@pytest.mark.parametrize("step", [0.5, 7, 29, 100, 100_000])
async def test_whoever_is_connected_stays_present_however_the_clock_runs(step):
    # A process that is stopped for a minute, or a test that lets an hour pass, is no departure.
    gone: list[str] = []

    async def offline(user_id: UserId) -> None:
        gone.append(user_id)

    async with Stage(lease=30) as stage:
        stage.node.attendance.offline_hooks.append(offline)
        ada, _ = await into(stage, "ada", "bob")
        for _ in range(200 if step < 1 else 5):
            await stage.pass_time(step)
        assert comings(ada) == []
        assert gone == []
        assert (await stage.node.attendance.roster(ROOM)).users == ("ada", "bob")
        assert await stage.node.attendance.online([UserId("ada")]) == {"ada"}


async def test_visitors_are_not_counted():
    async with Stage(room(subscribe="anyone")) as stage:
        visitor = await stage.enter("")
        joined = await visitor.join("a")
        assert (joined["members"], joined["active_users"]) == ([], 0)
        (ada,) = await into(stage, "ada")
        assert comings(visitor) == [("joined", "ada", 1)]
        await visitor.leave()
        assert comings(ada) == []


async def test_without_join_leave_members_are_listed_and_not_announced():
    async with Stage(room(join_leave=False)) as stage:
        ada, bob = await into(stage, "ada", "bob")
        assert (await ada.join("a"))["members"] == ["ada", "bob"]
        await bob.leave()
        assert types(ada.news()) == []


async def test_without_presence_there_is_no_roster():
    async with Stage(room(presence=False)) as stage:
        ada = await stage.enter("ada")
        joined = await ada.join("a")
        assert "members" not in joined
        assert "active_users" not in joined
        assert one(await ada.ask("presence", channel=ROOM), "error")["code"] == "not_available"
        assert len(stage.node.attendance) == 1  # she is online


async def test_members_are_left_out_above_a_hundred():
    async with Stage(room(join_leave=False)) as stage:
        for number in range(ROSTER_LIMIT - 1):
            await into(stage, f"user{number:03}")
        ada = await stage.enter("ada")
        joined = await ada.join("a")
        assert (len(joined["members"]), joined["active_users"]) == (100, 100)
        await into(stage, "bob")
        joined = await ada.join("a")
        assert "members" not in joined
        assert joined["active_users"] == 101


async def test_presence_is_paged():
    async with Stage(room(join_leave=False)) as stage:
        for number in range(5):
            await into(stage, f"user{number}")
        (ada,) = await into(stage, "ada")
        seen, cursor, pages = [], None, 0
        while True:
            fields: dict[str, Any] = {} if cursor is None else {"cursor": cursor}
            page = one(await ada.ask("presence", channel=ROOM, limit=2, ref="p", **fields), "ack")
            assert (page["ref"], page["active_users"]) == ("p", 6)
            seen += page["members"]
            pages += 1
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert (seen, pages) == (["ada", "user0", "user1", "user2", "user3", "user4"], 3)


class TestOffline:
    """The hook `on_offline`."""

    async def stage(self) -> tuple[Stage, list[str]]:
        gone: list[str] = []

        async def offline(user_id: UserId) -> None:
            gone.append(user_id)

        stage = Stage(grace=5)
        stage.node.attendance.offline_hooks.append(offline)
        return stage, gone

    async def test_once_when_the_last_device_is_gone(self):
        stage, gone = await self.stage()
        async with stage:
            phone, laptop = await stage.enter("ada"), await stage.enter("ada")
            await phone.leave()
            assert gone == []
            await laptop.leave()
            assert gone == ["ada"]
            await stage.pass_time(60)
            assert gone == ["ada"]

    async def test_after_the_grace_of_a_lost_connection(self):
        stage, gone = await self.stage()
        async with stage:
            ada = await stage.enter("ada")
            await ada.leave(clean=False)
            assert gone == []
            await stage.pass_time(6)
            assert gone == ["ada"]

    async def test_not_when_they_are_back_in_time(self):
        stage, gone = await self.stage()
        async with stage:
            ada = await stage.enter("ada")
            await ada.leave(clean=False)
            await stage.pass_time(3)
            await stage.enter("ada")
            await stage.pass_time(30)
            assert gone == []

    async def test_not_for_leaving_a_room_and_not_for_visitors(self):
        stage, gone = await self.stage()
        async with stage:
            (ada,) = await into(stage, "ada")
            await ada.ask("leave_room", room_id="a")
            await (await stage.enter("")).leave()
            await stage.pass_time(30)
            assert gone == []

    async def test_a_hook_that_fails_does_not_keep_the_others_from_being_told(self, caplog):
        async def broken(user_id: UserId) -> None:
            raise ValueError("of the application")

        stage, gone = await self.stage()
        stage.node.attendance.offline_hooks.insert(0, broken)
        async with stage:
            (ada,) = await into(stage, "ada")
            (bob,) = await into(stage, "bob")
            with caplog.at_level(logging.ERROR):
                await bob.leave()
            assert gone == ["bob"]
            assert comings(ada) == [("joined", "bob", 2), ("left", "bob", 1)]
            assert "on_offline hook failed for user 'bob'" in caplog.text


async def test_an_announcement_that_is_lost_takes_nothing_with_it(caplog: pytest.LogCaptureFixture):
    async with Stage() as stage:
        ada, bob = await into(stage, "ada", "bob")
        stage.broker.hold("publish", when="after")
        leaving = stage.start(bob.leave())
        with caplog.at_level(logging.DEBUG):
            (await stage.broker.held()).fail(PublishError("no broker"))
            await leaving
        stage.broker.let("publish")
        assert comings(ada) == []
        assert "was lost" in caplog.text
        assert (await ada.join("a"))["active_users"] == 1


async def test_leases_are_given_up_with_their_sessions():
    async with Stage() as stage:
        guests = await into(stage, "ada", "bob")
        assert len(stage.node.attendance) == 4  # each in the room, and online
        for guest in guests:
            await guest.leave()
        assert len(stage.node.attendance) == 0
        await stage.pass_time(31)
        await stage.all_told()
        assert (stage.presence._channels, stage.presence._due) == ({}, {})
        assert stage.node.attendance._round == []
        assert (await stage.node.attendance.roster(EVERYONE)).total == 0


class TestRenewal:
    """The leases of a node are renewed in slices, each in a third of its time."""

    async def test_each_once_a_round_and_never_all_at_once(self):
        async with Stage(lease=30) as stage:
            users = [f"user{number:02}" for number in range(40)]
            for user in users:
                await stage.enter(user)
            renewed: list[tuple[float, list[str]]] = []
            renew = stage.presence.renew

            async def spy(leases: Any, seconds: float) -> Any:
                assert seconds == 30
                renewed.append((stage.clock.monotonic(), [lease.user_id for lease in leases]))
                return await renew(leases, seconds)

            stage.presence.renew = spy
            await stage.pass_time(10)  # a sweep that late renews everything
            assert sorted(renewed[0][1]) == users
            for _ in range(200):
                await stage.pass_time(0.5)
            assert max(len(batch) for _, batch in renewed[1:]) <= 5
            for user in users:
                times = [when for when, batch in renewed if user in batch]
                assert len(times) == 10
                assert max(later - before for before, later in pairwise(times)) <= 20.5

    async def test_nobody_is_lost_while_others_come_and_go(self):
        gone: list[str] = []

        async def offline(user_id: UserId) -> None:
            gone.append(user_id)

        async with Stage(lease=3, grace=1) as stage:
            stage.node.attendance.offline_hooks.append(offline)
            stay = [f"stay{number}" for number in range(7)]
            for user in stay:
                await stage.enter(user)
            passing: list[Guest] = []
            for number in range(60):
                passing += [await stage.enter(f"passing{number}.{each}") for each in range(number % 5)]
                while len(passing) > 6:
                    await passing.pop(number % 3).leave(clean=number % 2 == 0)
                await stage.pass_time((0.5, 0.5, 0.9, 0.2)[number % 4])
                assert await stage.node.attendance.online([UserId(user) for user in stay]) == set(stay)
            assert {"stay0", "stay6"}.isdisjoint(gone)
            assert len(gone) > 40

    async def test_thousands_that_are_lost_together_stall_nothing(self):
        async with Stage(room(join_leave=False), grace=5) as stage:
            guests = [await stage.enter(f"user{number:04}") for number in range(1500)]
            gone: list[str] = []
            between: list[int] = []

            async def offline(user_id: UserId) -> None:
                gone.append(user_id)

            left = [1500]

            async def look() -> None:
                while len(gone) < 1500:
                    between.append(len(gone))
                    left.append((await stage.presence.roster(EVERYONE, limit=0)).total)
                    await turns(1)

            stage.node.attendance.offline_hooks.append(offline)
            for guest in guests:
                stage.node.end(guest.session, clean=False)
            await stage.settle()
            stage.start(look())
            await stage.pass_time(6)
            assert sorted(gone) == sorted(guest.session.user_id for guest in guests)
            assert max(later - before for before, later in pairwise(between)) <= 32
            assert max(before - later for before, later in pairwise(left)) <= 250


class TestCrowds:
    """Above a hundred members one announcement a second stands for all."""

    async def crowd(self, stage: Stage, number: int) -> Guest:
        (ada,) = await into(stage, "ada")
        for each in range(number - 1):
            await into(stage, f"user{each:03}")
        ada.news()
        return ada

    async def test_up_to_a_hundred_everybody_is_announced(self):
        async with Stage() as stage:
            (ada,) = await into(stage, "ada")
            for number in range(ROSTER_LIMIT - 1):
                await into(stage, f"user{number:03}")
            assert [users for _, _, users in comings(ada)] == list(range(2, ROSTER_LIMIT + 1))

    async def test_the_first_at_once_and_the_latest_after_a_second(self):
        async with Stage() as stage:
            ada = await self.crowd(stage, ROSTER_LIMIT)
            await into(stage, "bob", "eve", "joe")
            assert comings(ada) == [("joined", "bob", 101)]
            await stage.pass_time(1.2)
            assert comings(ada) == [("joined", "joe", 103)]
            await stage.pass_time(1.2)
            assert comings(ada) == []
            (zoe,) = await into(stage, "zoe")
            assert comings(ada) == [("joined", "zoe", 104)]
            await zoe.leave()
            await stage.pass_time(1.2)
            assert comings(ada) == [("left", "zoe", 103)]

    async def test_other_rooms_are_not_concerned(self):
        async with Stage() as stage:
            await self.crowd(stage, ROSTER_LIMIT + 1)
            bob = await stage.enter("bob")
            await bob.join("b")
            for name in ("eve", "joe"):
                await stage.all_told()
                await (await stage.enter(name)).join("b")
            assert comings(bob) == [("joined", "eve", 2), ("joined", "joe", 3)]

    async def test_nothing_is_kept_of_a_crowd_that_dispersed(self):
        async with Stage() as stage:
            await self.crowd(stage, ROSTER_LIMIT + 5)
            for session in stage.node.connections:
                stage.node.end(session, clean=True)
            await stage.settle()
            await stage.pass_time(1.2)
            await stage.pass_time(1.2)
            assert len(stage.node.attendance._announcer) == 0
