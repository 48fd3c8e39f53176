"""Crowds: each receiver is written to at once, past what its outlet gathers, and still in order."""

import logging
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stage import Guest, Stage, end_turn, offsets, one, quiet, turns, types

from hubbub.codes import CloseCode
from hubbub.dialects.plain import PlainJSON
from hubbub.endpoints.queued import TextEncoding
from hubbub.hub import audience
from hubbub.hub.audience import CROWD

ROOM = "room:a"


def stage_of(**policy: Any) -> Stage:
    return Stage(quiet(**policy), gathering=True)


async def gathered(stage: Stage, size: int = CROWD) -> list[Guest]:
    guests = [await stage.enter(f"u{number}") for number in range(size)]
    for guest in guests:
        await guest.join("a")
    return guests


def through(guest: Guest) -> int:
    return guest.outlet.written_through


async def test_from_how_many_on_it_is_a_crowd():
    async with stage_of() as stage:
        guests = await gathered(stage, CROWD - 1)
        stage.publish(ROOM, 1)
        assert guests[0].contents() == [1]
        assert through(guests[0]) == 0
        eve = await stage.enter("eve")
        await eve.join("a")
        stage.publish(ROOM, 2)
        assert guests[0].contents() == [2]
        assert [through(guest) for guest in (*guests, eve)] == [1] * CROWD
        await eve.leave()
        stage.publish(ROOM, 3)
        assert guests[0].contents() == [3]
        assert through(guests[0]) == 1


async def test_the_writers_are_kept_until_something_changes():
    async with stage_of() as stage:
        guests = await gathered(stage)
        feed = stage.feed(ROOM)
        for number in range(2):
            stage.publish(ROOM, number)
            end_turn(stage.node)
            writers = feed._writers
            assert sum(len(each) for _, each in writers) == CROWD
        stage.publish(ROOM, 2)
        end_turn(stage.node)
        assert feed._writers is writers
        await guests[0].leave()
        assert feed._writers is None


async def test_one_that_raises_does_not_end_the_delivery_to_those_after_it(caplog: pytest.LogCaptureFixture):
    async with stage_of() as stage:
        guests = await gathered(stage, CROWD + 4)

        def broken(frame: Any) -> None:
            raise RuntimeError("the handler is closed")

        for number in (0, 5, 6, CROWD + 3):
            guests[number].outlet.write_through = broken
        for number in range(2):
            stage.publish(ROOM, number)
            with caplog.at_level(logging.ERROR):
                end_turn(stage.node)
        reached = [guest.contents() for guest in guests]
        assert reached.count([0, 1]) == CROWD
        assert [reached[number] for number in (0, 5, 6, CROWD + 3)] == [[]] * 4
        assert len(caplog.records) == 8
        assert stage.feed(ROOM).position.offset == 2


@pytest.mark.parametrize("overflown", [False, True])
async def test_one_that_pauses_during_the_write_lags_from_the_next_batch_and_catches_up(overflown):
    async with stage_of(overflow_bytes=300 if overflown else 100_000) as stage:
        guests = await gathered(stage, CROWD + 1)
        ada = guests[3]
        ada.outlet.stall(after=1)
        stage.publish(ROOM, 1, 2)  # one frame, which leaves
        end_turn(stage.node)
        assert not ada.session.slow
        stage.publish(ROOM, 3)
        stage.publish("room:b", "elsewhere")
        end_turn(stage.node)  # does not leave
        subscription = ada.session.subscriptions[ROOM]
        assert (ada.session.slow, subscription.lagging, subscription.behind) == (True, True, 0)
        before = through(ada)
        for batch in ([4, 5], [6]):
            stage.publish(ROOM, *batch)
            end_turn(stage.node)
        assert through(ada) == before
        assert subscription.position.offset == 3
        assert [guest.contents() for guest in guests if guest is not ada] == [[1, 2, 3, 4, 5, 6]] * CROWD
        if overflown:
            assert ada.outlet.closed_with == (4008, "Too slow: come back with your positions")
            return
        ada.outlet.take()
        stage.publish(ROOM, 7)
        await stage.settle()
        stage.publish(ROOM, 8)
        assert ada.contents() == [1, 2, 3, 4, 5, 6, 7, 8]
        assert through(ada) == before + 1


