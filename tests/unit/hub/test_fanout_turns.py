"""Publications of one turn are one frame; who comes, goes or pauses in its middle misses nothing and gets nothing twice."""

import logging
from typing import Any

import pytest
from stage import Guest, Stage, offsets, one, quiet, turns, types

from hubbub.codes import CloseCode
from hubbub.dialects.plain import PlainJSON
from hubbub.endpoints.queued import TextEncoding
from hubbub.hub.audience import CROWD
from hubbub.hub.namespaces import NO_HISTORY, Overflow

ROOM = "room:a"

SIZES = pytest.mark.parametrize("size", [2, CROWD + 2], ids=["small", "crowd"])


class Picky(TextEncoding):
    """Cannot write what says `bad`."""

    def publications(self, publications: Any) -> Any:
        if any(b"bad" in publication.data for publication in publications):
            raise ValueError("cannot be written")
        return super().publications(publications)


async def gathered(stage: Stage, size: int) -> list[Guest]:
    """Let so many join the room."""
    guests = [await stage.enter(f"u{number}") for number in range(size)]
    for guest in guests:
        await guest.join("a")
    assert stage.feed(ROOM).is_crowd == (size >= CROWD)
    return guests


def stage_of(**policy: Any) -> Stage:
    return Stage(quiet(**policy), gathering=True)


def place(joined: Any) -> dict[str, Any]:
    return {"epoch": joined["epoch"], "offset": joined["offset"]}


@SIZES
async def test_several_of_one_turn_are_one_frame_and_one_write_in_their_order(size):
    async with stage_of() as stage:
        guests = await gathered(stage, size)
        before = [(guest.outlet.progress, guest.outlet.writes) for guest in guests]
        stage.publish(ROOM, *range(5))
        assert [(guest.outlet.progress, guest.outlet.writes) for guest in guests] == before
        stage.node.turn.end()
        after = [(guest.outlet.progress, guest.outlet.writes) for guest in guests]
        assert after == [(frames + 1, writes + 1) for frames, writes in before]
        assert [guest.contents() for guest in guests] == [[0, 1, 2, 3, 4]] * size
        assert stage.feed(ROOM).position.offset == 5
        assert stage.node.statistics.deliveries == 5 * size


async def test_the_channels_of_a_small_room_and_the_answer_are_one_write():
    async with stage_of() as stage:
        ada, bob = await gathered(stage, 2)
        for guest in (ada, bob):
            await guest.join("b")
        writes = ada.outlet.writes
        ada.begin("message", room_id="a", content="1", ref=1)
        ada.begin("message", room_id="b", content="2", ref=2)
        bob.begin("message", room_id="a", content="3")
        assert sorted(types(ada.news())) == ["ack", "ack", "message", "message", "message"]
        assert ada.outlet.writes == writes + 1


@SIZES
async def test_exclusions_hold_for_each_publication_of_a_batch(size):
    async with stage_of() as stage:
        guests = await gathered(stage, size)
        ada, bob = guests[0], guests[1]
        stage.publish(ROOM, 1)
        stage.publish(ROOM, 2, exclude={"u0"})
        stage.publish(ROOM, 3, exclude={"u1", "nobody"})
        stage.publish(ROOM, 4, exclude={"u0", "u1"})
        stage.publish(ROOM, 5)
        assert (ada.contents(), bob.contents()) == ([1, 3, 5], [1, 2, 5])
        assert all(guest.contents() == [1, 2, 3, 4, 5] for guest in guests[2:])
        assert stage.node.statistics.deliveries == 5 * size - 4
        stage.publish(ROOM, 6, 7, exclude={"u0"})
        writes = ada.outlet.writes
        assert (ada.contents(), bob.contents()) == ([], [6, 7])
        assert ada.outlet.writes == writes
        stage.publish(ROOM, 8)
        assert (ada.contents(), bob.contents()) == ([8], [8])


