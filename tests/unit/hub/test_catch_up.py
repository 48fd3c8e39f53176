"""Slow sessions: they keep positions, and get what they missed from the streams, or are told what they will not get."""

import logging
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stage import Guest, Stage, offsets, one, quiet, turns, types

from hubbub.exceptions import Unavailable
from hubbub.hub.events import ChatMessage
from hubbub.hub.identity import Identity
from hubbub.hub.namespaces import NO_HISTORY, History, Namespace, Overflow, Publish, Subscribe
from hubbub.types import UserId

ROOM = "room:a"
SLOW = (4008, "Too slow: come back with your positions")


async def say(stage: Stage, *numbers: int, channel: str = ROOM, size: int = 0) -> None:
    for number in numbers:
        await stage.say(channel, str(number).ljust(size, "."))


async def caught_up(stage: Stage, guest: Guest) -> list[Any]:
    """Let a guest read everything, and return what came."""
    guest.outlet.take()
    await stage.settle()
    assert not guest.session.slow
    return guest.news()


async def test_from_live_to_paused_to_lagging_and_back():
    async with Stage(quiet()) as stage:
        ada, bob = await stage.enter("ada"), await stage.enter("bob")
        for guest in (ada, bob):
            await guest.join("a")
        ada.outlet.stall(after=1)
        await say(stage, 1)
        assert not ada.session.congested
        await say(stage, 2)  # does not leave any more: the pause comes inside this very delivery
        assert (ada.session.congested, ada.session.slow) == (True, True)
        assert next(each for each in stage.feed(ROOM).live if each.session is ada.session).lagging
        await say(stage, 3, 4, 5)
        assert offsets(ada.news()) == [1]
        assert len(ada.outlet.queue) == 1
        subscription = ada.session.subscriptions[ROOM]
        assert subscription.position.offset == 2
        assert offsets(bob.news()) == [1, 2, 3, 4, 5]
        assert offsets(await caught_up(stage, ada)) == [2, 3, 4, 5]
        assert not next(each for each in stage.feed(ROOM).live if each.session is ada.session).lagging
        await say(stage, 6)
        assert offsets(ada.news()) == [6]
        assert (stage.node.statistics.pauses, stage.node.statistics.catch_ups) == (1, 1)


async def test_a_pause_in_which_nothing_was_said():
    async with Stage(quiet()) as stage:
        ada = await stage.enter("ada")
        await ada.join("a")
        ada.outlet.stall()
        await say(stage, 1)
        reads = len(stage.broker.calls)
        assert offsets(await caught_up(stage, ada)) == [1]
        assert [call for call in stage.broker.calls[reads:] if call[0] == "read"] == []
        await say(stage, 2)
        assert offsets(ada.news()) == [2]


async def test_slow_again_in_the_middle_of_catching_up():
    async with Stage(quiet()) as stage:
        ada = await stage.enter("ada")
        await ada.join("a")
        ada.outlet.stall()
        await say(stage, *range(1, 11))
        seen = []
        for _ in range(3):
            ada.outlet.take(3)
            await stage.settle()
            assert ada.session.slow
            seen += offsets(ada.news())
            assert seen == list(range(1, len(seen) + 1))
        await say(stage, 11)
        seen += offsets(await caught_up(stage, ada))
        assert seen == list(range(1, 12))
        await say(stage, 12)
        assert offsets(ada.news()) == [12]
        assert stage.node.statistics.pauses == 1


@pytest.mark.parametrize("when", ["before", "after"])
async def test_what_is_said_while_the_stream_is_read_comes_once_and_in_order(when):
    async with Stage(quiet()) as stage:
        ada = await stage.enter("ada")
        await ada.join("a")
        ada.outlet.stall()
        await say(stage, 1, 2, 3)
        stage.broker.hold("read", when=when)
        ada.outlet.take()
        read = await stage.broker.held()
        await say(stage, 4, 5)
        assert offsets(ada.news()) == [1]
        read.release()
        stage.broker.let("read")
        await stage.settle()
        assert offsets(ada.news()) == [2, 3, 4, 5]
        await say(stage, 6)
        assert offsets(ada.news()) == [6]