async def test_many_that_pause_at_once_are_all_served_again():
    async with stage_of() as stage:
        guests = await gathered(stage, CROWD * 2)
        for guest in guests[::2]:
            guest.outlet.stall()
        for number in range(4):
            stage.publish(ROOM, number)
            end_turn(stage.node)
        assert stage.node.statistics.pauses == CROWD
        for guest in guests[::2]:
            guest.outlet.take()
        stage.publish(ROOM, 4)
        await stage.settle()
        stage.publish(ROOM, 5)
        assert [guest.contents() for guest in guests] == [[0, 1, 2, 3, 4, 5]] * CROWD * 2


@pytest.mark.parametrize("way", ["leaves", "is closed", "is gone"])
async def test_whoever_is_off_is_not_written_to(way):
    async with stage_of() as stage:
        guests = await gathered(stage, CROWD + 1)
        ada = guests[0]
        stage.publish(ROOM, 1)  # the writers were collected
        assert ada.contents() == [1]
        match way:
            case "leaves":
                ada.begin("leave_room", room_id="a")
            case "is closed":
                stage.node.connections.close(ada.session, CloseCode.REVOKED, "out")
            case _:
                stage.node.end(ada.session, clean=False)
        before = through(ada)
        stage.publish(ROOM, 2)
        assert ada.contents() == []
        assert through(ada) == before
        assert [guest.contents() for guest in guests[1:]] == [[1, 2]] * CROWD


async def test_what_is_gathered_precedes_what_is_written_through():
    async with stage_of() as stage:
        guests = await gathered(stage)
        ada = guests[0]
        ada.begin("ping", ref=1)
        stage.publish(ROOM, 1)
        ada.begin("ping", ref=2)
        assert types(ada.news()) == ["pong", "ack", "pong", "ack", "message"]


@pytest.mark.parametrize("number", [1, 3])
async def test_joined_precedes_what_another_join_forces_out_in_the_same_turn(number):
    async with stage_of() as stage:
        guests = await gathered(stage, CROWD)
        late = [await stage.enter(f"late {each}") for each in range(number + 1)]
        for offset, guest in enumerate(late):
            guest.begin("join_room", room_id="a")
            stage.publish(ROOM, offset + 1)
        assert [guest.contents() for guest in guests] == [list(range(1, number + 2))] * CROWD
        for offset, guest in enumerate(late):
            news = guest.news()
            assert (news[0]["type"], news[0]["offset"]) == ("joined", offset)
            assert offsets(news) == list(range(offset + 1, number + 2))


async def test_the_last_who_makes_it_a_crowd_gets_its_answer_first():
    async with stage_of() as stage:
        guests = await gathered(stage, CROWD - 1)
        stage.publish(ROOM, 1)  # put off as a small one
        ada = await stage.enter("ada")
        ada.begin("join_room", room_id="a")
        stage.publish(ROOM, 2)
        guests[0].begin("ping")
        news = ada.news()
        assert (types(news), offsets(news)) == (["joined", "message"], [2])
        assert [guest.contents() for guest in guests] == [[1, 2]] * (CROWD - 1)


async def test_a_crowd_that_shrinks_in_the_middle_of_a_turn():
    async with stage_of() as stage:
        guests = await gathered(stage, CROWD)
        stage.publish(ROOM, 1)
        guests[0].begin("leave_room", room_id="a")
        stage.publish(ROOM, 2)
        guests[1].begin("ping")
        assert types(guests[1].news()) == ["message", "pong", "message"]
        assert [guest.contents() for guest in guests[2:]] == [[1, 2]] * (CROWD - 2)


async def test_each_encoding_makes_one_frame():
    class Counting(TextEncoding):
        def __init__(self) -> None:
            super().__init__(PlainJSON())
            self.made: list[Any] = []

        def publications(self, publications: Any) -> Any:
            self.made.append(super().publications(publications))
            return self.made[-1]

    async with stage_of() as stage:
        encodings = [Counting(), Counting(), Counting()]
        guests = []
        for number in range(CROWD + 4):
            stage.encoding = encodings[number % 3]
            guests.append(await stage.enter(f"u{number}"))
        for guest in guests:
            await guest.join("a")
        guests[0].outlet.stall()
        stage.publish(ROOM, 1)
        end_turn(stage.node)
        stage.publish(ROOM, 2, 3)
        end_turn(stage.node)
        assert [len(encoding.made) for encoding in encodings] == [2, 2, 2]
        stage.publish(ROOM, 4, exclude={"nobody"})
        end_turn(stage.node)
        assert [len(encoding.made) for encoding in encodings] == [3, 3, 3]
        assert [guest.contents() for guest in guests[1:]] == [[1, 2, 3, 4]] * (CROWD + 3)


