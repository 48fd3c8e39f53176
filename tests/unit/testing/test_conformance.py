"""The conformance suites find what they promise to find: each of these implementations has one fault."""

import asyncio
import inspect
from collections.abc import Callable, Collection
from typing import Any, cast

import pytest

from hubbub.brokers.memory import MemoryBroker
from hubbub.brokers.memory_presence import MemoryPresence
from hubbub.hub.broker import KEY_TTL, Reading, Receiver, Retention
from hubbub.hub.presence import Change, Lease, Roster
from hubbub.hub.publications import Draft, Position, Publication
from hubbub.testing import FakeClock
from hubbub.testing.conformance.broker import BrokerSuite
from hubbub.testing.conformance.presence import PresenceSuite
from hubbub.testing.conformance.recovery import RecoverySuite


class AlwaysWhole(MemoryBroker):
    async def read(self, channel: str, since: Position | None = None) -> Reading:
        reading = await super().read(channel, since)
        return Reading(reading.top, reading.publications)


class NeverTrims(MemoryBroker):
    async def publish(
        self,
        draft: Draft,
        retention: Retention,
        idempotency_key: str | None = None,
        key_ttl: float = KEY_TTL,
    ) -> Position:
        return await super().publish(draft, Retention(10_000, 1e9), idempotency_key, key_ttl)


class ForgetsKeys(MemoryBroker):
    async def publish(
        self,
        draft: Draft,
        retention: Retention,
        idempotency_key: str | None = None,
        key_ttl: float = KEY_TTL,
    ) -> Position:
        return await super().publish(draft, retention, None)


class KeepsKeysShortly(MemoryBroker):
    async def publish(
        self,
        draft: Draft,
        retention: Retention,
        idempotency_key: str | None = None,
        key_ttl: float = KEY_TTL,
    ) -> Position:
        return await super().publish(draft, retention, idempotency_key)


class ForgetsAtOnce(MemoryBroker):
    async def forget(self, channel: str, keys: Collection[str]) -> None:
        for line in self._seen._lines.values():
            for key in keys:
                line.pop((channel, key), None)


class NeverForgets(MemoryBroker):
    async def forget(self, channel: str, keys: Collection[str]) -> None:
        return


class Passing:
    """Hands on what it receives in another way."""

    def __init__(self, receive: Callable[[Publication], None]) -> None:
        self.receive = receive


class DeliversTwice(MemoryBroker):
    def deliver_to(self, receiver: Any) -> None:
        def twice(publication: Publication) -> None:
            receiver.receive(publication)
            receiver.receive(publication)

        super().deliver_to(cast("Receiver", Passing(twice)))


class DeliversBackwards(MemoryBroker):
    def deliver_to(self, receiver: Any) -> None:
        waiting: list[Publication] = []

        def in_pairs(publication: Publication) -> None:
            waiting.append(publication)
            if len(waiting) > 1:
                while waiting:
                    receiver.receive(waiting.pop())

        super().deliver_to(cast("Receiver", Passing(in_pairs)))


class DeliversEverything(MemoryBroker):
    async def unsubscribe(self, channel: str) -> None:
        return


class LosesExclusions(MemoryBroker):
    async def publish(
        self,
        draft: Draft,
        retention: Retention,
        idempotency_key: str | None = None,
        key_ttl: float = KEY_TTL,
    ) -> Position:
        bare = Draft(draft.channel, draft.event, draft.data, draft.id, draft.time, draft.kind, draft.sender)
        return await super().publish(bare, retention, idempotency_key, key_ttl)


class PagesForwards(MemoryBroker):
    async def history(self, channel: str, *, limit: int, before: int | None = None) -> Reading:
        reading = await super().history(channel, limit=1000, before=before)
        return Reading(reading.top, reading.publications[:limit])


class CountsSessions(MemoryPresence):
    async def enter(self, lease: Lease, seconds: float) -> Change:
        change = await super().enter(lease, seconds)
        return Change(change.channel, change.user_id, edge=True, users=change.users)


class NeverExpires(MemoryPresence):
    async def expire(self, telling: Any = ()) -> list[Change]:
        return []


