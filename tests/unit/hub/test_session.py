"""A session by itself: its pace, its end, and its id."""

import uuid

import pytest
from stage import Stage, quiet, types

from hubbub.exceptions import LimitExceeded


async def test_ids_are_new_every_time():
    async with Stage() as stage:
        sessions = [stage.guest("ada").session for _ in range(100)]
        assert len({session.id for session in sessions}) == 100
        assert all(uuid.UUID(session.id).version == 7 for session in sessions)


async def test_pausing_and_resuming_is_told_once():
    told: list[str] = []

    class Owner:
        def paused(self, session) -> None:
            told.append("paused")

        def resumed(self, session) -> None:
            told.append("resumed")

    async with Stage() as stage:
        guest = stage.guest("ada")
        session = guest.session
        session.owner = Owner()
        session.resume()
        assert told == []
        for _ in range(2):
            session.pause()
        assert (session.slow, session.congested, session.is_writable()) == (True, True, False)
        session.resume()
        assert (session.slow, session.congested, session.is_writable()) == (True, False, True)
        session.pause()
        assert told == ["paused", "resumed"]
        session.detach()
        session.resume()
        session.pause()
        assert told == ["paused", "resumed"]
        assert not session.is_writable()


async def test_the_number_of_subscriptions_is_bounded():
    async with Stage() as stage:
        session = (await stage.enter("ada")).session
        session.check_subscriptions(0, 0)
        session.check_subscriptions(2, 0)
        session.check_subscriptions(1, 1)
        with pytest.raises(LimitExceeded, match="on 1 channels"):
            session.check_subscriptions(1, 0)


async def test_a_session_that_is_detached_receives_nothing_and_has_no_timers():
    async with Stage(quiet()) as stage:
        timers = len(stage.node.wheel)
        ada = await stage.enter("ada", expires_at=stage.clock.time() + 60)
        await ada.join("a")
        ada.session.detach()
        assert len(stage.node.wheel) == timers
        await stage.say("room:a", "one")
        await stage.node.publisher.broadcast("news", 1)
        assert types(ada.news()) == []
        await ada.leave()