async def test_an_encoding_that_fails_leaves_the_crowd_in_order(caplog: pytest.LogCaptureFixture):
    class Broken(TextEncoding):
        is_broken = True

        def publications(self, publications: Any) -> Any:
            if self.is_broken:
                raise ValueError("cannot be written")
            return super().publications(publications)

    async with stage_of() as stage:
        guests = await gathered(stage, CROWD)
        stage.encoding = broken = Broken(PlainJSON())
        ada = await stage.enter("ada")
        await ada.join("a")
        with caplog.at_level(logging.ERROR):
            stage.publish(ROOM, 1)
            end_turn(stage.node)
        assert "cannot be written" in caplog.text
        broken.is_broken = False
        stage.publish(ROOM, 2)
        assert ada.contents() == [2]
        assert [guest.contents() for guest in guests] == [[1, 2]] * CROWD


MOVES = ["join", "join", "leave", "stall", "take", "take_some", "typing", "ping", "end"]
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("say"), st.integers(0, 6)),
        st.tuples(st.just("say"), st.integers(0, 6)),
        st.tuples(st.sampled_from(MOVES), st.integers(0, 4)),
        st.tuples(st.sampled_from(["turn", "loop", "hold", "release", "lose"]), st.integers(0, 3)),
    ),
    max_size=50,
)


@settings(max_examples=400, deadline=None)
@given(STEPS, st.sampled_from([2, 4, 100]), st.booleans())
async def test_whatever_the_order_nobody_misses_anything_or_gets_it_twice(steps, crowd, gathering):
    """Five sessions and any number of turns, in rooms that grow to crowds and shrink again."""
    with mock.patch.object(audience, "CROWD", crowd):
        async with Stage(quiet(overflow_bytes=10**9), gathering=gathering) as stage:
            play = Play(stage, [await stage.enter(f"u{number}") for number in range(5)])
            for step, value in steps:
                await play.step(step, value)
            await play.end()


