"""`hubbub.hub.attendance` and `announcements` on a store that other nodes use too: what is told, kept, and taken again."""

import asyncio
import logging

import pytest
from shared_presence import SharedPresence, departure
from stage import Guest, Stage, room, turns

from hubbub.exceptions import PublishError
from hubbub.hub.channels import EVERYONE
from hubbub.types import UserId


class SharedStage(Stage):
    def __init__(self, *namespaces, **timing) -> None:
        super().__init__(*namespaces, presence=SharedPresence, **timing)
        self.gone: list[str] = []

        async def offline(user_id: UserId) -> None:
            self.gone.append(user_id)

        self.node.attendance.offline_hooks.append(offline)


def comings(guest: Guest) -> list[tuple[str, str, int]]:
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


@pytest.mark.parametrize("clean", [True, False])
async def test_departures_are_acknowledged_when_all_know(clean):
    async with SharedStage(grace=5) as stage:
        ada, *others = await into(stage, "ada", "bob", "eve", "joe")
        for guest in others:
            await guest.leave(clean=clean)
        await stage.pass_time(6)
        await stage.all_told()
        heard = comings(ada)
        assert sorted(user for _, user, _ in heard) == ["bob", "eve", "joe"]
        assert heard[-1][2] == 1
        assert sorted(stage.gone) == ["bob", "eve", "joe"]
        assert stage.presence.untold == {}
        assert sum(map(len, stage.presence.acknowledgements)) == 6  # in the room, and online
        assert len(stage.node.attendance._receipts) == 0


async def test_who_went_and_came_back_within_a_window_leaves_nothing_to_acknowledge():
    async with SharedStage() as stage:
        ada, bob, eve = await into(stage, "ada", "bob", "eve")
        await eve.leave()  # opens a window
        await bob.leave()
        back = stage.guest("bob")
        await stage.node.connections.open(back.session)
        await back.join("a")
        await stage.all_told()
        assert comings(ada) == [("left", "eve", 2)]
        assert len(stage.node.attendance._receipts) == 0
        assert stage.presence.untold == {}


async def test_what_is_not_announced_is_acknowledged_too():
    async with SharedStage(room(join_leave=False)) as stage:
        _, bob = await into(stage, "ada", "bob")
        await bob.leave()
        await stage.settle()
        assert stage.presence.untold == {}


async def test_nothing_is_acknowledged_before_it_was_told():
    async with SharedStage() as stage:
        _, bob = await into(stage, "ada", "bob")
        release = asyncio.Event()

        async def slow(user_id: UserId) -> None:
            await release.wait()

        stage.node.attendance.offline_hooks.append(slow)
        stage.broker.hold("publish", when="after")
        leaving = stage.start(bob.leave())
        publishing = await stage.broker.held()
        assert len(stage.presence.untold) == 1
        stage.broker.let("publish")
        publishing.release()
        await turns(50)
        assert {change.channel for change in stage.presence.untold.values()} == {EVERYONE}
        stage.clock.advance(3)
        stage.node.wheel.turn()
        await turns(50)
        assert len(stage.presence.kept) == 1
        release.set()
        await leaving
        await stage.settle()
        assert stage.presence.untold == {}


@pytest.mark.parametrize("when", ["after", "before"])
async def test_an_announcement_that_failed_is_made_by_whoever_is_handed_it_again(caplog, when):
    # Before: it was published all the same, and is not heard a second time.
    async with SharedStage() as stage:
        ada, bob = await into(stage, "ada", "bob")
        stage.broker.hold("publish", when=when)
        leaving = stage.start(bob.leave())
        with caplog.at_level(logging.DEBUG):
            (await stage.broker.held()).fail(PublishError("no broker"))
            await leaving
        stage.broker.let("publish")
        assert "has to be made again" in caplog.text
        (change,) = stage.presence.untold.values()
        assert change.channel == "room:a"
        assert len(stage.node.attendance._receipts) == 0
        stage.presence.handed_out.append(change)
        await stage.pass_time(1)
        await stage.all_told()
        await stage.settle()
        assert comings(ada) == [("left", "bob", 1)]
        assert stage.presence.untold == {}


async def test_in_a_crowd_those_for_whom_one_stands_are_told_with_it_or_not_at_all():
    async with SharedStage() as stage:
        guests = [await stage.enter(f"user{number:03}") for number in range(105)]
        for guest in guests:
            await guest.join("a")
        await stage.pass_time(1.2)
        await stage.pass_time(1.2)
        first, second, third, *_, ada = guests
        for guest in (first, second, third):
            await guest.leave()
        await stage.settle()
        assert len(stage.presence.untold) == 2
        ada.news()
        stage.broker.hold("publish", when="after")
        stage.clock.advance(1.2)
        stage.node.wheel.turn()
        (await stage.broker.held()).fail(PublishError("no broker"))
        stage.broker.let("publish")
        await stage.settle()
        assert len(stage.presence.untold) == 2
        stage.presence.handed_out += stage.presence.untold.values()
        for _ in range(4):
            await stage.pass_time(1.2)
        assert comings(ada)[-1] == ("left", third.session.user_id, 102)
        assert stage.presence.untold == {}


