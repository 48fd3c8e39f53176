"""Going live: what is read and what comes join up, in whatever order the broker's answers and deliveries arrive."""

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stage import Guest, Stage, offsets, one, quiet, turns, types

from hubbub.hub.namespaces import Overflow
from hubbub.hub.publications import Kind

ROOM = "room:a"


def since(message: dict[str, Any]) -> dict[str, Any]:
    return {"epoch": message["epoch"], "offset": message["offset"]}


async def test_a_publication_before_the_read_is_in_it_and_not_sent_again():
    async with Stage(quiet()) as stage:
        start = since(await (await stage.enter("bob")).join("a"))
        ada = await stage.enter("ada")
        stage.broker.hold("read", when="after")
        joining = stage.start(ada.ask("join_room", room_id="a", since=start))
        read = await stage.broker.held()
        await stage.say(ROOM, "one")
        assert ada.news() == []
        read.release()
        joined = one(await joining, "joined")
        assert [message["content"] for message in joined["messages"]] == ["one"]
        stage.broker.let("read")
        await stage.say(ROOM, "two")
        assert ada.contents() == ["two"]


async def test_a_publication_after_the_read_but_before_its_answer_comes_behind_it():
    async with Stage(quiet()) as stage:
        ada = await stage.enter("ada")
        stage.broker.hold("read", when="before")
        joining = stage.start(ada.ask("join_room", room_id="a"))
        read = await stage.broker.held()
        await stage.say(ROOM, "one")
        await stage.say(ROOM, "two")
        assert ada.news() == []
        read.release()
        messages = await joining
        assert types(messages) == ["joined", "message", "message"]
        assert messages[0]["offset"] == 0
        assert offsets(messages) == [1, 2]


async def test_whoever_has_read_as_far_as_the_feed_is_live_at_once():
    async with Stage(quiet()) as stage:
        ada, bob = await stage.enter("ada"), await stage.enter("bob")
        await stage.say(ROOM, "one")
        for guest in (ada, bob):
            await guest.join("a")
            assert not stage.feed(ROOM).waiting
        await bob.ask("leave_room", room_id="a")
        await ada.ask("leave_room", room_id="a")
        await stage.settle()
        await stage.say(ROOM, "two")
        await ada.join("a")
        assert not stage.feed(ROOM).waiting


async def test_what_is_not_stored_waits_too():
    async with Stage(quiet()) as stage:
        ada, bob = await stage.enter("ada"), await stage.enter("bob")
        await bob.join("a")
        stage.broker.hold("read")
        joining = stage.start(ada.ask("join_room", room_id="a"))
        read = await stage.broker.held()
        await bob.ask("typing", room_id="a")
        read.release()
        assert types(await joining) == ["joined", "typing"]


@pytest.mark.parametrize("somebody_is_live", [False, True])
async def test_a_read_that_is_further_than_the_feed_was_told(somebody_is_live):
    async with Stage(quiet()) as stage:
        bob = await stage.enter("bob")
        if somebody_is_live:
            await bob.join("a")
        stage.broker.hold_deliveries()
        start = {"epoch": (await stage.say(ROOM, "one")).epoch, "offset": 0}
        await stage.say(ROOM, "two")
        ada = await stage.enter("ada")
        joined = await ada.join("a", since=start)
        assert [message["content"] for message in joined["messages"]] == ["one", "two"]
        await stage.say(ROOM, "three")
        for publication in list(stage.broker.late):
            stage.broker.deliver(1)
            assert offsets(ada.news()) == ([3] if publication.offset == 3 else [])
        stage.broker.deliver()
        await stage.say(ROOM, "four")
        assert ada.contents() == ["four"]
        assert offsets(bob.news()) == ([1, 2, 3, 4] if somebody_is_live else [])


async def test_the_first_to_read_does_not_carry_away_what_the_second_lacks():
    # Two reads at once: the second stands before two publications, the first behind them, and is answered first.
    async with Stage(quiet()) as stage:
        ada, bob = await stage.enter("ada"), await stage.enter("bob")
        stage.broker.hold("read")
        joins_late = stage.start(bob.ask("join_room", room_id="a"))
        bobs_read = await stage.broker.held()
        stage.broker.hold_deliveries()
        await stage.say(ROOM, "one")
        await stage.say(ROOM, "two")
        joins_first = stage.start(ada.ask("join_room", room_id="a"))
        (await stage.broker.held()).release()
        assert one(await joins_first, "joined")["offset"] == 2
        bobs_read.release()
        assert one(await joins_late, "joined")["offset"] == 0
        stage.broker.deliver()
        assert (ada.contents(), bob.contents()) == ([], ["one", "two"])
        await stage.say(ROOM, "three")
        assert (ada.contents(), bob.contents()) == (["three"], ["three"])