@SIZES
async def test_a_join_in_the_turn_of_pending_publications(size):
    async with stage_of() as stage:
        guests = await gathered(stage, size)
        eve = await stage.enter("eve")
        stage.publish(ROOM, 1, 2)
        eve.begin("join_room", room_id="a")
        stage.publish(ROOM, 3)
        assert [guest.contents() for guest in guests] == [[1, 2, 3]] * size
        joined, message = eve.news()
        assert (joined["type"], joined["offset"], message["offset"]) == ("joined", 2, 3)


@SIZES
async def test_a_leave_in_the_turn_of_pending_publications(size):
    async with stage_of() as stage:
        guests = await gathered(stage, size)
        ada = guests[0]
        stage.publish(ROOM, 1, 2)
        ada.begin("leave_room", room_id="a")
        stage.publish(ROOM, 3)
        news = ada.news()
        assert types(news) == ["message", "message", "left"]
        assert [guest.contents() for guest in guests[1:]] == [[1, 2, 3]] * (size - 1)


@SIZES
@pytest.mark.parametrize("way", ["closed", "gone"])
async def test_an_end_in_the_turn_of_pending_publications(way, size):
    async with stage_of() as stage:
        guests = await gathered(stage, size)
        ada = guests[0]
        stage.publish(ROOM, 1, 2)
        if way == "closed":
            stage.node.connections.close(ada.session, CloseCode.REVOKED, "out")
        else:
            stage.node.end(ada.session, clean=True)
        stage.publish(ROOM, 3)
        assert ada.contents() == [1, 2]
        assert [guest.contents() for guest in guests[1:]] == [[1, 2, 3]] * (size - 1)
        if way == "closed":
            assert ada.outlet.closed_with == (4010, "out")


@SIZES
async def test_subscribing_again_in_the_turn_of_pending_publications(size):
    async with stage_of() as stage:
        guests = await gathered(stage, size)
        ada = guests[0]
        start = place(await ada.join("a"))
        stage.publish(ROOM, 1, 2)
        ada.begin("join_room", room_id="a", since=start)
        stage.publish(ROOM, 3)
        news = ada.news()
        assert types(news) == ["message", "message", "joined", "message"]
        assert offsets(one(news, "joined")["messages"]) == [1, 2]
        assert offsets(news) == [1, 2, 3]
        assert [guest.contents() for guest in guests[1:]] == [[1, 2, 3]] * (size - 1)


@SIZES
async def test_leaving_and_coming_back_in_one_turn(size):
    async with stage_of() as stage:
        guests = await gathered(stage, size)
        ada = guests[0]
        start = place(await ada.join("a"))
        stage.publish(ROOM, 1)
        ada.begin("leave_room", room_id="a")
        stage.publish(ROOM, 2)
        ada.begin("join_room", room_id="a", since={**start, "offset": 1})
        stage.publish(ROOM, 3)
        news = ada.news()
        assert types(news) == ["message", "left", "joined", "message"]
        assert (offsets(news), offsets(news[2]["messages"])) == ([1, 3], [2])
        assert [guest.contents() for guest in guests[1:]] == [[1, 2, 3]] * (size - 1)


@SIZES
async def test_a_pause_in_the_turn_of_pending_publications(size):
    async with stage_of() as stage:
        guests = await gathered(stage, size)
        ada = guests[0]
        stage.publish(ROOM, 1, 2)
        ada.outlet.stall()
        ada.session.pause()  # as the transport says, between two callbacks
        stage.publish(ROOM, 3)
        assert ada.contents() == []
        assert [guest.contents() for guest in guests[1:]] == [[1, 2, 3]] * (size - 1)
        assert ada.session.subscriptions[ROOM].position.offset == 0
        ada.outlet.take()
        ada.session.resume()
        stage.publish(ROOM, 4)
        await stage.settle()
        assert not ada.session.slow
        assert ada.contents() == [1, 2, 3, 4]
        stage.publish(ROOM, 5)
        assert ada.contents() == [5]


