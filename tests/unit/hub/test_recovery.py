"""Recovery: values first, then a client that goes and comes back, held against what the contract says."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stage import Stage, quiet

from hubbub.hub.broker import Reading
from hubbub.hub.namespaces import NO_HISTORY, History
from hubbub.hub.publications import Draft, Position, Publication
from hubbub.hub.recovery import newest_within, recovered, visible
from hubbub.types import Epoch, UserId

HERE = Position(Epoch("e"), 3)


def publications(*sizes: int, exclude: str = "") -> list[Publication]:
    return [
        Publication.placed(
            Draft("room:a", "m", b"x" * size, str(number), 0.0, exclude=frozenset(map(UserId, exclude))),
            Epoch("e"),
            number,
        )
        for number, size in enumerate(sizes, 1)
    ]


def test_recovered_is_said_only_to_who_asked():
    assert recovered(Reading(HERE), None) is None
    assert recovered(Reading(HERE), HERE) is True
    assert recovered(Reading(HERE, whole=False), HERE) is False


def test_what_excludes_a_user_is_left_out():
    mine, hidden = publications(1), publications(1, exclude="a")
    assert visible((*mine, *hidden), UserId("a")) == tuple(mine)
    assert visible((*mine, *hidden), UserId("b")) == (*mine, *hidden)


@pytest.mark.parametrize(
    ("sizes", "bound", "dropped"),
    [
        ([], 10, 0),
        ([5, 5], 10, 0),
        ([5, 5, 1], 10, 1),
        ([5, 6], 10, 1),
        ([1, 1, 99], 10, 2),
        ([99], 10, 0),
        ([99, 1], 10, 1),
        ([0, 0, 10], 10, 0),
    ],
)
def test_the_newest_that_fit_and_always_the_newest(sizes, bound, dropped):
    assert newest_within(publications(*sizes), bound) == dropped


@settings(deadline=None)
@given(st.lists(st.integers(0, 50), max_size=20), st.integers(0, 200))
def test_as_many_of_the_newest_as_fit(sizes, bound):
    dropped = newest_within(publications(*sizes), bound)
    assert 0 <= dropped < max(len(sizes), 1)
    assert sum(sizes[dropped:]) <= bound or dropped == len(sizes) - 1
    if dropped:
        assert sum(sizes[dropped - 1 :]) > bound


@dataclass
class Stream:
    """What the contract says a stream is: everything ever said, and how much of it is still kept."""

    epoch: str
    said: list[tuple[str, str, float, frozenset[str]]] = field(default_factory=list)
    trimmed: int = 0

    def trim(self, now: float, size: int, ttl: float) -> None:
        while len(self.said) - self.trimmed > size or (
            self.trimmed < len(self.said) and self.said[self.trimmed][2] <= now - ttl
        ):
            self.trimmed += 1

    def is_whole(self, since: dict) -> bool:
        offset = since["offset"]
        if since["epoch"] != self.epoch or not self.trimmed <= offset <= len(self.said):
            return False
        return "id" not in since or (offset > 0 and since["id"] == self.said[offset - 1][0])

    def after(self, offset: int, user: str) -> list[tuple[int, str]]:
        return [
            (number, text)
            for number, (_, text, _, exclude) in enumerate(self.said, 1)
            if number > offset and user not in exclude
        ]


@dataclass
class Reader:
    """A client as the documentation tells one to be: it keeps the epoch, and the last offset and id it saw."""

    guest: object = None
    epoch: str = ""
    offset: int = 0
    id: str | None = None
    unread_from: int = 0


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("say"), st.sets(st.sampled_from(["ada", "bob"]))),
        st.tuples(st.just("say"), st.sets(st.sampled_from(["ada", "bob"]))),
        st.tuples(st.just("wait"), st.integers(1, 12)),
        st.tuples(st.just("join"), st.sampled_from(["ada", "bob"])),
        st.tuples(st.just("cut"), st.sampled_from(["ada", "bob"])),
        st.tuples(st.just("lose"), st.none()),
        st.tuples(
            st.just("join_at"),
            st.tuples(st.integers(0, 12), st.sampled_from(["", "right", "wrong", "missing"])),
        ),
    ),
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@given(STEPS)
async def test_recovered_if_and_only_if_nothing_is_missing_and_then_nothing_is(steps):
    size, ttl = 4, 20.0
    async with Stage(quiet(history=History(size, timedelta(seconds=ttl)))) as stage:
        stream = Stream((await stage.broker.read("room:a")).top.epoch)
        readers = {"ada": Reader(), "bob": Reader()}
        for step, value in steps:
            stream.trim(stage.clock.time(), size, ttl)
            match step:
                case "say":
                    text = f"text {len(stream.said) + 1}"
                    position = await stage.say("room:a", text, exclude=value)
                    assert (position.epoch, position.offset) == (stream.epoch, len(stream.said) + 1)
                    stream.said.append((position.id, text, stage.clock.time(), frozenset(value)))
                case "wait":
                    stage.clock.advance(value)
                case "lose":
                    for user, reader in readers.items():
                        check_live(stream, user, reader)
                        await hang_up(reader)
                    await stage.broker.lose_streams()
                    stream = Stream((await stage.broker.read("room:a")).top.epoch)
                case "cut" if readers[value].guest is not None:
                    check_live(stream, value, readers[value])
                    await hang_up(readers[value])
                case "join" if readers[value].guest is None:
                    await come_back(stage, stream, value, readers[value])
                case "join_at":
                    await look_from(stage, stream, *value)
        for user, reader in readers.items():
            check_live(stream, user, reader)


async def come_back(stage: Stage, stream: Stream, user: str, reader: Reader) -> None:
    since = {"epoch": reader.epoch, "offset": reader.offset}
    if reader.id is not None:
        since["id"] = reader.id
    reader.guest = guest = await stage.enter(user)
    joined = await guest.join("a", **({"since": since} if reader.epoch else {}))
    assert (joined["epoch"], joined["offset"]) == (stream.epoch, len(stream.said))
    if not reader.epoch:
        assert "recovered" not in joined
        assert joined["messages"] == []
    elif stream.is_whole(since):
        assert joined["recovered"] is True
        assert contents(joined["messages"]) == stream.after(reader.offset, user)
    else:
        assert joined["recovered"] is False
        assert joined["messages"] == []
    reader.epoch, reader.offset, reader.id = joined["epoch"], joined["offset"], joined.get("id")
    reader.unread_from = reader.offset


async def look_from(stage: Stage, stream: Stream, offset: int, which: str) -> None:
    since = {"epoch": stream.epoch, "offset": offset}
    if which == "wrong":
        since["id"] = "01890000-0000-7000-8000-000000000000"
    elif which == "missing":
        since["epoch"] = "of another life"
    elif which == "right" and 0 < offset <= len(stream.said):
        since["id"] = stream.said[offset - 1][0]
    guest = await stage.enter("eve")
    joined = await guest.join("a", since=since)
    assert joined["recovered"] is stream.is_whole(since), since
    assert contents(joined["messages"]) == (stream.after(offset, "eve") if joined["recovered"] else [])
    await guest.leave()


def check_live(stream: Stream, user: str, reader: Reader) -> None:
    """What came since `joined` is all that was said since."""
    if reader.guest is None:
        return
    news = reader.guest.news()
    assert contents(news) == stream.after(reader.unread_from, user)
    if news:
        # What was said for others lies behind the last one seen; it counts as unseen, and is asked for again.
        reader.offset, reader.id = news[-1]["offset"], news[-1]["id"]
        reader.unread_from = len(stream.said)


async def hang_up(reader: Reader) -> None:
    if reader.guest is not None:
        await reader.guest.leave(clean=False)
        reader.guest = None


def contents(messages: Sequence[dict]) -> list[tuple[int, str]]:
    return [(message["offset"], message["content"]) for message in messages]


async def test_where_nothing_is_kept_whoever_asks_is_told_plainly():
    async with Stage(quiet(history=NO_HISTORY)) as stage:
        ada = await stage.enter("ada")
        first = await ada.join("a")
        assert "recovered" not in first
        again = await ada.join("a", since={"epoch": first["epoch"], "offset": first["offset"]})
        assert (again["recovered"], again["messages"]) == (False, [])
        await stage.say("room:a", "one")
        assert [(each["content"], "offset" in each) for each in ada.news()] == [("one", False)]


async def test_recovery_may_be_off_where_history_is_kept():
    async with Stage(quiet(recovery=False)) as stage:
        ada = await stage.enter("ada")
        await stage.say("room:a", "one")
        joined = await ada.join("a", since={"epoch": "e", "offset": 0})
        assert (joined["recovered"], joined["messages"], joined["offset"]) == (False, [], 1)


async def test_a_position_of_a_channel_that_nothing_was_said_in():
    async with Stage(quiet()) as stage:
        ada = await stage.enter("ada")
        start = await ada.join("a")
        await ada.leave()
        await stage.say("room:a", "one")
        ada = await stage.enter("ada")
        joined = await ada.join("a", since={"epoch": start["epoch"], "offset": start["offset"]})
        assert joined["recovered"] is True
        assert contents(joined["messages"]) == [(1, "one")]