async def test_a_second_subscriber_goes_live_while_the_first_still_reads():
    async with Stage(quiet()) as stage:
        ada, bob = await stage.enter("ada"), await stage.enter("bob")
        stage.broker.hold("read")
        joining = stage.start(ada.ask("join_room", room_id="a"))
        read = await stage.broker.held()
        stage.broker.let("read")
        await bob.join("a")
        await stage.say(ROOM, "one")
        assert bob.contents() == ["one"]
        read.release()
        assert types(await joining) == ["joined", "message"]
        await stage.say(ROOM, "two")
        assert (ada.contents(), bob.contents()) == (["two"], ["two"])


async def test_a_first_subscriber_that_gives_up_while_the_second_waits():
    async with Stage(quiet()) as stage:
        ada, bob = await stage.enter("ada"), await stage.enter("bob")
        stage.broker.hold("read")
        adas = stage.start(ada.ask("join_room", room_id="a"))
        await stage.broker.held()
        bobs = stage.start(bob.ask("join_room", room_id="a"))
        read = await stage.broker.held()
        adas.cancel()
        await asyncio.wait([adas])
        await stage.say(ROOM, "one")
        read.release()
        assert offsets(await bobs) == [1]
        assert ROOM not in ada.session.subscriptions
        await stage.say(ROOM, "two")
        assert (ada.contents(), bob.contents()) == ([], ["two"])


@pytest.mark.parametrize("when", ["before", "after"])
async def test_who_subscribes_again_is_answered_before_what_comes_meanwhile(when):
    async with Stage(quiet()) as stage:
        ada = await stage.enter("ada")
        start = since(await ada.join("a"))
        await stage.say(ROOM, "one")
        ada.news()
        stage.broker.hold("read", when=when)
        joining = stage.start(ada.ask("join_room", room_id="a", since=start))
        read = await stage.broker.held()
        await stage.say(ROOM, "meanwhile")
        assert ada.news() == []
        read.release()
        stage.broker.let("read")
        messages = await joining
        joined = messages[0]
        assert joined["recovered"] is True
        assert [*offsets(joined["messages"]), *offsets(messages)] == [1, 2]
        await stage.say(ROOM, "behind")
        assert ada.contents() == ["behind"]


async def test_what_a_broker_repeats_is_sent_once():
    async with Stage(quiet()) as stage:
        ada = await stage.enter("ada")
        await ada.join("a")
        stage.broker.hold_deliveries()
        for text in ("one", "two", "three"):
            await stage.say(ROOM, text)
        repeated = list(stage.broker.late)
        stage.broker.deliver()
        for publication in repeated:
            stage.broker.deliver_again(publication)
        assert ada.contents() == ["one", "two", "three"]


async def test_a_delivery_on_its_way_since_before_an_unsubscribe_holds_nothing_up():
    async with Stage(quiet()) as stage:
        ada = await stage.enter("ada")
        await ada.join("a")
        stage.broker.hold_deliveries()
        await stage.say(ROOM, "one")
        stale = stage.broker.late.popleft()
        stage.broker.deliver()
        await ada.ask("leave_room", room_id="a")
        await stage.settle()
        for text in ("two", "three"):
            await stage.say(ROOM, text)
        stage.broker.hold("read")
        joining = stage.start(ada.ask("join_room", room_id="a"))
        read = await stage.broker.held()
        stage.broker.deliver_again(stale)
        read.release()
        stage.broker.let("read")
        assert one(await joining, "joined")["offset"] == 3
        # Typing is not stored: were she to wait for the feed to reach 3, she would not see it.
        bob = await stage.enter("bob")
        await bob.join("a")
        await bob.ask("typing", room_id="a")
        assert types(ada.news()) == ["typing"]
        await stage.say(ROOM, "four")
        assert ada.contents() == ["four"]


