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
    assert (store._ends, store._due, store._channels) == ({}, [], {})