class Play:
    """What the guests are made to do, what was said, and what each of them must have been told."""

    def __init__(self, stage: Stage, guests: list[Guest]) -> None:
        self.stage = stage
        self.guests = guests
        self.gone: set[Guest] = set()
        self.epochs: list[str] = []
        self.said: dict[str, list[frozenset[str]]] = {}
        """By epoch, who did not get each publication."""
        self.calls: list[Any] = []
        self.has_lost = False
        self.asked: dict[int, dict[str, Any]] = {}
        """By the `ref` of a join, where the guest said that it stands."""

    async def step(self, step: str, value: int) -> None:
        match step:
            case "say":
                await self.say(value)
            case "turn":
                self.stage.node.turn.end()
            case "loop":
                await turns(value + 1)
            case "hold":
                self.stage.broker.hold("read", when="before" if value % 2 else "after")
            case "release":
                self.release(value)
            case "lose":
                self.has_lost = True
                await self.stage.broker.lose_streams()
            case _:
                if self.guests[value] not in self.gone:
                    self.move(step, self.guests[value])

    async def say(self, value: int) -> None:
        exclude = {f"u{value}"} if value < 5 else set()
        publishing = self.stage.node.publisher.publish(ROOM, "message", {"content": "x"}, exclude=exclude)
        position = await publishing
        said = self.said.setdefault(position.epoch, [])
        said.append(frozenset(exclude))
        assert len(said) == position.offset

    def release(self, value: int) -> None:
        self.stage.broker.let("read")
        while not self.stage.broker._calls.empty():
            self.calls.append(self.stage.broker._calls.get_nowait())
        if self.calls:
            self.calls.pop(value % len(self.calls)).release()

    def move(self, step: str, guest: Guest) -> None:
        match step:
            case "join" | "leave" | "typing" | "ping":
                if not guest.session.slow and not self.is_asking(guest):
                    self.ask(step, guest)
            case "stall":
                guest.outlet.stall()
            case "take":
                guest.outlet.take()
            case "take_some":
                guest.outlet.take(2)
            case "end":
                self.gone.add(guest)
                self.stage.node.end(guest.session, clean=True)

    def ask(self, step: str, guest: Guest) -> None:
        if step == "ping":
            guest.begin("ping")
            return
        fields: dict[str, Any] = {"room_id": "a"}
        if step == "join":
            fields |= self.place_of(guest)
            fields["ref"] = len(self.asked)
            self.asked[len(self.asked)] = fields.get("since", {})
        guest.begin({"join": "join_room", "leave": "leave_room"}.get(step, step), **fields)

    def is_asking(self, guest: Guest) -> bool:
        subscription = guest.session.subscriptions.get(ROOM)
        return subscription is not None and subscription.held is not None

    def place_of(self, guest: Guest) -> dict[str, Any]:
        """Where the guest stands by what it was told."""
        place = None
        for message in guest.outlet.sent:
            match message["type"]:
                case "joined" | "reset":
                    place = {"epoch": message["epoch"], "offset": message["offset"]}
                case "message":
                    place = {**(place or {}), "offset": message["offset"]}
                case "left":
                    place = None
        return {} if place is None else {"since": place}

    async def end(self) -> None:
        self.stage.broker.let("read")
        for _ in range(3):
            for guest in self.guests:
                guest.outlet.take()
            while not self.stage.broker._calls.empty():
                self.calls.append(self.stage.broker._calls.get_nowait())
            for call in self.calls:
                call.release()
            await turns()
            await self.stage.settle()
            end_turn(self.stage.node)
        for guest in self.guests:
            if self.has_lost and guest.outlet.closed_with is not None:
                assert guest.outlet.closed_with[0] == 4008  # slow, and its stream is gone
                self.gone.add(guest)
            if guest not in self.gone:
                assert not guest.session.slow
                assert guest.outlet.closed_with is None
            self.check(guest, is_gone=guest in self.gone)
        assert self.stage.node.turn._outlets == []

    def next_for(self, user: str, epoch: str, offset: int) -> int | None:
        """Return the next offset that a user gets."""
        said = self.said.get(epoch, [])
        return next(
            (number for number in range(offset + 1, len(said) + 1) if user not in said[number - 1]), None
        )

    def check(self, guest: Guest, *, is_gone: bool) -> None:
        user, sent = guest.session.user_id, guest.outlet.sent
        epoch, place = "", None
        for index, message in enumerate(sent):
            match message["type"]:
                case "joined":
                    if message.get("recovered"):
                        # What it knew when it asked: more may have been on its way.
                        ref = next(each["ref"] for each in sent[index:] if each["type"] == "ack")
                        place = self.asked[ref]["offset"]
                        assert message["epoch"] == self.asked[ref]["epoch"]
                        for missed in message["messages"]:
                            assert missed["offset"] == self.next_for(user, epoch, place), sent
                            place = missed["offset"]
                        assert (self.next_for(user, epoch, place) or message["offset"] + 1) > message[
                            "offset"
                        ], sent
                    epoch, place = message["epoch"], message["offset"]
                case "reset":
                    assert message["epoch"] != epoch or place == 0, sent
                    epoch, place = message["epoch"], message["offset"]
                case "message":
                    assert place is not None, sent
                    assert message["offset"] == self.next_for(user, epoch, place), sent
                    place = message["offset"]
                case "left":
                    place = None
                case "typing":
                    assert place is not None, sent
                    assert message["user_id"] != user
                case kind:
                    assert kind in {"welcome", "error", "pong", "ack"}, message
        if place is not None and not is_gone and epoch == list(self.said or {epoch: 0})[-1]:
            assert self.next_for(user, epoch, place) is None, sent


async def test_the_play_notices_what_is_missing():
    # The check itself: a publication that a receiver was not given.
    async with stage_of() as stage:
        play = Play(stage, [await stage.enter(f"u{number}") for number in range(5)])
        await play.step("join", 0)
        await play.step("say", 6)
        await play.step("say", 6)
        end_turn(stage.node)
        play.check(play.guests[0], is_gone=False)
        ada = play.guests[0]
        ada.outlet.sent.remove(one(ada.outlet.sent[-1:], "message"))
        with pytest.raises(AssertionError):
            play.check(ada, is_gone=False)
        ada.outlet.sent.append({**ada.outlet.sent[-1], "offset": 1})
        with pytest.raises(AssertionError):
            play.check(ada, is_gone=False)