async def test_the_stream_is_read_further_than_the_node_was_told():
    async with Stage(quiet()) as stage:
        ada = await stage.enter("ada")
        await ada.join("a")
        ada.outlet.stall()
        await say(stage, 1, 2)
        stage.broker.hold_deliveries()
        await say(stage, 3, 4)
        assert offsets(await caught_up(stage, ada)) == [1, 2, 3, 4]
        stage.broker.deliver()
        assert ada.news() == []
        await say(stage, 5)
        assert offsets(ada.news()) == [5]


async def test_every_channel_is_brought_up_to_date():
    async with Stage(quiet(), Namespace("topic")) as stage:
        ada = await stage.enter("ada")
        channels = [ROOM, "room:b", "topic:c"]
        for channel in channels:
            await ada.ask("subscribe", channel=channel)
        ada.outlet.stall()
        for number in (1, 2, 3):
            for channel in channels:
                await stage.say(channel, f"{channel} {number}")
        assert len(ada.outlet.queue) == 1
        news = await caught_up(stage, ada)
        for channel in channels:
            assert [each["content"] for each in news if each["channel"] == channel] == [
                f"{channel} {number}" for number in (1, 2, 3)
            ]


async def test_what_is_not_stored_and_comes_meanwhile_is_lost_and_no_gap():
    async with Stage(quiet(), Namespace("news", history=NO_HISTORY)) as stage:
        ada, bob = await stage.enter("ada"), await stage.enter("bob")
        for guest in (ada, bob):
            await guest.join("a")
        await ada.ask("subscribe", channel="news:n")
        ada.outlet.stall()
        await say(stage, 1)
        await bob.ask("typing", room_id="a")
        await say(stage, 1, channel="news:n")
        await stage.node.publisher.broadcast("maintenance", {})
        await say(stage, 2)
        await bob.ask("typing", room_id="a")
        assert types(await caught_up(stage, ada)) == ["message", "message"]
        await bob.ask("typing", room_id="a")
        await say(stage, 2, channel="news:n")
        await stage.node.publisher.broadcast("maintenance", {})
        assert types(ada.news()) == ["typing", "message", "broadcast"]
        assert stage.node.statistics.gaps == {"not_kept": 2}


async def test_missing_only_what_is_never_kept_closes_nobody_even_if_the_streams_are_lost():
    async with Stage(quiet()) as stage:
        ada = await stage.enter("ada")
        ada.outlet.stall()
        for number in range(3):
            await stage.node.publisher.broadcast("news", number)
            stage.node.turn.end()
        await stage.broker.lose_streams()
        assert [message["data"] for message in await caught_up(stage, ada)] == [0]
        assert ada.outlet.closed_with is None
        await stage.node.publisher.broadcast("news", 3)
        assert [message["data"] for message in ada.news()] == [3]


async def test_exclusions_hold_while_catching_up():
    async with Stage(quiet()) as stage:
        ada = await stage.enter("ada")
        await ada.join("a")
        ada.outlet.stall()
        await say(stage, 1)
        for number in range(2, 8):
            await stage.say(ROOM, str(number), exclude={"ada"} if number % 2 else {"bob"})
        assert offsets(await caught_up(stage, ada)) == [1, 2, 4, 6]
        await say(stage, 8)
        assert offsets(ada.news()) == [8]


async def test_what_excludes_a_slow_session_does_not_count_as_missed():
    async with Stage(quiet(overflow_bytes=100)) as stage:
        ada = await stage.enter("ada")
        await ada.join("a")
        ada.outlet.stall()
        await say(stage, 1)
        for _ in range(5):
            await stage.say(ROOM, "x" * 100, exclude={"ada"})
        assert ada.outlet.closed_with is None
        assert offsets(await caught_up(stage, ada)) == [1]


