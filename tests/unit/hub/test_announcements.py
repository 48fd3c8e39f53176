"""Comings and goings, gathered: each told once or cancelled out, with the right count, in each user's order."""

import asyncio
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from stage import turns

from hubbub.brokers.memory_presence import MemoryPresence
from hubbub.hub.announcements import CROWD, Announcer
from hubbub.hub.background import Background
from hubbub.hub.namespaces import Namespace, Namespaces
from hubbub.hub.presence import Change
from hubbub.hub.publications import Draft, Kind
from hubbub.hub.receipts import Receipts
from hubbub.hub.wheel import Wheel
from hubbub.testing import FakeClock
from hubbub.types import UserId

JOIN, LEAVE = Kind.JOIN, Kind.LEAVE


class Room:
    """Channels whose members come and go, and what an announcer tells of them."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.wheel = Wheel(self.clock)
        self.background = Background()
        self.told: list[tuple[str, str, int]] = []
        self.drafts: list[Draft] = []
        self.slow: asyncio.Event | None = None
        self.users: dict[str, set[str]] = {}
        namespaces = Namespaces(
            [Namespace("room", presence=True), Namespace("quiet", presence=True, join_leave=False)]
        )
        store = MemoryPresence(self.clock)
        self.announcer = Announcer(
            store,
            Receipts(store, self.clock, self.background),
            self,  # type: ignore[arg-type]
            namespaces,
            self.clock,
            self.wheel,
            self.background,
        )

    async def put(self, namespace: Namespace, draft: Draft) -> None:
        if self.slow is not None:
            await self.slow.wait()
        self.drafts.append(draft)
        assert draft.sender is not None
        assert draft.exclude == {draft.sender}
        self.told.append((draft.event, draft.sender, int(draft.data)))

    async def join(self, user: str, channel: str = "room:a") -> None:
        await self._step(user, channel, JOIN)

    async def leave(self, user: str, channel: str = "room:a") -> None:
        await self._step(user, channel, LEAVE)

    async def _step(self, user: str, channel: str, kind: Kind) -> None:
        users = self.users.setdefault(channel, set())
        (users.add if kind is JOIN else users.discard)(user)
        await self.announcer.announce(Change(channel, UserId(user), True, len(users)), kind)

    async def pass_time(self, seconds: float) -> list[tuple[str, str, int]]:
        """Let time pass, slot by slot, and return what was told in it."""
        self.told.clear()
        for _ in range(round(seconds * 10)):
            self.clock.advance(0.1)
            self.wheel.turn()
            if self.slow is None:
                await self.background.settle()
        return list(self.told)


async def test_the_first_is_told_at_once_and_those_that_follow_together():
    room = Room()
    room.users["room:a"] = {"zoe"}
    await room.join("ada")
    assert room.told == [("join", "ada", 2)]
    await room.join("bob")
    await room.join("eve")
    assert len(room.told) == 1
    assert await room.pass_time(0.3) == [("join", "bob", 4), ("join", "eve", 4)]
    await room.join("joe")
    assert await room.pass_time(0.3) == [("join", "joe", 5)]
    assert await room.pass_time(0.3) == []
    await room.join("sue")
    assert room.told == [("join", "sue", 6)]


async def test_who_is_alone_is_told_of_the_next_at_once():
    room = Room()
    await room.join("ada")
    assert len(room.announcer) == 0
    await room.join("bob")
    assert room.told == [("join", "ada", 1), ("join", "bob", 2)]
    await room.pass_time(1)
    await room.leave("ada")
    await room.leave("bob")
    assert await room.pass_time(1) == [("leave", "bob", 0)]
    room.told.clear()
    await room.join("eve")
    await room.leave("eve")
    await room.join("joe")
    assert room.told == [("join", "eve", 1), ("leave", "eve", 0), ("join", "joe", 1)]
    assert len(room.announcer) == 0


async def test_they_wait_for_no_longer_than_the_window_and_a_slot():
    room = Room()
    room.users["room:a"] = {"eve"}
    await room.join("ada")
    await room.join("bob")
    assert await room.pass_time(0.2) == [("join", "bob", 3)]
    assert room.drafts[1].time - room.drafts[0].time <= 0.2001


async def test_who_comes_and_goes_within_a_window_was_never_there():
    room = Room()
    for user in ("zoe", "ada", "bob", "eve"):
        await room.join(user)
    await room.leave("bob")
    assert await room.pass_time(0.3) == [("join", "eve", 3)]
    await room.pass_time(1)
    await room.join("joe")  # opens a window
    room.told.clear()
    await room.leave("ada")
    await room.join("ada")
    assert await room.pass_time(1) == []
    assert len(room.announcer) == 0


async def test_who_was_told_of_is_told_of_again():
    room = Room()
    await room.join("bob")
    await room.join("ada")
    await room.leave("ada")
    await room.join("ada")
    await room.leave("ada")
    assert await room.pass_time(0.5) == [("leave", "ada", 1)]


async def test_rooms_are_apart_and_quiet_ones_leave_nothing_behind():
    room = Room()
    for channel in ("room:a", "room:b", "quiet:c"):
        room.users[channel] = {"zoe"}
        await room.join("ada", channel)
        await room.join("bob", channel)
    assert len(room.announcer) == 2
    assert room.told == [("join", "ada", 2)] * 2
    assert await room.pass_time(1) == [("join", "bob", 3)] * 2
    assert (len(room.announcer), len(room.wheel), len(room.background)) == (0, 0, 0)


async def test_in_a_crowd_one_a_second_stands_for_all():
    room = Room()
    room.users["room:a"] = {f"user{number}" for number in range(CROWD)}
    await room.join("ada")
    assert room.told == [("join", "ada", 101)]
    for user in ("bob", "eve", "joe"):
        await room.join(user)
    assert await room.pass_time(0.9) == []
    await room.leave("bob")
    assert await room.pass_time(0.3) == [("leave", "bob", 103)]
    await room.join("zoe")
    assert await room.pass_time(1.2) == [("join", "zoe", 104)]
    assert await room.pass_time(2) == []
    assert len(room.announcer) == 0


async def test_the_hundredth_is_told_and_those_above_in_one():
    room = Room()
    room.users["room:a"] = {f"user{number}" for number in range(CROWD - 3)}
    for user in ("ada", "bob", "eve", "joe", "zoe"):
        await room.join(user)
    assert room.told == [("join", "ada", 98)]
    assert await room.pass_time(0.3) == [("join", "bob", 102), ("join", "eve", 102), ("join", "zoe", 102)]
    for user in ("zoe", "joe", "eve"):
        await room.leave(user)
    assert await room.pass_time(1.2) == [
        ("leave", "joe", 99),
        ("leave", "eve", 99),
        ("leave", "zoe", 99),
    ]


async def test_the_last_word_about_a_user_is_what_is_told_when_a_crowd_shrinks():
    room = Room()
    room.users["room:a"] = {f"user{number}" for number in range(CROWD - 1)}
    await room.join("ada")
    await room.join("bob")
    await room.leave("bob")
    assert await room.pass_time(1.2) == [("leave", "bob", 100)]
    assert await room.pass_time(1.2) == []


async def test_a_slow_broker_has_one_announcement_of_a_channel_at_a_time():
    room = Room()
    room.slow = asyncio.Event()
    first = asyncio.ensure_future(room.join("ada"))
    await turns(2)
    await room.leave("ada")
    await room.join("bob")
    await room.pass_time(5)
    assert (room.told, len(room.background)) == ([], 0)
    room.slow.set()
    await first
    assert room.told == [("join", "ada", 1)]
    room.slow = None
    assert await room.pass_time(0.3) == [("leave", "ada", 1), ("join", "bob", 1)]


async def test_one_that_fails_does_not_silence_the_channel():
    room = Room()
    put = room.put

    async def broken(namespace: Namespace, draft: Draft) -> None:
        raise ValueError("of the broker")

    for user in ("zoe", "ada", "bob"):
        await room.join(user)
    room.put = broken  # type: ignore[method-assign]
    await room.pass_time(0.3)
    room.put = put  # type: ignore[method-assign]
    await room.join("eve")
    assert await room.pass_time(0.3) == [("join", "eve", 4)]


STEPS = st.lists(st.tuples(st.integers(0, 7), st.sampled_from([0.0, 0.0, 0.0, 0.1, 0.5])), max_size=80)


@settings(deadline=None, max_examples=200)
@given(STEPS, st.sampled_from([0, CROWD - 4, CROWD]))
@example([(each, 0.0) for each in (2, 2, 0, 0, 0, 2)], CROWD)
def test_whoever_listens_knows_in_the_end_who_is_there(steps: Any, others: int):
    async def run() -> None:
        room = Room()
        users = room.users["room:a"] = {f"other{number}" for number in range(others)}
        knows: set[str] = set()
        heard = 0
        for number, seconds in steps:
            user = f"user{number}"
            await (room.leave if user in users else room.join)(user)
            await room.pass_time(seconds)
        await room.pass_time(3)
        for draft in room.drafts:
            heard = int(draft.data)
            user = str(draft.sender)
            if not others:  # up to a hundred each is told once: nobody comes twice, or goes before coming
                assert (user in knows) == (draft.kind is LEAVE)
            (knows.add if draft.kind is JOIN else knows.discard)(user)
        assert heard == len(users) or not steps
        if not others:
            assert knows == users
        assert (len(room.announcer), len(room.wheel), len(room.background)) == (0, 0, 0)

    asyncio.run(run())
