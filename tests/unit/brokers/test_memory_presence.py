"""The memory presence store."""

from hubbub.brokers.memory_presence import MemoryPresence
from hubbub.hub.presence import PresenceStore
from hubbub.testing import FakeClock
from hubbub.testing.conformance import PresenceSuite
from hubbub.testing.conformance.presence import lease


class TestConformance(PresenceSuite):
    def store(self, clock: FakeClock) -> PresenceStore:
        return MemoryPresence(clock)


async def test_it_is_empty_when_everybody_left():
    clock = FakeClock()
    store = MemoryPresence(clock)
    for number in range(100):
        await store.enter(lease(f"user{number}"), 5)
    for number in range(50):
        await store.leave(lease(f"user{number}"))
    clock.advance(6)
    assert len(await store.expire()) == 50
    assert (store._ends, store._due, store._channels) == ([], {}, {})


async def test_those_who_come_together_share_what_can_be_shared():
    clock = FakeClock()
    store = MemoryPresence(clock)
    for number in range(100):
        await store.enter(lease(f"user{number}"), 5)
        clock.advance(0.001)
    held = [each for due in store._due.values() for each in due]
    assert len(held) == 100
    assert len({id(each.end) for each in held}) == len(store._due) <= 2
    await store.renew([lease(f"user{number}") for number in range(100)], 30)
    assert len({id(each.end) for each in held}) == 1
    assert len(store._due) <= 2  # renewing touches no list


async def test_who_is_online_is_kept_in_no_order_as_long_as_nobody_asks():
    store = MemoryPresence(FakeClock())
    for name in ("eve", "ada"):
        await store.enter(lease(name), 5)
    await store.roster(lease("ada").channel, limit=0)
    assert store._channels[lease("ada").channel]._order is None
    assert (await store.roster(lease("ada").channel)).users == ("ada", "eve")