async def test_a_stream_that_begins_anew_is_said_before_what_it_brings():
    async with Stage(quiet()) as stage:
        ada = await stage.enter("ada")
        old = await ada.join("a")
        await stage.say(ROOM, "one")
        await stage.broker.lose_streams()
        position = await stage.say(ROOM, "two")
        assert position.epoch != old["epoch"]
        first, reset, second = ada.news()
        assert (first["content"], second["content"], second["offset"]) == ("one", "two", 1)
        assert reset == {"type": "reset", "channel": ROOM, "epoch": position.epoch, "offset": 0}
        await stage.say(ROOM, "three")
        assert offsets(ada.news()) == [2]


async def test_an_epoch_that_ends_while_somebody_reads():
    async with Stage(quiet()) as stage:
        ada, bob = await stage.enter("ada"), await stage.enter("bob")
        await bob.join("a")
        await stage.say(ROOM, "old")
        bob.news()
        stage.broker.hold("read")
        joining = stage.start(ada.ask("join_room", room_id="a"))
        read = await stage.broker.held()
        await stage.broker.lose_streams()
        await stage.say(ROOM, "new")
        assert types(bob.news()) == ["reset", "message"]
        read.release()
        stage.broker.let("read")
        assert types(await joining) == ["joined", "reset", "message"]
        await stage.say(ROOM, "newer")
        assert (offsets(ada.news()), offsets(bob.news())) == ([2], [2])


async def test_who_reads_the_new_epoch_first_waits_for_it_and_is_not_told_of_a_reset():
    async with Stage(quiet()) as stage:
        ada, bob = await stage.enter("ada"), await stage.enter("bob")
        await bob.join("a")
        await stage.say(ROOM, "old")
        bob.news()
        await stage.broker.lose_streams()
        stage.broker.hold_deliveries()
        for text in ("one", "two"):
            await stage.say(ROOM, text)
        assert (await ada.join("a"))["offset"] == 2
        stage.broker.deliver()
        await stage.say(ROOM, "three")
        assert types(ada.news()) == ["message"]
        assert types(bob.news()) == ["reset", "message", "message", "message"]


async def test_exclusions_hold_live_held_and_in_what_was_missed():
    async with Stage(quiet()) as stage:
        ada, bob = await stage.enter("ada"), await stage.enter("bob")
        start = since(await bob.join("a"))
        stage.broker.hold("read")
        joining = stage.start(ada.ask("join_room", room_id="a"))
        read = await stage.broker.held()
        await stage.say(ROOM, "held, not for ada", exclude={"ada"})
        await stage.say(ROOM, "held", exclude={"bob"})
        read.release()
        stage.broker.let("read")
        assert offsets(await joining) == [2]
        await stage.say(ROOM, "live", exclude={"bob", "nobody"})
        await stage.say(ROOM, "live, not for ada", exclude={"ada"})
        assert (ada.contents(), bob.contents()) == (["live"], ["held, not for ada", "live, not for ada"])
        missed = (await bob.join("a", since=start))["messages"]
        assert offsets(missed) == [1, 4]
        missed = (await ada.join("a", since=start))["messages"]
        assert offsets(missed) == [2, 3]


async def test_deliveries_are_counted():
    async with Stage(quiet()) as stage:
        guests = [await stage.enter(name) for name in ("ada", "bob")]
        for guest in guests:
            await guest.join("a")
        await stage.say(ROOM, "one")
        await stage.say("room:empty", "two")
        assert (stage.node.statistics.publications, stage.node.statistics.deliveries) == (1, 2)


async def test_a_feed_keeps_nothing_of_those_who_left():
    async with Stage(quiet()) as stage:
        ada, bob = await stage.enter("ada"), await stage.enter("bob")
        await ada.join("a")
        await bob.join("a")
        feed = stage.feed(ROOM)
        assert feed.holders == 2
        await ada.ask("leave_room", room_id="a")
        await bob.leave()
        assert (feed.holders, feed.live, feed.waiting) == (0, [], ())
        assert (feed._pending, feed._writers) == (None, None)


def test_kinds_are_told_apart():
    assert len({int(kind) for kind in Kind}) == 5


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("say"), st.just(0)),
        st.tuples(st.just("say"), st.just(0)),
        st.tuples(
            st.sampled_from(["join", "join_early", "stall", "take", "take_some", "leave"]), st.integers(0, 2)
        ),
        st.tuples(
            st.sampled_from(["join", "join_early", "stall", "take", "take_some", "leave"]), st.integers(0, 2)
        ),
        st.tuples(st.sampled_from(["deliver", "deliver"]), st.integers(1, 4)),
        st.tuples(st.just("release"), st.integers(0, 5)),
        st.tuples(st.just("repeat"), st.integers(0, 5)),
    ),
    max_size=60,
)