class TestClose:
    """The policy `close`: 4008 at the bound, with the position kept."""

    async def test_at_the_bound_and_not_before(self):
        async with Stage(quiet(overflow_bytes=1000)) as stage:
            ada, bob = await stage.enter("ada"), await stage.enter("bob")
            for guest in (ada, bob):
                await guest.join("a")
            ada.outlet.stall()
            await say(stage, 1)
            subscription = ada.session.subscriptions[ROOM]
            while subscription.behind + len(ada.outlet.queue[0]) <= 1000:
                await say(stage, 2)
                assert ada.outlet.closed_with is None
            await say(stage, 3)
            assert ada.outlet.closed_with == SLOW
            assert ada.session.closed
            assert stage.node.statistics.closes == {4008: 1}
            assert not ada.outlet.aborted
            await say(stage, 4)
            assert len(ada.outlet.queue) == 1
            await stage.pass_time(1.2)
            assert ada.outlet.aborted
            assert len(offsets(bob.news())) == stage.feed(ROOM).position.offset

    async def test_nothing_is_said_after_the_close(self):
        async with Stage(quiet(overflow_bytes=100)) as stage:
            ada = await stage.enter("ada")
            await ada.join("a")
            ada.outlet.stall()
            await say(stage, 1, 2, size=200)
            assert ada.outlet.closed_with == SLOW
            ada.outlet.take()
            await say(stage, 3)
            await stage.node.publisher.broadcast("news", 1)
            await stage.pass_time(100)
            assert offsets(ada.news()) == [1]
            await ada.leave(clean=False)

    async def test_it_comes_back_with_its_position_and_has_lost_nothing(self):
        async with Stage(quiet(overflow_bytes=100)) as stage:
            ada = await stage.enter("ada")
            joined = await ada.join("a")
            ada.outlet.stall(after=1)
            await say(stage, 1, 2, 3, size=200)
            assert ada.outlet.closed_with == SLOW
            last = ada.news()[-1]
            await ada.leave(clean=False)
            ada = await stage.enter("ada")
            since = {"epoch": joined["epoch"], "offset": last["offset"], "id": last["id"]}
            again = await ada.join("a", since=since)
            assert (again["recovered"], offsets(again["messages"])) == (True, [2, 3])

    async def test_what_was_trimmed_meanwhile_closes_too(self):
        async with Stage(quiet(history=History(3))) as stage:
            ada = await stage.enter("ada")
            await ada.join("a")
            ada.outlet.stall()
            await say(stage, *range(1, 6))
            ada.outlet.take()
            await stage.settle()
            assert offsets(ada.news()) == [1]
            assert ada.outlet.closed_with == SLOW

    async def test_a_lost_stream_closes_too(self):
        async with Stage(quiet()) as stage:
            ada = await stage.enter("ada")
            await ada.join("a")
            ada.outlet.stall()
            await say(stage, 1, 2)
            await stage.broker.lose_streams()
            await say(stage, 1)
            ada.outlet.take()
            await stage.settle()
            assert types(ada.news()) == ["message"]
            assert ada.outlet.closed_with == SLOW

    async def test_slow_again_beyond_the_bound_closes_and_never_drops(self):
        # What comes while the stream is read is not counted; it can be more than the bound.
        async with Stage(quiet(overflow_bytes=500)) as stage:
            ada = await stage.enter("ada")
            await ada.join("a")
            ada.outlet.stall()
            await say(stage, 1, 2)
            stage.broker.hold("read", when="after")
            ada.outlet.take(2)
            read = await stage.broker.held()
            await say(stage, *range(3, 9), size=100)
            read.release()
            stage.broker.let("read")
            await stage.settle()
            assert ada.session.slow
            ada.outlet.take()
            await stage.settle()
            news = ada.news()
            assert "gap" not in types(news)
            assert offsets(news) == list(range(1, len(news) + 1))
            assert ada.outlet.closed_with == SLOW


