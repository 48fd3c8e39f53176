"""One reading of a stream for all who come back together."""

import asyncio
from typing import Any

from stage import Guest, Stage, offsets, one, quiet, turns

from hubbub.hub.publications import Position
from hubbub.hub.readings import ANSWERS
from hubbub.types import Epoch

ROOM = "room:a"


def since(joined: dict[str, Any]) -> dict[str, Any]:
    return {"epoch": joined["epoch"], "offset": joined["offset"]}


async def back(stage: Stage, number: int, start: dict[str, Any]) -> list[tuple[Guest, Any]]:
    """Have so many come back at once, each from the same position; return their answers."""
    guests = [await stage.enter(f"back{index}") for index in range(number)]
    answers = await asyncio.gather(*(guest.ask("join_room", room_id="a", since=start) for guest in guests))
    return [(guest, one(messages, "joined")) for guest, messages in zip(guests, answers, strict=True)]


def reads(stage: Stage) -> int:
    return stage.broker.calls.count(("read", ROOM))


async def test_all_who_come_back_at_once_share_one_reading():
    async with Stage(quiet()) as stage:
        ada = await stage.enter("ada")
        start = since(await ada.join("a"))
        for number in range(5):
            await stage.say(ROOM, number)
        before = reads(stage)
        stage.broker.hold("read")
        coming = stage.start(back(stage, 20, start))
        read = await stage.broker.held()
        await turns()
        await stage.say(ROOM, "meanwhile")
        stage.broker.let("read")
        read.release()
        answers = await coming
        assert reads(stage) == before + 1
        for guest, joined in answers:
            assert joined["recovered"] is True
            assert [*offsets(joined["messages"]), *offsets(guest.news())] == [1, 2, 3, 4, 5, 6]
        await stage.say(ROOM, "live")
        assert {tuple(offsets(guest.news())) for guest, _ in answers} == {(7,)}


async def test_who_comes_later_gets_what_was_published_since_the_reading():
    async with Stage(quiet()) as stage:
        ada = await stage.enter("ada")
        start = since(await ada.join("a"))
        await stage.say(ROOM, 1)
        await back(stage, 1, start)
        await stage.say(ROOM, 2)
        before = reads(stage)
        bob, joined = (await back(stage, 1, start))[0]
        assert reads(stage) == before
        assert offsets(joined["messages"]) == [1, 2]
        await stage.say(ROOM, 3)
        assert offsets(bob.news()) == [3]


async def test_what_many_have_missed_is_written_once_until_more_is_said():
    async with Stage(quiet()) as stage:
        ada = await stage.enter("ada")
        start = since(await ada.join("a"))
        await stage.say(ROOM, 1)
        await stage.say(ROOM, "not for back1", exclude=["back1"])
        await back(stage, 1, start)
        recent = stage.feed(ROOM).recent
        place = Position(Epoch(start["epoch"]), start["offset"])
        answers = await back(stage, 3, start)
        assert [offsets(joined["messages"]) for _, joined in answers] == [[1, 2], [1], [1, 2]]
        first, second = recent.since(place), recent.since(place)
        assert first.publications is second.publications
        await stage.say(ROOM, 3)
        answers = await back(stage, 3, start)
        assert [offsets(joined["messages"]) for _, joined in answers] == [[1, 2, 3], [1, 3], [1, 2, 3]]
        assert len(first.publications) == 2


async def test_who_is_further_behind_has_it_read_again():
    async with Stage(quiet()) as stage:
        ada = await stage.enter("ada")
        start = since(await ada.join("a"))
        for number in range(4):
            await stage.say(ROOM, number)
        await back(stage, 1, {**start, "offset": 2})
        before = reads(stage)
        for offset, missed in ((0, [1, 2, 3, 4]), (3, [4]), (4, []), (1, [2, 3, 4])):
            _, joined = (await back(stage, 1, {**start, "offset": offset}))[0]
            assert (joined["recovered"], offsets(joined["messages"])) == (True, missed)
        assert reads(stage) == before + 1


async def test_an_id_that_was_never_there_is_never_answered_as_whole():
    async with Stage(quiet()) as stage:
        ada = await stage.enter("ada")
        start = since(await ada.join("a"))
        for number in range(3):
            await stage.say(ROOM, number)
        await back(stage, 1, start)
        for offset in range(4):
            _, joined = (await back(stage, 1, {**start, "offset": offset, "id": "another"}))[0]
            assert (joined["recovered"], joined["messages"]) == (False, [])


async def test_another_epoch_is_never_answered_from_before():
    async with Stage(quiet()) as stage:
        ada = await stage.enter("ada")
        start = since(await ada.join("a"))
        await stage.say(ROOM, 1)
        await back(stage, 1, start)
        await stage.broker.lose_streams()
        new = await stage.say(ROOM, "new")
        _, joined = (await back(stage, 1, start))[0]
        assert (joined["recovered"], joined["epoch"]) == (False, new.epoch)


async def test_a_reading_is_let_go_when_nobody_needs_it():
    async with Stage(quiet()) as stage:
        ada = await stage.enter("ada")
        start = since(await ada.join("a"))
        await stage.say(ROOM, 1)
        await back(stage, 1, start)
        assert len(stage.node._readings) == 1
        for _ in range(7):
            await stage.pass_time(1)
        assert len(stage.node._readings) == 0
        assert stage.feed(ROOM).recent is None


async def test_who_waits_for_a_reading_that_fails_reads_for_themselves():
    async with Stage(quiet()) as stage:
        ada = await stage.enter("ada")
        start = since(await ada.join("a"))
        await stage.say(ROOM, 1)
        first, second = [await stage.enter(user) for user in ("first", "second")]
        stage.broker.hold("read")
        stage.start(first.ask("join_room", room_id="a", since=start))
        read = await stage.broker.held()
        joining = stage.start(second.ask("join_room", room_id="a", since=start))
        await turns()
        stage.broker.let("read")
        await first.leave()
        read.fail(RuntimeError("lost"))
        assert offsets(one(await joining, "joined")["messages"]) == [1]


async def test_what_was_written_for_many_places_is_not_all_kept():
    async with Stage(quiet()) as stage:
        ada = await stage.enter("ada")
        start = since(await ada.join("a"))
        for number in range(ANSWERS * 3):
            await stage.say(ROOM, number)
        for offset in range(ANSWERS * 3):
            guest, _ = (await back(stage, 1, {**start, "offset": offset}))[0]
            await guest.leave()
        assert len(stage.feed(ROOM).recent._answers) <= ANSWERS
