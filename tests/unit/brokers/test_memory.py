"""The memory broker: the suite, and what is its own."""

from hubbub.brokers.memory import LOOK_EVERY, MemoryBroker, Stream
from hubbub.brokers.memory_keys import KEYS
from hubbub.hub.broker import Broker, Retention
from hubbub.hub.publications import Draft, Position
from hubbub.testing import FakeClock
from hubbub.testing.conformance import BrokerSuite, RecoverySuite


class TestConformance(BrokerSuite):
    def broker(self, clock: FakeClock) -> Broker:
        return MemoryBroker(clock)


class TestRecovery(RecoverySuite):
    def broker(self) -> Broker:
        return MemoryBroker()


def draft(channel: str, clock: FakeClock) -> Draft:
    return Draft(channel, "message", b"1", f"{channel}-{clock.time()}", clock.time())


async def test_two_brokers_have_two_epochs():
    first, second = MemoryBroker(), MemoryBroker()
    assert (await first.read("room:a")).top.epoch != (await second.read("room:a")).top.epoch


async def test_idle_streams_are_forgotten_and_their_positions_are_not_mistaken():
    clock = FakeClock()
    broker = MemoryBroker(clock)
    brief = Retention(10, 5.0)
    for _ in range(4):
        old = await broker.publish(draft("room:old", clock), brief)
    for number in range(200):
        clock.advance(1)
        await broker.publish(draft(f"room:{number}", clock), brief)
    assert len(broker._streams) < 50
    # The channel begins again above where it was forgotten, so its old reader is not told a false whole.
    reading = await broker.read("room:old", Position(old.epoch, 2))
    assert not reading.whole
    new = await broker.publish(draft("room:old", clock), brief)
    assert new.epoch == old.epoch
    assert new.offset > old.offset
    assert not (await broker.read("room:old", Position(old.epoch, 2))).whole


async def test_one_busy_channel_is_enough_for_the_others_to_be_forgotten():
    clock = FakeClock()
    broker = MemoryBroker(clock)
    brief = Retention(10, 5.0)
    for number in range(100):
        await broker.publish(draft(f"room:{number}", clock), brief)
    clock.advance(11)
    await broker.publish(draft("room:busy", clock), brief)
    for _ in range(1000):
        await broker.publish(draft("room:busy", clock), brief)
    assert len(broker._streams) == 99, "not every message looks"
    for _ in range(60):
        clock.advance(LOOK_EVERY)
        await broker.publish(draft("room:busy", clock), brief)
    assert list(broker._streams) == ["room:busy"]
    assert broker._size == broker._streams["room:busy"].size


async def test_new_streams_make_room_for_themselves_however_fast_they_come():
    clock = FakeClock()
    broker = MemoryBroker(clock)
    for number in range(100):
        await broker.publish(draft(f"room:old-{number}", clock), Retention(10, 5.0))
    clock.advance(11)
    for number in range(100):
        await broker.publish(draft(f"room:new-{number}", clock), Retention(10, 5.0))
    assert set(broker._streams) == {f"room:new-{number}" for number in range(100)}


async def test_the_clock_may_be_set_back():
    clock = FakeClock()
    broker = MemoryBroker(clock)
    brief = Retention(10, 5.0)
    await broker.publish(draft("room:busy", clock), brief)
    clock._time -= 86_400
    broker._streams["room:quiet"] = Stream(0)
    for _ in range(20):
        clock.advance(1)
        await broker.publish(draft("room:busy", clock), brief)
    assert "room:quiet" not in broker._streams


async def test_a_channel_with_readers_is_not_forgotten():
    clock = FakeClock()
    broker = MemoryBroker(clock)
    brief = Retention(10, 5.0)
    await broker.subscribe("room:quiet")
    top = (await broker.read("room:quiet")).top
    for number in range(200):
        clock.advance(1)
        await broker.publish(draft(f"room:{number}", clock), brief)
    assert (await broker.read("room:quiet")).top == top
    await broker.unsubscribe("room:quiet")
    assert "room:quiet" not in broker._streams


async def test_idempotency_keys_are_forgotten_after_their_window():
    clock = FakeClock()
    broker = MemoryBroker(clock)
    kept = Retention(10, 3600.0)
    first = await broker.publish(draft("room:a", clock), kept, "key")
    clock.advance(301)
    second = await broker.publish(draft("room:a", clock), kept, "key")
    assert second.offset == first.offset + 1
    assert len(broker._seen) == 1


async def test_all_streams_together_have_a_bound(caplog):
    clock = FakeClock()
    broker = MemoryBroker(clock, max_bytes=100_000)
    kept = Retention(500, 3600.0)
    start = (await broker.read("room:0")).top
    for number in range(300):
        await broker.publish(
            Draft(f"room:{number % 10}", "message", b'"' + b"x" * 1000 + b'"', str(number), clock.time()),
            kept,
        )
    assert broker._size == sum(stream.size for stream in broker._streams.values()) <= 100_000
    assert caplog.text.count("which is the bound") == 1
    lost = await broker.read("room:0", start)
    assert (lost.whole, lost.publications, lost.top.offset) == (False, (), 30)
    recent = await broker.read("room:9", Position(start.epoch, 29, "289"))
    assert (recent.whole, [each.id for each in recent.publications]) == (True, ["299"])


async def test_idempotency_keys_have_a_bound():
    clock = FakeClock()
    broker = MemoryBroker(clock)
    kept = Retention(1, 3600.0)
    for number in range(KEYS + 10):
        await broker.publish(draft("room:a", clock), kept, str(number))
    assert len(broker._seen) == KEYS
