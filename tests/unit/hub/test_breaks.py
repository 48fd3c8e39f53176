"""Breaks that cross a reading, and what else a feed that is mended has to do with those who wait."""

import pytest
from stage import Stage, offsets, one, quiet, turns, types

from hubbub.hub.broker import Reading
from hubbub.hub.namespaces import History
from hubbub.hub.publications import Position
from hubbub.hub.readings import ATTEMPTS

ROOM = "room:a"


async def lose(stage: Stage, number: int, *, of: int | None = None) -> list[Position]:
    """Publish some, of which the first ones are not delivered."""
    stage.broker.hold_deliveries()
    positions = [await stage.say(ROOM, content) for content in range(of or number)]
    stage.broker.lose(number)
    stage.broker.deliver()
    return positions


async def test_a_hole_is_filled_before_what_comes_after_it():
    async with Stage(quiet()) as stage:
        ada = await stage.enter("ada")
        await ada.join("a")
        await stage.say(ROOM, "first")
        await lose(stage, 3, of=5)
        await stage.mended()
        assert ada.contents() == ["first", 0, 1, 2, 3, 4]
        assert stage.node.statistics.mended >= 3
        assert stage.node.statistics.gaps == {}


async def test_what_was_lost_at_the_end_is_found_by_the_second_look():
    async with Stage(quiet()) as stage:
        ada = await stage.enter("ada")
        await ada.join("a")
        await stage.say(ROOM, "first")
        await lose(stage, 2)
        for _ in range(2):
            await stage.node.feeds.look()
            await stage.mended()
        assert ada.contents() == ["first", 0, 1]


async def test_a_broker_that_was_away_has_everything_read():
    async with Stage(quiet()) as stage:
        ada = await stage.enter("ada")
        await ada.join("a")
        await lose(stage, 2)
        await stage.node.feeds.mend([ROOM, "room:unknown"])
        assert ada.contents() == [0, 1]


async def test_a_stream_that_was_lost_is_told():
    async with Stage(quiet()) as stage:
        ada = await stage.enter("ada")
        await ada.join("a")
        await stage.say(ROOM, "first")
        ada.news()
        await stage.broker.lose_streams()
        await stage.node.feeds.mend([ROOM])
        assert types(ada.news()) == ["reset"]
        await stage.say(ROOM, "second")
        assert ada.contents() == ["second"]


async def test_what_is_not_kept_any_more_is_a_gap():
    async with Stage(quiet(history=History(size=2))) as stage:
        ada = await stage.enter("ada")
        await ada.join("a")
        await lose(stage, 5)
        await stage.node.feeds.mend([ROOM])
        news = ada.news()
        assert (one(news, "gap")["from"], one(news, "gap")["to"]) == (1, 3)
        assert offsets(news) == [4, 5]
        assert stage.node.statistics.gaps == {"broker": 3}


async def test_who_reads_across_a_break_reads_again():
    async with Stage(quiet()) as stage:
        first = await stage.say(ROOM, "first")
        ada = await stage.enter("ada")
        stage.broker.hold("read")
        since = {"epoch": first.epoch, "offset": first.offset}
        joining = stage.start(ada.ask("join_room", room_id="a", since=since))
        call = await stage.broker.held()
        stage.broker.let("read")
        await lose(stage, 2)
        await stage.node.feeds.mend([ROOM])
        call.release()
        joined = one(await joining, "joined")
        assert joined["recovered"]
        assert [each["content"] for each in joined["messages"]] == [0, 1]


async def test_who_is_delivered_something_beyond_what_was_read_reads_again():
    async with Stage(quiet()) as stage:
        await stage.say(ROOM, "first")
        ada = await stage.enter("ada")
        stage.broker.hold("read")
        joining = stage.start(ada.ask("join_room", room_id="a"))
        call = await stage.broker.held()
        stage.broker.let("read")
        await lose(stage, 1, of=2)
        call.release()
        assert one(await joining, "joined")["offset"] == 3
        await stage.say(ROOM, "next")
        assert ada.contents() == ["next"]