async def test_a_departure_that_is_told_twice_is_heard_once():
    async with SharedStage() as stage:
        (ada,) = await into(stage, "ada")
        for _ in range(2):  # a node told it, and died before it said so
            stage.presence.handed_out.append(departure("bob", users=1))
            await stage.pass_time(1)
        stage.presence.handed_out.append(departure("bob", users=1, number="y"))
        await stage.pass_time(1)
        await stage.all_told()
        assert comings(ada) == [("left", "bob", 1), ("left", "bob", 1)]


async def test_who_is_back_on_another_node_before_it_was_told_has_not_left():
    async with SharedStage() as stage:
        ada, bob, eve, joe = await into(stage, "ada", "bob", "eve", "joe")
        for guest in (bob, eve, joe):
            stage.node.end(guest.session, clean=True)
        await stage.settle()
        told = comings(ada)
        assert len(told) == 1
        lease = stage.node.attendance._leases([ada.session.id])[0]
        back = ({"bob", "eve", "joe"} - {told[0][1]}).pop()
        other = type(lease)("room:a", UserId(back), lease.session_id)
        await stage.presence._inner.enter(other, 30)
        await stage.pass_time(1)
        rest = comings(ada)
        assert back not in {user for _, user, _ in rest}
        assert rest[-1][2] == 2
        assert stage.presence.untold == {}


async def test_what_a_node_with_other_namespaces_left_is_left_to_one_that_knows_them():
    async with SharedStage() as stage:
        stage.presence.handed_out.append(departure("bob", channel="lobby:a"))
        await stage.pass_time(1)
        assert len(stage.node.attendance._receipts) == 0
        assert stage.presence.acknowledgements == []


async def test_what_the_store_lost_is_taken_again_and_told_to_nobody(caplog):
    async with SharedStage(lease=30) as stage:
        guests = await into(stage, "ada", "bob", "eve")
        await stage.pass_time(0.5)
        stage.presence.lose_everything()
        for _ in range(21):
            await stage.pass_time(0.5)
        assert (await stage.presence.roster("room:a")).users == ("ada", "bob", "eve")
        assert await stage.node.attendance.online([UserId("eve")]) == {"eve"}
        for guest in guests:
            assert comings(guest) == []
        assert stage.gone == []


async def test_where_one_is_missing_all_are_renewed_at_once():
    async with SharedStage(room(join_leave=False), lease=30) as stage:
        for number in range(40):
            await stage.enter(f"user{number:02}")
        for _ in range(21):
            await stage.pass_time(0.5)
        stage.presence.lose_everything()
        await stage.pass_time(0.6)
        assert (await stage.presence.roster(EVERYONE, limit=0)).total == 40


async def test_a_session_that_ends_while_its_lease_is_found_missing_is_not_taken_again():
    async with SharedStage(lease=30) as stage:
        _, bob = await into(stage, "ada", "bob")
        stage.presence.lose_everything()
        renew = stage.presence.renew

        async def slow(leases, seconds):
            missing = await renew(leases, seconds)
            stage.node.end(bob.session, clean=True)
            return missing

        stage.presence.renew = slow
        await stage.pass_time(11)
        assert (await stage.presence.roster("room:a")).users == ("ada",)


async def test_those_whom_others_told_to_have_left_are_told_to_have_joined():
    async with SharedStage(lease=30) as stage:
        ada, _ = await into(stage, "ada", "bob")
        for lease in stage.node.attendance._leases(list(stage.node.attendance._held)):
            if lease.user_id == "bob":
                await stage.presence._inner.leave(lease)  # as another node's sweep does
        await stage.pass_time(11)
        await stage.all_told()
        assert comings(ada) == [("joined", "bob", 2)]


async def test_while_the_store_is_away_sessions_stay_and_then_everything_is_renewed(caplog):
    async with SharedStage(lease=30) as stage:
        ada, bob = await into(stage, "ada", "bob")
        stage.presence.is_away = True
        with caplog.at_level(logging.INFO):
            for _ in range(3):
                await stage.pass_time(0.5)
            await bob.leave()
            stage.presence.is_away = False
            renewed: list[str] = []
            renew = stage.presence.renew

            async def spy(leases, seconds):
                renewed.extend(lease.user_id for lease in leases)
                return await renew(leases, seconds)

            stage.presence.renew = spy
            await stage.pass_time(0.6)
        assert caplog.text.count("Presence stands still") == 1
        assert caplog.text.count("Presence goes on") == 1
        assert "could not be given up" in caplog.text
        assert renewed.count("ada") == 2
        assert comings(ada) == []
        await stage.pass_time(31)
        await stage.all_told()
        assert comings(ada) == [("left", "bob", 1)]
        assert stage.gone == ["bob"]