class TestDropOldest:
    """The policy `drop_oldest`: a `gap`, then the newest that fit into the bound."""

    def stage(self, **policy) -> Stage:
        return Stage(quiet(overflow=Overflow.DROP_OLDEST, **policy))

    async def test_a_gap_then_the_newest(self):
        async with self.stage(overflow_bytes=1000) as stage:
            ada = await stage.enter("ada")
            await ada.join("a")
            ada.outlet.stall()
            await say(stage, 1)
            await say(stage, *range(2, 21), size=186)  # 200 bytes of data each
            first, gap, *rest = await caught_up(stage, ada)
            assert first["offset"] == 1
            assert gap == {"type": "gap", "channel": ROOM, "from": 2, "to": 15}
            assert offsets(rest) == [16, 17, 18, 19, 20]
            assert stage.node.statistics.gaps == {"drop_oldest": 14}
            await say(stage, 21)
            assert offsets(ada.news()) == [21]

    async def test_within_the_bound_everything(self):
        async with self.stage(overflow_bytes=100_000) as stage:
            ada = await stage.enter("ada")
            await ada.join("a")
            ada.outlet.stall()
            await say(stage, *range(1, 30))
            news = await caught_up(stage, ada)
            assert offsets(news) == list(range(1, 30))
            assert "gap" not in types(news)

    async def test_one_that_is_larger_than_the_bound_still_comes(self):
        async with self.stage(overflow_bytes=10) as stage:
            ada = await stage.enter("ada")
            await ada.join("a")
            ada.outlet.stall()
            await say(stage, 1, 2, 3, size=50)
            assert types(await caught_up(stage, ada)) == ["message", "gap", "message"]

    @pytest.mark.parametrize("overflow_bytes", [250_000, 10])
    async def test_what_was_trimmed_is_a_gap(self, overflow_bytes):
        async with self.stage(history=History(3), overflow_bytes=overflow_bytes) as stage:
            ada = await stage.enter("ada")
            await ada.join("a")
            ada.outlet.stall()
            await say(stage, *range(1, 10))
            _, gap, *rest = await caught_up(stage, ada)
            last = 6 if overflow_bytes > 10 else 8
            assert (gap["from"], gap["to"]) == (2, last)
            assert offsets(rest) == list(range(last + 1, 10))

    async def test_everything_aged_away(self):
        async with self.stage(history=History(100, timedelta(seconds=10))) as stage:
            ada = await stage.enter("ada")
            await ada.join("a")
            ada.outlet.stall()
            await say(stage, 1, 2, 3)
            stage.clock.advance(11)
            _, gap = await caught_up(stage, ada)
            assert (gap["from"], gap["to"]) == (2, 3)
            await say(stage, 4)
            assert offsets(ada.news()) == [4]

    async def test_a_stream_that_began_anew(self):
        async with self.stage() as stage:
            ada = await stage.enter("ada")
            await ada.join("a")
            ada.outlet.stall()
            await say(stage, 1, 2)
            await stage.broker.lose_streams()
            await say(stage, 11, 12)
            old, reset, *new = await caught_up(stage, ada)
            assert (old["content"], types([reset])) == ("1", ["reset"])
            assert [(each["offset"], each["content"]) for each in new] == [(1, "11"), (2, "12")]
            await say(stage, 13)
            assert offsets(ada.news()) == [3]

    async def test_a_gap_of_what_was_only_for_others_is_none(self):
        async with self.stage(overflow_bytes=1000) as stage:
            ada = await stage.enter("ada")
            await ada.join("a")
            ada.outlet.stall()
            await say(stage, 1)
            for _ in range(3):
                await stage.say(ROOM, "not for ada", exclude={"ada"})
            await say(stage, 5)
            assert types(await caught_up(stage, ada)) == ["message", "message"]

    async def test_what_comes_between_two_reads_is_not_lost(self):
        async with self.stage(history=History(3)) as stage:
            ada = await stage.enter("ada")
            await ada.join("a")
            ada.outlet.stall()
            await say(stage, *range(1, 6))
            stage.broker.hold("history", when="before")
            ada.outlet.take()
            history = await stage.broker.held()
            await say(stage, 6, 7, 8, 9)
            history.release()
            await stage.settle()
            news = ada.news()
            assert types(news)[:2] == ["message", "gap"]
            assert offsets(news) == [1, *range(3, 10)]
            assert (news[1]["from"], news[1]["to"]) == (2, 2)


