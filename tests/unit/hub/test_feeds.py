"""Which channels a node listens to, while sessions come and go faster than the broker answers."""

import asyncio
import logging

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stage import Stage, quiet, turns, types

ROOM = "room:a"


def changes(stage: Stage) -> list[str]:
    return [
        method for method, channel in stage.broker.calls if channel == ROOM and method.endswith("subscribe")
    ]


async def test_one_subscription_of_the_broker_for_all_sessions():
    async with Stage(quiet()) as stage:
        guests = [await stage.enter(name) for name in ("ada", "bob", "eve")]
        for guest in guests:
            await guest.join("a")
        assert changes(stage) == ["subscribe"]
        for guest in guests[:2]:
            await guest.ask("leave_room", room_id="a")
        await stage.settle()
        assert changes(stage) == ["subscribe"]
        await guests[2].leave()
        assert changes(stage) == ["subscribe", "unsubscribe"]


async def test_two_who_come_at_once_share_the_subscribe():
    async with Stage(quiet()) as stage:
        ada, bob = await stage.enter("ada"), await stage.enter("bob")
        stage.broker.hold("subscribe")
        both = [stage.start(guest.join("a")) for guest in (ada, bob)]
        call = await stage.broker.held()
        await turns()
        assert ada.news() == bob.news() == []
        call.release()
        await asyncio.gather(*both)
        assert changes(stage) == ["subscribe"]
        await stage.say(ROOM, "one")
        assert (ada.contents(), bob.contents()) == (["one"], ["one"])


async def test_a_subscribe_does_not_overtake_an_unsubscribe():
    async with Stage(quiet()) as stage:
        ada = await stage.enter("ada")
        await ada.join("a")
        stage.broker.hold("unsubscribe")
        await ada.ask("leave_room", room_id="a")
        call = await stage.broker.held()
        joining = stage.start(ada.join("a"))
        await turns()
        assert changes(stage) == ["subscribe", "unsubscribe"]
        call.release()
        await joining
        assert changes(stage) == ["subscribe", "unsubscribe", "subscribe"]
        await stage.say(ROOM, "one")
        assert ada.contents() == ["one"]


async def test_who_comes_back_before_the_unsubscribe_began_keeps_the_subscription():
    async with Stage(quiet()) as stage:
        ada = await stage.enter("ada")
        await ada.join("a")
        await ada.ask("leave_room", room_id="a")
        await ada.join("a")
        await stage.settle()
        assert changes(stage) == ["subscribe"]
        await stage.say(ROOM, "one")
        assert ada.contents() == ["one"]


async def test_leaving_twice_in_one_breath_retires_the_feed_once(caplog: pytest.LogCaptureFixture):
    async with Stage(quiet()) as stage:
        ada = await stage.enter("ada")
        with caplog.at_level(logging.WARNING):
            for _ in range(3):
                await ada.join("a")
                await ada.ask("leave_room", room_id="a")
            await stage.settle()
        assert caplog.records == []
        assert ROOM not in stage.node.feeds._feeds
        assert ROOM not in stage.node.feeds._changing
        assert changes(stage) == ["subscribe", "unsubscribe"]


async def test_a_subscribe_that_fails_is_told_and_tried_again_by_the_next():
    async with Stage(quiet()) as stage:
        ada = await stage.enter("ada")
        stage.broker.hold("subscribe", when="after")
        joining = stage.start(ada.ask("join_room", room_id="a", ref=1))
        (await stage.broker.held()).fail(ConnectionError("no broker"))
        stage.broker.let("subscribe")
        error = (await joining)[0]
        assert (error["type"], error["code"], error["ref"]) == ("error", "internal", 1)
        assert ROOM not in ada.session.subscriptions
        await stage.settle()
        await ada.join("a")
        await stage.say(ROOM, "one")
        assert ada.contents() == ["one"]


async def test_an_unsubscribe_that_fails_does_not_make_the_channel_deaf(caplog: pytest.LogCaptureFixture):
    async with Stage(quiet()) as stage:
        ada = await stage.enter("ada")
        await ada.join("a")
        stage.broker.hold("unsubscribe", when="after")
        await ada.ask("leave_room", room_id="a")
        (await stage.broker.held()).fail(ConnectionError("no broker"))
        stage.broker.let("unsubscribe")
        with caplog.at_level(logging.ERROR):
            await stage.settle()
        assert "A background task failed" in caplog.text
        await ada.join("a")
        await stage.say(ROOM, "one")
        assert ada.contents() == ["one"]
        await ada.leave()
        assert ROOM not in stage.node.feeds._feeds


async def test_what_comes_for_a_channel_nobody_is_on_is_dropped():
    async with Stage(quiet()) as stage:
        ada = await stage.enter("ada")
        await ada.join("a")
        stage.broker.hold_deliveries()
        await stage.say(ROOM, "late")
        await ada.ask("leave_room", room_id="a")
        await stage.settle()
        stage.broker.deliver()
        assert types(ada.news()) == []
        assert set(stage.node.feeds._feeds) == {"user:ada"}


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(["join", "leave", "release", "turn"]), max_size=40))
async def test_after_any_coming_and_going_whoever_is_on_it_hears(steps):
    async with Stage(quiet()) as stage:
        ada = await stage.enter("ada")
        asking = None
        waiting = []
        stage.broker.hold("subscribe")
        stage.broker.hold("unsubscribe", when="after")
        for step in steps:
            while not stage.broker._calls.empty():
                waiting.append(stage.broker._calls.get_nowait())
            match step:
                case "join" | "leave" if asking is None or asking.done():
                    asking = stage.start(ada.ask(f"{step}_room", room_id="a"))
                case "release" if waiting:
                    waiting.pop(0).release()
                case _:
                    await turns(3)
        for method in ("subscribe", "unsubscribe"):
            stage.broker.let(method)
        while waiting or not stage.broker._calls.empty() or (asking is not None and not asking.done()):
            while not stage.broker._calls.empty():
                waiting.append(stage.broker._calls.get_nowait())
            while waiting:
                waiting.pop().release()
            await turns()
        await stage.settle()
        ada.news()
        await stage.say(ROOM, "one")
        is_on = ROOM in ada.session.subscriptions
        assert ada.contents() == (["one"] if is_on else [])
        assert (ROOM in stage.broker._subscribed) == is_on
        assert set(stage.node.feeds._feeds) == {"user:ada"} | ({ROOM} if is_on else set())