async def test_a_stream_that_does_not_come_to_rest_is_unavailable():
    async with Stage(quiet()) as stage:
        ada = await stage.enter("ada")
        inner, readings = stage.broker.inner.read, []

        async def read(channel: str, since: Position | None = None) -> Reading:
            readings.append(channel)
            stage.feed(ROOM).mended += 1
            return await inner(channel, since)

        stage.broker.read = read
        assert one(await ada.ask("join_room", room_id="a"), "error")["code"] == "unavailable"
        assert len(readings) == ATTEMPTS


@pytest.mark.parametrize("fault", ["below", "another"])
async def test_a_stream_that_fell_back_under_its_readers_is_told(fault):
    async with Stage(quiet()) as stage:
        ada = await stage.enter("ada")
        await ada.join("a")
        for number in range(5):
            last = await stage.say(ROOM, number)
        ada.news()
        here = await stage.broker.inner.history(ROOM, limit=10)
        kept = here.publications[:3] if fault == "below" else here.publications
        top = kept[-1].position if fault == "below" else Position(last.epoch, 5, "another")

        async def read(channel: str, since: Position | None = None) -> Reading:
            whole = since is not None and (since.offset, since.id) in {(3, kept[2].id), (3, None), (4, None)}
            after = kept[since.offset :] if whole and since is not None else ()
            return Reading(top, tuple(after), whole)

        async def history(channel: str, *, limit: int, before: int | None = None) -> Reading:
            return Reading(top, kept)

        async def positions(channels: list[str]) -> list[Position]:
            known = await stage.broker.inner.positions(channels)
            return [top if channel == ROOM else at for channel, at in zip(channels, known, strict=True)]

        stage.broker.read, stage.broker.history, stage.broker.positions = read, history, positions
        if fault == "below":
            for _ in range(2):
                await stage.node.feeds.look()
        else:
            await stage.node.feeds.mend([ROOM])
        await stage.mended()
        news = ada.news()
        assert one(news, "reset")["offset"] == (3 if fault == "below" else 4)
        assert offsets(news) == ([] if fault == "below" else [5])


async def test_those_who_wait_are_told_of_a_gap_and_of_a_new_epoch():
    async with Stage(quiet()) as stage:
        ada, bob = await stage.enter("ada"), await stage.enter("bob")
        await ada.join("a")
        await stage.say(ROOM, "first")
        stage.broker.hold("read")
        joining = stage.start(bob.ask("join_room", room_id="a"))
        call = await stage.broker.held()
        stage.broker.let("read")
        feed = stage.feed(ROOM)
        epoch = feed.position.epoch
        feed.skip_to(7)
        call.release()
        await joining
        await turns()
        publication = (await stage.broker.inner.history(ROOM, limit=1)).publications[0]
        stage.broker.deliver_again(type(publication)(*[*publication.__reduce__()[1][:-1], 8]))
        stage.node.turn.end()
        gap = one(bob.news(), "gap")
        assert (gap["from"], gap["to"]) == (2, 7)
        assert feed.position == Position(epoch, 8, publication.id)


async def test_who_waits_for_a_feed_is_not_left_behind_by_who_comes_later():
    async with Stage(quiet()) as stage:
        ada, bob, eve = [await stage.enter(name) for name in ("ada", "bob", "eve")]
        await ada.join("a")
        await stage.say(ROOM, "first")
        stage.broker.hold_deliveries()
        await stage.say(ROOM, "second")
        assert (await bob.join("a"))["offset"] == 2  # ... and the feed is not there yet
        await ada.leave()
        await stage.say(ROOM, "third")
        assert (await eve.join("a"))["offset"] == 3
        stage.broker.lose(2)
        stage.broker.deliver()
        await stage.say(ROOM, "fourth")
        await stage.mended()
        news = bob.news()
        assert [message["content"] for message in news] == ["third", "fourth"]
        assert eve.contents() == ["fourth"]
