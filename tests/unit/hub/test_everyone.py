"""Broadcasts: everybody of this node gets them, nobody has to subscribe, and nothing of them is kept."""

import logging
from typing import Any

import pytest
from stage import Guest, Stage, quiet, types

from hubbub.codes import CloseCode
from hubbub.dialects.plain import PlainJSON
from hubbub.endpoints.queued import TextEncoding
from hubbub.hub.audience import CROWD
from hubbub.hub.channels import EVERYONE
from hubbub.hub.publications import Draft, Kind, Publication
from hubbub.types import Epoch


async def broadcast(stage: Stage, *numbers: int, **options: Any) -> None:
    for number in numbers:
        await stage.node.publisher.broadcast("news", number, **options)


def data(guest: Guest) -> list[Any]:
    return [message["data"] for message in guest.news() if message["type"] == "broadcast"]


async def test_everybody_gets_it_and_nobody_is_subscribed():
    async with Stage() as stage:
        guests = [await stage.enter(name) for name in ("ada", "ada", "bob", "")]
        await broadcast(stage, 1, 2)
        assert [data(guest) for guest in guests] == [[1, 2]] * 4
        assert all(EVERYONE not in guest.session.subscriptions for guest in guests)
        assert EVERYONE not in stage.node.feeds._feeds
        assert stage.broker.calls.count(("subscribe", EVERYONE)) == 1
        assert (stage.node.statistics.publications, stage.node.statistics.deliveries) == (2, 8)


async def test_it_leaves_at_the_end_of_the_turn():
    async with Stage() as stage:
        ada = await stage.enter("ada")
        await broadcast(stage, 1, 2)
        assert types(ada.outlet.sent) == ["welcome"]
        stage.node.turn.end()
        assert data(ada) == [1, 2]
        stage.node.turn.end()
        assert data(ada) == []


async def test_who_is_excluded_does_not_get_it():
    async with Stage() as stage:
        ada, bob, visitor = [await stage.enter(name) for name in ("ada", "bob", "")]
        await broadcast(stage, 1, exclude={"ada"})
        await broadcast(stage, 2)
        await broadcast(stage, 3, exclude={"bob", ""})
        assert (data(ada), data(bob), data(visitor)) == ([2, 3], [1, 2], [1, 2])


async def test_a_slow_session_goes_without_and_that_is_counted():
    async with Stage(quiet()) as stage:
        ada, bob = await stage.enter("ada"), await stage.enter("bob")
        await ada.join("a")
        ada.outlet.stall()
        for content in ("pauses her", "is missed"):
            await stage.say("room:a", content)
        await broadcast(stage, 1, 2)
        assert data(bob) == [1, 2]
        assert stage.node.statistics.gaps == {"not_kept": 2}
        stage.broker.hold("read")
        ada.outlet.take()
        read = await stage.broker.held()
        await broadcast(stage, 3)  # while she is brought up to date
        read.release()
        await stage.settle()
        await broadcast(stage, 4)
        assert data(ada) == [4]


async def test_one_that_becomes_slow_in_the_middle_goes_without_the_rest():
    async with Stage() as stage:
        ada = await stage.enter("ada")
        ada.outlet.stall()
        await broadcast(stage, 1, 2, 3)
        stage.node.turn.end()
        assert stage.node.statistics.gaps == {"not_kept": 2}
        ada.outlet.take()
        await stage.settle()
        assert data(ada) == [1]


async def test_a_closed_one_gets_nothing_more():
    async with Stage() as stage:
        ada, bob = await stage.enter("ada"), await stage.enter("bob")
        await broadcast(stage, 1)
        stage.node.connections.close(ada.session, CloseCode.REVOKED, "out")
        await broadcast(stage, 2)
        assert (data(ada), data(bob)) == ([], [1, 2])
        assert stage.node.statistics.deliveries == 2


async def test_a_crowd_gets_it_in_its_order_behind_what_was_sent_before():
    async with Stage(quiet()) as stage:
        guests = [await stage.enter(f"u{number}") for number in range(CROWD + 1)]
        for guest in guests:
            await guest.join("a")
        await stage.node.publisher.publish("room:a", "message", {"content": "before"})
        stage.node.turn.end()
        await broadcast(stage, 1)
        for guest in guests:
            assert types(guest.news()) == ["message", "broadcast"]


async def test_one_frame_for_all_who_share_an_encoding():
    class Counting(TextEncoding):
        made = 0

        def publications(self, publications: Any) -> Any:
            self.made += 1
            return super().publications(publications)

    async with Stage() as stage:
        encodings = [Counting(PlainJSON()), Counting(PlainJSON())]
        for number in range(6):
            stage.encoding = encodings[number % 2]
            await stage.enter(f"u{number}")
        await broadcast(stage, 1, 2)
        stage.node.turn.end()
        assert [encoding.made for encoding in encodings] == [2, 2]


async def test_one_that_cannot_be_encoded_harms_nothing_else(caplog: pytest.LogCaptureFixture):
    class Picky(TextEncoding):
        def publications(self, publications: Any) -> Any:
            if any(publication.data == b"2" for publication in publications):
                raise ValueError("cannot be written")
            return super().publications(publications)

    async with Stage(quiet()) as stage:
        stage.encoding = Picky(PlainJSON())
        ada = await stage.enter("ada")
        await ada.join("a")
        await broadcast(stage, 2)
        await stage.node.publisher.publish("room:a", "message", {"content": "hi"})
        with caplog.at_level(logging.ERROR):
            stage.node.turn.end()
            stage.node.turn.end()
        assert types(ada.news()) == ["message"]
        assert "cannot be written" in caplog.text
        await broadcast(stage, 3)
        assert data(ada) == [3]


async def test_what_comes_before_the_node_listens_is_dropped():
    stage = Stage()
    draft = Draft(EVERYONE, "news", b"1", "id", 0.0, Kind.BROADCAST)
    stage.node.feeds.receive(Publication.placed(draft, Epoch(""), 0))
    assert stage.node.statistics.publications == 0
