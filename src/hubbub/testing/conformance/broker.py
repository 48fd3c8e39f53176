"""What every broker promises (`hubbub.hub.broker.Broker`)."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

import msgspec

from hubbub.hub.broker import KEY_TTL, Broker, Retention
from hubbub.hub.ids import SecretIds
from hubbub.hub.publications import Draft, Kind, Position, Publication
from hubbub.testing.clock import FakeClock
from hubbub.types import Epoch, UserId

KEPT = Retention(100, 3600.0)
CHANNEL = "room:conformance"
DEADLINE = 5.0


class Arrivals:
    """Takes what a broker delivers, and waits for it."""

    def __init__(self) -> None:
        self.publications: list[Publication] = []
        self.interruptions: list[str] = []
        self.mended: list[str] = []
        self._changed = asyncio.Event()

    def receive(self, publication: Publication) -> None:
        """Take one."""
        self.publications.append(publication)
        self._changed.set()

    def interrupted(self, reason: str) -> None:
        """Count a break."""
        self.interruptions.append(reason)

    async def mend(self, channels: Collection[str]) -> None:
        """Count what was to be read."""
        self.mended += channels

    async def count(self, number: int) -> list[Publication]:
        """Wait until so many have arrived."""
        async with asyncio.timeout(DEADLINE):
            while len(self.publications) < number:
                self._changed.clear()
                await self._changed.wait()
        return self.publications


class BrokerSuite(ABC):
    """Tests for one implementation; nothing in them sleeps."""

    @abstractmethod
    def broker(self, clock: FakeClock) -> Broker:
        """Make a fresh broker whose retention goes by this clock."""

    async def pass_time(self, clock: FakeClock, seconds: float) -> None:
        """Let time pass; override where the server has a clock of its own."""
        clock.advance(seconds)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[tuple[Broker, Arrivals, FakeClock]]:
        """Enter a broker whose deliveries are taken."""
        clock, arrivals = FakeClock(), Arrivals()
        broker = self.broker(clock)
        broker.deliver_to(arrivals)
        async with broker:
            self.clock = clock
            yield broker, arrivals, clock

    async def say(
        self, broker: Broker, text: str, retention: Retention = KEPT, key: str | None = None
    ) -> Position:
        """Publish one message."""
        return await broker.publish(self.draft(text), retention, key)

    def draft(self, text: str, kind: Kind = Kind.MESSAGE, channel: str = CHANNEL) -> Draft:
        """Make one message."""
        data = f'{{"content":"{text}"}}'.encode()
        return Draft(
            channel,
            "message",
            data,
            SecretIds().new(),
            self.clock.time(),
            kind,
            UserId("ada"),
            frozenset({UserId("eve")}),
        )

    async def test_offsets_rise_by_one_in_one_epoch(self) -> None:
        """The first publication has offset 1; the epoch is never empty."""
        async with self.running() as (broker, _, _):
            positions = [await self.say(broker, str(number)) for number in range(3)]
            assert [position.offset for position in positions] == [1, 2, 3]
            assert len({position.epoch for position in positions}) == 1
            assert positions[0].epoch

    async def test_what_is_stored_is_delivered_whole_and_in_order(self) -> None:
        """Every field arrives, and history gives back the same values."""
        async with self.running() as (broker, arrivals, _):
            await broker.subscribe(CHANNEL)
            sent = [self.draft(str(number)) for number in range(20)]
            for draft in sent:
                await broker.publish(draft, KEPT)
            arrived = await arrivals.count(20)
            assert [(each.id, each.data, each.sender, each.exclude, each.time) for each in arrived] == [
                (each.id, each.data, each.sender, each.exclude, each.time) for each in sent
            ]
            assert [each.offset for each in arrived] == list(range(1, 21))
            reading = await broker.history(CHANNEL, limit=20)
            assert list(reading.publications) == arrived

    async def test_only_subscribed_channels_are_delivered(self) -> None:
        """Another channel, and this one after unsubscribing, stay silent."""
        async with self.running() as (broker, arrivals, _):
            await broker.subscribe(CHANNEL)
            await broker.subscribe(CHANNEL)
            await broker.publish(self.draft("elsewhere", channel="room:other"), KEPT)
            await self.say(broker, "here")
            assert [each.channel for each in await arrivals.count(1)] == [CHANNEL]
            await broker.unsubscribe(CHANNEL)
            await self.say(broker, "unheard")
            await broker.subscribe(CHANNEL)
            await self.say(broker, "heard")
            assert [each.value()["content"] for each in await arrivals.count(2)] == ["here", "heard"]

    async def test_ephemeral_publications_are_delivered_and_not_stored(self) -> None:
        """They have offset 0 and leave the stream as it was."""
        async with self.running() as (broker, arrivals, _):
            await broker.subscribe(CHANNEL)
            top = await self.say(broker, "stored")
            position = await broker.publish(self.draft("gone", Kind.EPHEMERAL), KEPT)
            assert position.offset == 0
            assert (await self.say(broker, "unkept", Retention(0, 0.0))).offset == 0
            assert [each.offset for each in await arrivals.count(3)] == [1, 0, 0]
            assert (await broker.read(CHANNEL)).top == top

    async def test_reading_since_a_position(self) -> None:
        """Everything after it, nothing else, and the top."""
        async with self.running() as (broker, _, _):
            positions = [await self.say(broker, str(number)) for number in range(5)]
            reading = await broker.read(CHANNEL, positions[1])
            assert reading.whole
            assert [each.offset for each in reading.publications] == [3, 4, 5]
            assert reading.top == positions[4]
            beginning = await broker.read(CHANNEL, Position(positions[0].epoch, 0))
            assert len(beginning.publications) == 5
            at_top = await broker.read(CHANNEL, positions[4])
            assert at_top.whole
            assert at_top.publications == ()

    async def test_a_position_that_cannot_be_continued_is_never_half_answered(self) -> None:
        """Another epoch, an offset above the top, or another id: not whole, and empty."""
        async with self.running() as (broker, _, _):
            positions = [await self.say(broker, str(number)) for number in range(3)]
            epoch = positions[0].epoch
            for since in (
                Position(Epoch("another"), 1),
                Position(epoch, 4),
                Position(epoch, 2, "another-id"),
                Position(epoch, 3, positions[1].id),
                Position(epoch, 0, positions[1].id),
            ):
                reading = await broker.read(CHANNEL, since)
                assert not reading.whole, since
                assert reading.publications == (), since
                assert reading.top == positions[2], since

    async def test_trimming_by_size(self) -> None:
        """Positions inside what is kept continue, the one just before it too; older ones do not."""
        async with self.running() as (broker, _, _):
            small = Retention(3, 3600.0)
            positions = [await self.say(broker, str(number), small) for number in range(6)]
            assert not (await broker.read(CHANNEL, positions[1])).whole
            edge = await broker.read(CHANNEL, positions[2])
            assert edge.whole
            assert [each.offset for each in edge.publications] == [4, 5, 6]
            wrong_id = Position(positions[2].epoch, 3, positions[1].id)
            assert not (await broker.read(CHANNEL, wrong_id)).whole
            assert edge.top == positions[5]

    async def test_trimming_by_age_keeps_epoch_and_top(self) -> None:
        """A reader at the top has lost nothing when everything aged away; one behind has."""
        async with self.running() as (broker, _, clock):
            brief = Retention(100, 10.0)
            first = await self.say(broker, "old", brief)
            second = await self.say(broker, "old too", brief)
            await self.pass_time(clock, 11.0)
            assert (await broker.read(CHANNEL, second)).whole
            assert not (await broker.read(CHANNEL, first)).whole
            assert (await broker.history(CHANNEL, limit=10)).publications == ()
            third = await self.say(broker, "new", brief)
            assert (third.epoch, third.offset) == (second.epoch, 3)
            reading = await broker.read(CHANNEL, second)
            assert reading.whole
            assert [each.offset for each in reading.publications] == [3]

    async def test_an_unknown_channel_has_a_position_that_continues(self) -> None:
        """Who subscribes before the first publication misses nothing of it."""
        async with self.running() as (broker, _, _):
            await broker.subscribe(CHANNEL)
            start = (await broker.read(CHANNEL)).top
            assert start.epoch
            await self.say(broker, "first")
            reading = await broker.read(CHANNEL, start)
            assert reading.whole
            assert [each.value()["content"] for each in reading.publications] == ["first"]

    async def test_history_pages_backwards(self) -> None:
        """The newest below `before`, ascending; nothing beyond the ends."""
        async with self.running() as (broker, _, _):
            for number in range(10):
                await self.say(broker, str(number))
            newest = await broker.history(CHANNEL, limit=3)
            assert [each.offset for each in newest.publications] == [8, 9, 10]
            older = await broker.history(CHANNEL, limit=3, before=8)
            assert [each.offset for each in older.publications] == [5, 6, 7]
            assert [
                each.offset for each in (await broker.history(CHANNEL, limit=5, before=3)).publications
            ] == [1, 2]
            assert (await broker.history(CHANNEL, limit=5, before=1)).publications == ()
            assert len((await broker.history(CHANNEL, limit=100, before=99)).publications) == 10
            assert (await broker.history("room:nothing", limit=5)).publications == ()

    async def test_an_idempotency_key_publishes_once_per_channel(self) -> None:
        """Repeats return the first position and deliver nothing; another channel's key is another key."""
        async with self.running() as (broker, arrivals, _):
            await broker.subscribe(CHANNEL)
            first = await self.say(broker, "once", key="k")
            assert await self.say(broker, "twice", key="k") == first
            other = await broker.publish(self.draft("other", channel="room:other"), KEPT, "k")
            assert other.id != first.id
            await self.say(broker, "end")
            assert [each.value()["content"] for each in await arrivals.count(2)] == ["once", "end"]

    async def test_an_idempotency_key_works_where_nothing_is_kept(self) -> None:
        """A repeat is delivered to nobody, stored or not."""
        async with self.running() as (broker, arrivals, _):
            await broker.subscribe(CHANNEL)
            nothing = Retention(0, 0.0)
            first = await self.say(broker, "once", nothing, key="k")
            assert await self.say(broker, "twice", nothing, key="k") == first
            await self.say(broker, "end", nothing)
            assert [each.value()["content"] for each in await arrivals.count(2)] == ["once", "end"]

    async def test_an_idempotency_key_works_for_comings_and_goings(self) -> None:
        """Two nodes may be sure that they have to tell of the same departure."""
        async with self.running() as (broker, arrivals, _):
            await broker.subscribe(CHANNEL)
            for text, key in (("once", "k"), ("twice", "k"), ("end", "l")):
                await broker.publish(msgspec.structs.replace(self.draft(text), kind=Kind.LEAVE), KEPT, key)
            assert [each.value()["content"] for each in await arrivals.count(2)] == ["once", "end"]

    async def test_an_idempotency_key_is_kept_as_long_as_was_asked_for(self) -> None:
        """By default for five minutes from the first on, however often it is repeated; else for the time that was named."""
        async with self.running() as (broker, _, clock):
            draft, hour = self.draft("long"), 3600.0
            usual = await self.say(broker, "usual", key="usual")
            long = await broker.publish(draft, KEPT, "long", hour)
            await self.pass_time(clock, KEY_TTL - 60)
            assert await broker.publish(draft, KEPT, "long") == long
            assert await broker.publish(draft, KEPT, "usual", hour) == usual
            await self.pass_time(clock, 61)
            assert await broker.publish(draft, KEPT, "long", 1.0) == long
            assert (await self.say(broker, "again", key="usual")).offset == 3
            await self.pass_time(clock, hour)
            assert (await broker.publish(self.draft("new"), KEPT, "long", hour)).id != long.id

    async def test_keys_that_are_forgotten_are_kept_for_the_usual_time(self) -> None:
        """From then on, because somebody may be about to repeat one; those that would have gone before do."""
        async with self.running() as (broker, _, clock):
            week = 7 * 86400.0
            first = await broker.publish(self.draft("once"), KEPT, "k", week)
            other = await broker.publish(self.draft("kept"), KEPT, "other", week)
            await self.say(broker, "usual", key="usual")
            await self.pass_time(clock, KEY_TTL - 60)
            await broker.forget(CHANNEL, ["k", "usual", "never seen"])
            await broker.forget("room:other", ["other"])
            await self.pass_time(clock, 61)
            assert await broker.publish(self.draft("twice"), KEPT, "k", week) == first
            assert (await self.say(broker, "usual again", key="usual")).offset == 4
            await self.pass_time(clock, KEY_TTL)
            assert (await broker.publish(self.draft("anew"), KEPT, "k", week)).id != first.id
            assert await broker.publish(self.draft("twice"), KEPT, "other", week) == other
            await broker.forget(CHANNEL, [])

    async def test_concurrent_publishers_agree_on_one_order(self) -> None:
        """Fifty at once: no offset twice, none missing, delivered as stored."""
        async with self.running() as (broker, arrivals, _):
            await broker.subscribe(CHANNEL)
            positions = await asyncio.gather(*(self.say(broker, str(number)) for number in range(50)))
            assert sorted(position.offset for position in positions) == list(range(1, 51))
            assert [each.offset for each in await arrivals.count(50)] == list(range(1, 51))