class TestConflate:
    """The policy `conflate`: a `gap`, then the newest one only."""

    def stage(self, **policy) -> Stage:
        return Stage(quiet(overflow=Overflow.CONFLATE, **policy))

    async def test_a_gap_then_the_newest(self):
        async with self.stage(overflow_bytes=300) as stage:
            ada = await stage.enter("ada")
            await ada.join("a")
            ada.outlet.stall()
            await say(stage, *range(1, 10))
            first, gap, newest = await caught_up(stage, ada)
            assert (first["offset"], gap["from"], gap["to"], newest["offset"]) == (1, 2, 8, 9)
            assert stage.node.statistics.gaps == {"conflate": 7}

    async def test_the_newest_that_is_for_this_user(self):
        async with self.stage(overflow_bytes=300) as stage:
            ada = await stage.enter("ada")
            await ada.join("a")
            ada.outlet.stall()
            await say(stage, *range(1, 10))
            await stage.say(ROOM, "not for ada", exclude={"ada"})
            first, gap, newest = await caught_up(stage, ada)
            assert (first["offset"], gap["from"], gap["to"], newest["offset"]) == (1, 2, 8, 9)
            await say(stage, 11)
            assert offsets(ada.news()) == [11]

    async def test_within_the_bound_everything(self):
        async with self.stage(overflow_bytes=100_000) as stage:
            ada = await stage.enter("ada")
            await ada.join("a")
            ada.outlet.stall()
            await say(stage, *range(1, 10))
            assert offsets(await caught_up(stage, ada)) == list(range(1, 10))

    async def test_trimmed_and_beyond_the_bound(self):
        async with self.stage(overflow_bytes=300, history=History(4)) as stage:
            ada = await stage.enter("ada")
            await ada.join("a")
            ada.outlet.stall()
            await say(stage, *range(1, 10))
            first, gap, newest = await caught_up(stage, ada)
            assert (first["offset"], gap["from"], gap["to"], newest["offset"]) == (1, 2, 8, 9)


async def test_commands_of_a_slow_session_wait_until_it_is_up_to_date():
    async with Stage(quiet()) as stage:
        ada = await stage.enter("ada")
        await ada.join("a")
        assert not ada.session.slow
        ada.outlet.stall()
        await say(stage, 1, 2)
        await turns()
        assert (ada.session.slow, ada.outlet.proceeded) == (True, 0)
        stage.broker.hold("read")
        ada.outlet.take()
        read = await stage.broker.held()
        await turns()
        assert (ada.session.slow, ada.outlet.proceeded) == (True, 0)
        read.release()
        await stage.settle()
        assert (ada.session.slow, ada.outlet.proceeded) == (False, 1)
        assert offsets(ada.news()) == [1, 2]


async def test_a_connection_that_ends_while_it_is_brought_up_to_date():
    async with Stage(quiet()) as stage:
        ada = await stage.enter("ada")
        await ada.join("a")
        ada.outlet.stall()
        await say(stage, 1, 2)
        stage.broker.hold("read")
        ada.outlet.take()
        read = await stage.broker.held()
        stage.node.end(ada.session, clean=True)
        assert ada.outlet.proceeded  # whoever waits for the slow one learns that it is over
        read.release()
        await stage.settle()
        assert offsets(ada.news()) == [1]
        assert len(stage.node.feeds) == 0
        assert stage.node.catch_up._running == set()


@pytest.mark.parametrize("method", ["read", "history"])
async def test_a_subscription_that_ends_while_it_is_brought_up_to_date(method):
    token = Identity(UserId("ada"), {"channel": ROOM}, expires_at=1_750_000_060)
    namespace = quiet(subscribe=Subscribe.TOKEN, overflow=Overflow.DROP_OLDEST, history=History(2))
    async with Stage(namespace, leeway=0) as stage:
        stage.tokens["t"] = token
        ada = await stage.enter("ada")
        await ada.ask("join_room", room_id="a", token="t")
        ada.outlet.stall()
        await say(stage, 1, 2, 3, 4)
        stage.broker.hold(method)
        ada.outlet.take()
        call = await stage.broker.held()
        stage.clock.advance(61)
        stage.node.wheel.turn()
        await turns()
        call.release()
        stage.broker.let(method)
        await stage.settle()
        news = [message for message in ada.news() if message["type"] != "ping"]
        assert types(news) == ["message", "unsubscribed"]
        assert not ada.session.slow
        await say(stage, 5)
        assert offsets(ada.news()) == []
        assert ROOM not in stage.node.feeds._feeds