@settings(max_examples=300, deadline=None)
@given(STEPS)
async def test_whatever_the_order_nobody_misses_anything_or_gets_it_twice(steps):
    """Reads answered late, deliveries late and repeated, readers stalled and resumed, in every order."""
    async with Stage(quiet(overflow=Overflow.CLOSE, overflow_bytes=10**9)) as stage:
        play = Play(stage, [await stage.enter(name) for name in ("ada", "bob", "eve")])
        for step, value in steps:
            await play.step(step, value)
        await play.end()


class Play:
    """Three guests and a broker that answers when it is told to."""

    def __init__(self, stage: Stage, guests: list[Guest]) -> None:
        self.stage = stage
        self.guests = guests
        self.asking: dict[Guest, asyncio.Task[Any]] = {}
        self.reads: list[Any] = []
        self.said = 0
        self.delivered: list[Any] = []
        stage.broker.hold_deliveries()

    async def step(self, step: str, value: int) -> None:
        guest = self.guests[value] if value < 3 else self.guests[0]
        match step:
            case "say":
                self.said += 1
                await self.stage.say(ROOM, str(self.said))
            case "join" | "join_early" | "leave":
                if self.is_free(guest):
                    self.ask(step, guest)
            case "stall":
                guest.outlet.stall()
            case "take":
                guest.outlet.take()
            case "take_some":
                guest.outlet.take(2)
            case _:
                self.let_the_broker(step, value)
        await turns()

    def ask(self, step: str, guest: Guest) -> None:
        if step == "leave":
            work = guest.ask("leave_room", room_id="a")
        else:
            self.stage.broker.hold("read", when="before" if step == "join_early" else "after")
            work = guest.ask("join_room", room_id="a", **self.place_of(guest))
        self.asking[guest] = self.stage.start(work)

    def let_the_broker(self, step: str, value: int) -> None:
        broker = self.stage.broker
        if step == "deliver":
            for _ in range(min(value, len(broker.late))):
                self.delivered.append(broker.late[0])
                broker.deliver(1)
        elif step == "repeat":  # in order: the last few, once more
            for publication in self.delivered[-value or None :]:
                broker.deliver_again(publication)
        elif step == "release":
            self.gather_reads()
            if self.reads:
                self.reads.pop(value % len(self.reads)).release()

    def is_free(self, guest: Guest) -> bool:
        task = self.asking.get(guest)
        return (task is None or task.done()) and not guest.session.slow

    def place_of(self, guest: Guest) -> dict[str, Any]:
        for message in reversed(guest.outlet.sent):
            if message["type"] == "left":
                break
            if message["type"] == "message" or message["type"] == "joined":
                return {"since": {"epoch": self.epoch(guest), "offset": message["offset"]}}
        return {}

    def epoch(self, guest: Guest) -> str:
        return next(message["epoch"] for message in guest.outlet.sent if message["type"] == "joined")

    def gather_reads(self) -> None:
        calls = self.stage.broker._calls
        while not calls.empty():
            self.reads.append(calls.get_nowait())

    async def end(self) -> None:
        self.stage.broker.let("read")
        for guest in self.guests:
            guest.outlet.take()
        self.gather_reads()
        for read in self.reads:
            read.release()
        await turns()
        self.stage.broker.deliver()
        await turns()
        await self.stage.settle()
        for guest in self.guests:
            self.check(guest)
            assert not guest.session.slow

    def check(self, guest: Guest) -> None:
        place: int | None = None
        for message in guest.outlet.sent:
            match message["type"]:
                case "joined":
                    if "recovered" in message:
                        assert message["recovered"] is True
                        assert place is not None
                        for offset in offsets(message["messages"]):
                            place += 1
                            assert offset == place, guest.outlet.sent
                        assert message["offset"] == place
                    place = message["offset"]
                case "message":
                    assert place is not None
                    place += 1
                    assert message["offset"] == place, guest.outlet.sent
                    assert message["content"] == str(place)
                case "left":
                    place = None
                case kind:
                    assert kind in {"welcome", "error"}, message
        assert place in {None, self.said}, guest.outlet.sent
        assert guest.outlet.closed_with is None
