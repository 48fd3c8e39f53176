"""What a broker did not deliver is found in the stream, and given out in its place."""

import asyncio
from datetime import timedelta

import pytest
from stage import DEADLINE, Guest, Stage, offsets, quiet, turns, types

from hubbub.exceptions import Unavailable
from hubbub.hub.fanout import HELD
from hubbub.hub.namespaces import History, Overflow

ROOM = "room:a"


async def members(stage: Stage, *users: str) -> list[Guest]:
    guests = [await stage.enter(user) for user in users]
    for guest in guests:
        await guest.join("a")
    return guests


async def mended(stage: Stage) -> None:
    """Let what is being mended be done, as the broker would have it."""
    async with asyncio.timeout(DEADLINE):
        await stage.node.feeds.mend([ROOM])
    stage.node.turn.end()


async def test_a_hole_is_filled_before_what_comes_after_it():
    async with Stage(quiet()) as stage:
        ada, bob = await members(stage, "ada", "bob")
        stage.broker.hold_deliveries()
        stage.publish(ROOM, 1, 2, 3, 4)
        stage.broker.deliver(1)
        stage.broker.lose(2)
        stage.broker.deliver()
        await mended(stage)
        for guest in (ada, bob):
            assert guest.contents() == [1, 2, 3, 4]
        assert stage.node.statistics.mended == 3
        await stage.say(ROOM, 5)
        assert ada.contents() == [5]


async def test_what_comes_while_a_hole_is_read_waits_for_it():
    async with Stage(quiet()) as stage:
        (ada,) = await members(stage, "ada")
        stage.broker.hold_deliveries()
        stage.publish(ROOM, 1, 2)
        stage.broker.lose(1)
        stage.broker.hold("read")
        stage.broker.deliver()
        read = await stage.broker.held()
        await stage.say(ROOM, 3)
        assert ada.news() == []
        stage.broker.let("read")
        read.release()
        await mended(stage)
        assert ada.contents() == [1, 2, 3]


async def test_what_is_not_stored_does_not_wait():
    async with Stage(quiet()) as stage:
        ada, bob = await members(stage, "ada", "bob")
        stage.broker.hold_deliveries()
        stage.publish(ROOM, 1, 2)
        stage.broker.lose(1)
        stage.broker.hold("read")
        stage.broker.deliver()
        read = await stage.broker.held()
        await bob.ask("typing", room_id="a")
        assert types(ada.news()) == ["typing"]
        read.release()


async def test_the_last_one_lost_is_found_by_looking():
    async with Stage(quiet()) as stage:
        (ada,) = await members(stage, "ada")
        await stage.say(ROOM, 1)
        stage.broker.hold_deliveries()
        stage.publish(ROOM, 2)
        stage.broker.lose(1)
        stage.broker.deliver()
        await stage.node.feeds.look()
        assert stage.node.statistics.mended == 0  # it was not known to be quiet yet
        await stage.node.feeds.look()
        await mended(stage)
        assert ada.contents() == [1, 2]
        assert stage.node.statistics.mended == 1


async def test_a_node_looks_by_itself():
    async with Stage(quiet()) as stage:
        (ada,) = await members(stage, "ada")
        stage.broker.hold_deliveries()
        stage.publish(ROOM, 1)
        stage.broker.lose(1)
        stage.broker.deliver()
        for _ in range(13):
            await stage.pass_time(1)
        assert ada.contents() == [1]


async def test_busy_channels_are_not_asked_about():
    async with Stage(quiet()) as stage:
        await members(stage, "ada")
        asked: list[str] = []
        positions = stage.broker.positions

        async def noted(channels):
            asked.extend(channels)
            return await positions(channels)

        stage.broker.positions = noted
        for number in range(4):
            await stage.node.feeds.look()
            await stage.say(ROOM, number)
        assert ROOM not in asked
        for _ in range(2):
            await stage.node.feeds.look()
        assert ROOM in asked


async def test_a_broker_that_cannot_be_read_is_asked_again():
    async with Stage(quiet()) as stage:
        (ada,) = await members(stage, "ada")
        stage.broker.hold_deliveries()
        stage.publish(ROOM, 1, 2)
        stage.broker.lose(1)
        stage.broker.hold("read")
        stage.broker.deliver()
        for _ in range(2):
            (await stage.broker.held()).fail(Unavailable("away"))
        stage.broker.let("read")
        await mended(stage)
        assert ada.contents() == [1, 2]