@pytest.mark.parametrize("method", ["read", "history"])
async def test_streams_that_are_away_for_a_while_are_waited_for(method):
    history = History(2) if method == "history" else History()
    async with Stage(quiet(history=history, overflow=Overflow.DROP_OLDEST)) as stage:
        ada = await stage.enter("ada")
        await ada.join("a")
        ada.outlet.stall()
        await say(stage, 1, 2, 3, 4)
        stage.broker.hold(method, when="after")
        ada.outlet.take()
        for number in (5, 6):
            call = await stage.broker.held()
            await say(stage, number)
            call.fail(Unavailable("no broker"))
            await turns()
            assert ada.session.slow
        stage.broker.let(method)
        await stage.settle()
        assert ada.outlet.closed_with is None
        assert not ada.session.slow
        assert offsets(ada.news()) == ([1, 2, 3, 4, 5, 6] if method == "read" else [1, 5, 6])
        await say(stage, 7)
        assert offsets(ada.news()) == [7]


async def test_streams_that_cannot_be_read_close_it(caplog: pytest.LogCaptureFixture):
    async with Stage(quiet()) as stage:
        ada = await stage.enter("ada")
        await ada.join("a")
        ada.outlet.stall()
        await say(stage, 1, 2)
        stage.broker.hold("read", when="after")
        ada.outlet.take()
        with caplog.at_level(logging.ERROR):
            (await stage.broker.held()).fail(ConnectionError("no broker"))
            await stage.settle()
        assert ada.outlet.closed_with is not None
        assert ada.outlet.closed_with[0] == 1013
        assert "could not be brought up to date" in caplog.text


async def test_subscribing_again_while_slow_does_not_double_what_is_missed():
    # A command that was under way when the session became slow.
    async with Stage(quiet()) as stage:
        ada = await stage.enter("ada")
        joined = await ada.join("a")
        stage.broker.hold("read")
        start = {"epoch": joined["epoch"], "offset": 0}
        joining = stage.start(ada.ask("join_room", room_id="a", since=start))
        read = await stage.broker.held()
        ada.outlet.stall()
        await say(stage, 1)
        await stage.node.publisher.broadcast("news", 0)
        stage.node.turn.end()
        assert ada.session.slow
        await say(stage, 2)
        stage.broker.let("read")
        ada.outlet.take()
        await stage.settle()
        read.release()
        await joining
        await stage.settle()
        await say(stage, 3)
        news = ada.outlet.sent
        again = [message for message in news if message["type"] == "joined"][-1]
        behind = news[news.index(again) :]
        assert [*offsets(again["messages"]), *offsets(behind)] == [1, 2, 3]


async def test_going_live_on_a_congested_outlet_queues_no_more_than_what_congested_it():
    async with Stage(quiet()) as stage:
        ada = await stage.enter("ada")
        stage.broker.hold("read")
        joining = stage.start(ada.ask("join_room", room_id="a"))
        read = await stage.broker.held()
        await say(stage, 1, 2, 3, 4)
        ada.outlet.stall(after=2)
        read.release()
        stage.broker.let("read")
        await joining
        assert types(ada.outlet.sent) == ["welcome", "joined", "message"]
        assert len(ada.outlet.queue) == 1
        await say(stage, 5)
        assert len(ada.outlet.queue) == 1
        await caught_up(stage, ada)
        assert offsets(ada.outlet.sent) == [1, 2, 3, 4, 5]


async def test_joining_on_a_congested_outlet():
    async with Stage(quiet()) as stage:
        ada = await stage.enter("ada")
        ada.outlet.stall()
        await ada.ask("join_room", room_id="a")
        await say(stage, 1, 2)
        assert len(ada.outlet.queue) == 1
        assert types(await caught_up(stage, ada)) == ["joined", "message", "message"]