@SIZES
async def test_a_pause_and_a_resume_within_one_turn(size):
    async with stage_of() as stage:
        guests = await gathered(stage, size)
        ada = guests[0]
        stage.publish(ROOM, 1)
        ada.session.pause()
        stage.publish(ROOM, 2)
        ada.session.resume()
        stage.publish(ROOM, 3)
        await turns()
        await stage.settle()
        stage.publish(ROOM, 4)
        assert ada.contents() == [1, 2, 3, 4]
        assert stage.node.statistics.catch_ups == 1


@SIZES
async def test_a_reader_in_wait_gets_what_comes_in_the_turn_it_goes_live(size):
    async with stage_of() as stage:
        guests = await gathered(stage, size)
        eve = await stage.enter("eve")
        stage.publish(ROOM, 1)
        stage.broker.hold("read")
        eve.begin("join_room", room_id="a")
        stage.publish(ROOM, 2, 3)
        read = await stage.broker.held()
        stage.publish(ROOM, 4)
        read.release()
        stage.broker.let("read")
        await turns(1)
        stage.publish(ROOM, 5)
        await stage.settle()
        assert [guest.contents() for guest in guests] == [[1, 2, 3, 4, 5]] * size
        news = eve.news()
        assert types(news) == ["joined", "message", "message", "message", "message"]
        assert (news[0]["offset"], offsets(news)) == (1, [2, 3, 4, 5])


@SIZES
async def test_a_reader_goes_live_in_the_turn_of_pending_publications(size):
    async with stage_of() as stage:
        guests = await gathered(stage, size)
        eve = await stage.enter("eve")
        stage.broker.hold("read")
        eve.begin("join_room", room_id="a")
        read = await stage.broker.held()
        await turns()
        read.release()  # she is woken before this turn ends
        stage.publish(ROOM, 1, 2)
        await turns(1)
        assert not stage.feed(ROOM).waiting
        await stage.settle()
        assert [guest.contents() for guest in guests] == [[1, 2]] * size
        assert offsets(eve.news()) == [1, 2]


@SIZES
async def test_who_waits_for_the_feed_goes_live_as_soon_as_it_is_there(size):
    async with stage_of() as stage:
        guests = await gathered(stage, size)
        eve = await stage.enter("eve")
        stage.broker.hold_deliveries()
        stage.publish(ROOM, 1, 2)
        eve.begin("join_room", room_id="a")
        assert eve.session in stage.feed(ROOM).waiting
        stage.broker.deliver()
        assert not stage.feed(ROOM).waiting
        stage.publish(ROOM, 3)
        assert [guest.contents() for guest in guests] == [[1, 2, 3]] * size
        assert offsets(eve.news()) == [3]


@SIZES
async def test_an_epoch_that_begins_in_the_middle_of_a_turn(size):
    async with stage_of() as stage:
        guests = await gathered(stage, size)
        stage.publish(ROOM, "old 1", "old 2")
        await stage.broker.lose_streams()
        stage.publish(ROOM, "new 1", "new 2")
        for guest in guests:
            news = guest.news()
            assert types(news) == ["message", "message", "reset", "message", "message"]
            assert offsets(news) == [1, 2, 1, 2]
        stage.publish(ROOM, "new 3")
        assert [offsets(guest.news()) for guest in guests] == [[3]] * size


@SIZES
@pytest.mark.parametrize("missed", [0, 1])
async def test_a_slow_one_is_told_that_the_stream_began_anew(missed, size):
    async with stage_of(overflow=Overflow.DROP_OLDEST) as stage:
        guests = await gathered(stage, size)
        ada = guests[0]
        stage.publish(ROOM, 1)
        stage.node.turn.end()
        ada.session.pause()
        if missed:
            stage.publish(ROOM, 2)
            stage.node.turn.end()
        await stage.broker.lose_streams()
        stage.publish(ROOM, "new 1")
        stage.node.turn.end()
        ada.session.resume()
        await stage.settle()
        assert not ada.session.slow
        # Or she would take the new 1 for a duplicate of the old one.
        assert types(ada.news())[-2:] == ["reset", "message"]