async def test_what_was_trimmed_meanwhile_is_a_gap():
    async with Stage(quiet(history=History(2, timedelta(hours=1)))) as stage:
        ada, bob = await members(stage, "ada", "bob")
        await stage.say(ROOM, 1)
        assert ada.contents() == [1]
        stage.broker.hold_deliveries()
        stage.publish(ROOM, 2, 3, 4, 5)
        stage.broker.lose(3)
        stage.broker.deliver()
        await mended(stage)
        gap, *messages = ada.news()
        assert (gap["type"], gap["from"], gap["to"]) == ("gap", 2, 3)
        assert offsets(messages) == [4, 5]
        assert types(bob.news()) == ["message", "gap", "message", "message"]
        assert stage.node.statistics.gaps == {"broker": 2}


async def test_a_stream_that_began_anew_unheard_is_told_and_read_from_its_beginning():
    async with Stage(quiet()) as stage:
        ada, bob = await members(stage, "ada", "bob")
        await stage.say(ROOM, "old")
        ada.news()
        stage.broker.hold_deliveries()
        await stage.broker.lose_streams()
        stage.publish(ROOM, "new 1", "new 2", "new 3")
        stage.broker.lose(2)
        stage.broker.deliver()
        await mended(stage)
        assert types(ada.news()) == ["reset", "message", "message", "message"]
        await stage.say(ROOM, "new 4")
        assert offsets(ada.news()) == [4]
        assert offsets(bob.news()) == [1, 1, 2, 3, 4]


async def test_a_stream_that_was_lost_is_told_although_nobody_publishes():
    async with Stage(quiet()) as stage:
        (ada,) = await members(stage, "ada")
        await stage.say(ROOM, "old")
        ada.news()
        await stage.broker.lose_streams()
        for _ in range(2):
            await stage.node.feeds.look()
        await mended(stage)
        resets = [message["channel"] for message in ada.news() if message["type"] == "reset"]
        assert sorted(resets) == [ROOM, "user:ada"]


async def test_who_joins_while_a_hole_is_read_goes_live_behind_it():
    async with Stage(quiet()) as stage:
        (ada,) = await members(stage, "ada")
        eve = await stage.enter("eve")
        stage.broker.hold_deliveries()
        stage.publish(ROOM, 1, 2, 3)
        stage.broker.lose(1)
        stage.broker.hold("read")
        stage.broker.deliver()
        hole = await stage.broker.held()
        joining = stage.start(eve.join("a"))
        read = await stage.broker.held()
        stage.broker.let("read")
        read.release()
        assert (await joining)["offset"] == 3
        await stage.say(ROOM, 4)
        hole.release()
        await mended(stage)
        assert ada.contents() == [1, 2, 3, 4]
        assert eve.contents() == [4]


@pytest.mark.parametrize("overflow", [Overflow.CLOSE, Overflow.DROP_OLDEST])
async def test_a_slow_one_has_lost_nothing_by_a_hole(overflow):
    async with Stage(quiet(overflow=overflow)) as stage:
        ada, bob = await members(stage, "ada", "bob")
        ada.session.pause()
        stage.broker.hold_deliveries()
        stage.publish(ROOM, 1, 2, 3)
        stage.broker.lose(2)
        stage.broker.deliver()
        await mended(stage)
        ada.session.resume()
        await stage.settle()
        assert (ada.contents(), bob.contents()) == ([1, 2, 3], [1, 2, 3])


async def test_a_flood_while_a_hole_is_read_is_read_too():
    async with Stage(quiet(history=History(2 * HELD, timedelta(hours=1)), overflow_bytes=10**9)) as stage:
        (ada,) = await members(stage, "ada")
        stage.broker.hold_deliveries()
        stage.publish(ROOM, "lost", "seen")
        stage.broker.lose(1)
        stage.broker.hold("read")
        stage.broker.deliver()
        read = await stage.broker.held()
        stage.broker.let("read")
        stage.publish(ROOM, *range(HELD + 5))
        read.release()
        await mended(stage)
        await turns()
        assert offsets(ada.news()) == list(range(1, HELD + 8))


async def test_a_publication_of_an_epoch_that_is_over_is_dropped():
    async with Stage(quiet()) as stage:
        (ada,) = await members(stage, "ada")
        stage.broker.hold_deliveries()
        stage.publish(ROOM, 1, 2)
        assert stage.broker.late is not None
        stale = stage.broker.late[1]
        await stage.broker.lose_streams()
        stage.broker.late.clear()
        stage.broker.deliver()
        await stage.say(ROOM, "new")
        assert types(ada.news()) == ["reset", "message"]
        stage.broker.deliver_again(stale)
        await mended(stage)
        await stage.say(ROOM, "newer")
        assert ada.contents() == ["newer"]