@pytest.mark.parametrize("kind", ["join_room", "leave_room"])
async def test_a_command_for_one_channel_while_another_is_brought_up_to_date(kind):
    # One that was under way when the session became slow, and goes on while it is behind in both.
    async with Stage(quiet()) as stage:
        ada = await stage.enter("ada")
        for name in ("a", "b"):
            await ada.join(name)
        ada.outlet.stall()
        for number in (1, 2, 3):
            await say(stage, number)
            await say(stage, number, channel="room:b")
        stage.broker.hold("read")
        ada.outlet.take()
        first = await stage.broker.held()
        assert first.channel == ROOM
        asking = stage.start(ada.ask(kind, room_id="b"))
        if kind == "join_room":
            second = await stage.broker.held()
            first.release()
            await turns()
            stage.broker.let("read")
            second.release()
        else:
            await asking
            stage.broker.let("read")
            first.release()
        await asking
        await stage.settle()
        await say(stage, 4)
        await say(stage, 4, channel="room:b")
        news = ada.outlet.sent
        assert [each["offset"] for each in news if each["type"] == "message" and each["channel"] == ROOM] == [
            1,
            2,
            3,
            4,
        ]
        of_b = [each for each in news if each.get("channel") == "room:b"]
        if kind == "join_room":
            assert types(of_b) == ["joined", "joined", "message"]
            assert (of_b[-2]["offset"], of_b[-1]["offset"]) == (3, 4)
        else:
            assert types(of_b) == ["joined", "left"]
        assert not ada.session.slow


async def test_slow_in_one_channel_and_subscribing_to_the_next():
    async with Stage(quiet(publish=Publish.AUTHENTICATED, events=(ChatMessage,))) as stage:
        ada = await stage.enter("ada")
        await ada.join("a")
        ada.outlet.stall()
        await say(stage, 1, 2)
        await ada.ask("join_room", room_id="b")
        await say(stage, 1, channel="room:b")
        await say(stage, 3)
        news = await caught_up(stage, ada)
        assert [each["offset"] for each in news if each["channel"] == ROOM] == [1, 2, 3]
        assert types([each for each in news if each["channel"] == "room:b"]) == ["joined", "message"]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("say"), st.integers(0, 120)),
        st.tuples(st.just("say"), st.integers(0, 120)),
        st.tuples(st.just("take"), st.integers(0, 4)),
        st.tuples(st.just("flow"), st.just(0)),
        st.tuples(st.just("turn"), st.just(0)),
        st.tuples(st.just("release"), st.just(0)),
    ),
    max_size=60,
)


@settings(max_examples=200, deadline=None)
@given(STEPS, st.sampled_from([Overflow.DROP_OLDEST, Overflow.CONFLATE]), st.integers(2, 30), st.booleans())
async def test_every_offset_comes_once_or_is_said_to_be_missing(steps, overflow, size, holds):
    policy = quiet(overflow=overflow, overflow_bytes=300, history=History(size))
    async with Stage(policy) as stage:
        ada = await stage.enter("ada")
        await ada.join("a")
        if holds:
            stage.broker.hold("read", when="after")
            stage.broker.hold("history", when="before")
        said = 0
        for step, value in steps:
            said += step == "say"
            await play(stage, ada, step, value, said)
        for method in ("read", "history"):
            stage.broker.let(method)
        ada.outlet.take()
        while not stage.broker._calls.empty():
            await play(stage, ada, "release", 0, said)
        await stage.settle()
        assert not ada.session.slow
        assert accounted_for(ada.news()) == said
        await say(stage, said + 1)
        assert one(ada.news(), "message")["offset"] == said + 1


async def play(stage: Stage, guest: Guest, step: str, value: int, said: int) -> None:
    match step:
        case "say":
            await say(stage, said, size=value)
        case "take":
            guest.outlet.take(value)
        case "flow":
            guest.outlet.take()
        case "release" if not stage.broker._calls.empty():
            stage.broker._calls.get_nowait().release()
            await turns()
        case _:
            await turns()


def accounted_for(messages: list[Any]) -> int:
    """Return how far the offsets reach without a hole, which messages and gaps leave between them."""
    place = 0
    for message in messages:
        if message["type"] == "message":
            place += 1
            assert message["offset"] == place
        elif message["type"] == "gap":
            assert message["from"] == place + 1
            assert message["to"] >= message["from"]
            place = message["to"]
    return place