async def test_one_brought_up_to_date_here_while_it_is_slow_elsewhere_is_told_that_the_stream_began_anew():
    async with stage_of() as stage:
        (ada,) = await gathered(stage, 1)
        await ada.join("b")
        ada.session.pause()
        for channel in (ROOM, "room:b"):
            stage.publish(channel, 1)
            stage.node.turn.end()
        stage.broker.hold("read")
        ada.session.resume()
        first = await stage.broker.held()
        first.release()
        second = await stage.broker.held()
        assert (ada.session.slow, second.channel) == (True, "room:b")
        assert types(ada.news()) == ["message"]
        await stage.broker.lose_streams()
        stage.publish(ROOM, "new 1")
        assert types(ada.news()) == ["reset", "message"]
        second.release()
        stage.broker.let("read")
        await stage.settle()


@SIZES
async def test_what_cannot_be_encoded_harms_its_own_batch_alone(size, caplog: pytest.LogCaptureFixture):
    async with stage_of() as stage:
        stage.encoding = Picky(PlainJSON())
        guests = await gathered(stage, size)
        failures = stage.node.statistics.failures
        with caplog.at_level(logging.ERROR):
            stage.publish(ROOM, "good", "bad")
            stage.publish("room:b", "elsewhere")
            stage.node.turn.end()
        assert "1 publications" not in caplog.text
        assert "2 publications of 'room:a' could not be given out" in caplog.text
        assert "cannot be written" in caplog.text
        assert stage.node.statistics.failures == failures + 1
        stage.publish(ROOM, "next")
        assert [guest.contents() for guest in guests] == [["next"]] * size
        assert stage.feed(ROOM).position.offset == 3


@SIZES
async def test_without_history_nothing_is_missed_within_a_turn_either(size):
    async with stage_of(history=NO_HISTORY) as stage:
        guests = await gathered(stage, size)
        eve = await stage.enter("eve")
        stage.publish(ROOM, 1)
        eve.begin("join_room", room_id="a")
        stage.publish(ROOM, 2)
        guests[0].begin("leave_room", room_id="a")
        stage.publish(ROOM, 3)
        assert guests[0].contents() == [1, 2]
        assert [guest.contents() for guest in guests[1:]] == [[1, 2, 3]] * (size - 1)
        assert eve.contents() == [2, 3]
        assert stage.feed(ROOM).position.offset == 0


@SIZES
async def test_without_history_a_slow_one_goes_without_and_is_served_again(size):
    async with stage_of(history=NO_HISTORY) as stage:
        guests = await gathered(stage, size)
        ada = guests[0]
        ada.session.pause()
        stage.publish(ROOM, 1)
        stage.node.turn.end()
        ada.session.resume()
        await stage.settle()
        stage.publish(ROOM, 2)
        assert ada.contents() == [2]
        assert [guest.contents() for guest in guests[1:]] == [[1, 2]] * (size - 1)


@SIZES
async def test_what_is_stored_and_what_is_not_keep_their_order(size):
    async with stage_of() as stage:
        guests = await gathered(stage, size)
        ada, bob = guests[0], guests[1]
        stage.publish(ROOM, 1)
        ada.begin("typing", room_id="a")
        stage.publish(ROOM, 2)
        ada.begin("typing", room_id="a")
        assert types(bob.news()) == ["message", "typing", "message", "typing"]
        assert types(ada.news()) == ["message", "message"]  # not echoed to the one who types
        assert stage.feed(ROOM).position.offset == 2


async def test_a_feed_without_receivers_puts_nothing_off():
    async with stage_of() as stage:
        (ada,) = await gathered(stage, 1)
        feed = stage.feed(ROOM)
        ada.session.subscriptions[ROOM].feed.hold(ada.session.subscriptions[ROOM])
        stage.publish(ROOM, 1)
        assert (feed._pending, stage.node.turn._feeds) == (None, [])
        assert feed.position.offset == 1