class TakesWhatItRenews(MemoryPresence):
    async def renew(self, leases: Any, seconds: float) -> list[Lease]:
        for lease in leases:
            await self.enter(lease, seconds)
        return []


class MissesNothing(MemoryPresence):
    async def renew(self, leases: Any, seconds: float) -> list[Lease]:
        await super().renew(leases, seconds)
        return []


class RestoresQuietly(MemoryPresence):
    async def restore(self, leases: Any, seconds: float) -> list[Change]:
        await super().restore(leases, seconds)
        return []


class OnePage(MemoryPresence):
    async def roster(self, channel: str, *, limit: int = 100, after: Any = None) -> Roster:
        roster = await super().roster(channel, limit=limit, after=after)
        return Roster(roster.users, roster.total)


async def failing(suite: Any) -> list[str]:
    """Return the names of a suite's tests that fail."""
    failed = []
    for name, test in inspect.getmembers(suite, inspect.iscoroutinefunction):
        if name.startswith("test_"):
            try:
                async with asyncio.timeout(10):
                    await test()
            except (AssertionError, TimeoutError, KeyError):
                failed.append(name)
    return failed


@pytest.mark.parametrize(
    "broken",
    [
        AlwaysWhole,
        NeverTrims,
        ForgetsKeys,
        KeepsKeysShortly,
        ForgetsAtOnce,
        NeverForgets,
        DeliversTwice,
        DeliversBackwards,
        DeliversEverything,
        LosesExclusions,
        PagesForwards,
    ],
)
async def test_a_broker_with_a_fault_fails(broken, monkeypatch):
    monkeypatch.setattr("hubbub.testing.conformance.broker.DEADLINE", 0.05)

    class Suite(BrokerSuite):
        def broker(self, clock: FakeClock) -> MemoryBroker:
            return broken(clock)

    assert await failing(Suite())


@pytest.mark.parametrize(
    "broken", [CountsSessions, NeverExpires, TakesWhatItRenews, MissesNothing, RestoresQuietly, OnePage]
)
async def test_a_presence_store_with_a_fault_fails(broken):
    class Suite(PresenceSuite):
        def store(self, clock: FakeClock) -> MemoryPresence:
            return broken(clock)

    assert await failing(Suite())


async def test_sound_ones_pass():
    class Broker(BrokerSuite):
        def broker(self, clock: FakeClock) -> MemoryBroker:
            return MemoryBroker(clock)

    class Store(PresenceSuite):
        def store(self, clock: FakeClock) -> MemoryPresence:
            return MemoryPresence(clock)

    assert await failing(Broker()) == await failing(Store()) == []


class Deliveries(MemoryBroker):
    """Loses as many deliveries as it is told; below 0 it claims that nobody ever missed anything."""

    lose = 0

    def deliver_to(self, receiver: Any) -> None:
        def some(publication: Publication) -> None:
            if self.lose:
                self.lose -= 1
            else:
                receiver.receive(publication)

        super().deliver_to(cast("Receiver", Passing(some)))

    async def read(self, channel: str, since: Position | None = None) -> Reading:
        if self.lose >= 0:
            return await super().read(channel, since)
        return Reading((await super().read(channel)).top)


class Recovery(RecoverySuite):
    def broker(self) -> MemoryBroker:
        self.made = Deliveries()
        return self.made

    async def fault_delivery_lost(self) -> None:
        self.made.lose = 1_000_000

    async def fault_streams_lost(self) -> None:
        self.made._streams.clear()

    async def loss_not_told(self) -> None:
        self.made.lose = -1


async def test_a_broker_that_recovers_passes():
    await Recovery().test_nothing_is_missed_around_a_fault("none")
    await Recovery().test_one_who_is_alone_misses_nothing_around_a_fault("none")


@pytest.mark.parametrize("fault", ["fault_delivery_lost", "fault_streams_lost", "loss_not_told"])
async def test_a_broker_that_does_not_recover_fails(fault, monkeypatch):
    monkeypatch.setattr("hubbub.testing.conformance.recovery.REPAIRED", 0.5)
    monkeypatch.setattr("hubbub.testing.conformance.recovery.UNNOTICED", 0.5)
    with pytest.raises(AssertionError):
        await Recovery().test_one_who_is_alone_misses_nothing_around_a_fault(fault)
