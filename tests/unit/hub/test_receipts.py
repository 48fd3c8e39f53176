"""What was told is acknowledged, and what was not is kept or given up."""

import logging

import pytest
from shared_presence import SharedPresence, departure

from hubbub.brokers.memory_presence import MemoryPresence
from hubbub.hub.background import Background
from hubbub.hub.presence import Change
from hubbub.hub.receipts import KEEP, Receipts
from hubbub.testing import FakeClock
from hubbub.types import UserId


class Case:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.store = SharedPresence(self.clock)
        self.background = Background()
        self.receipts = Receipts(self.store, self.clock, self.background)


async def test_those_of_one_flight_are_acknowledged_together():
    case = Case()
    changes = [departure("ada", number=number) for number in range(5)]
    for change in changes:
        case.receipts.take(change)
        case.receipts.told(change)
    assert len(case.receipts) == 5
    await case.background.settle()
    assert case.store.acknowledgements == [["0", "1", "2", "3", "4"]]
    assert len(case.receipts) == 0


async def test_what_is_nobody_elses_to_tell_costs_nothing():
    clock, background = FakeClock(), Background()
    receipts = Receipts(MemoryPresence(clock), clock, background)
    change = Change("room:a", UserId("ada"), True, 0)
    receipts.take(change)
    receipts.told(change)
    receipts.give_up(change)
    assert (len(receipts), len(background)) == (0, 0)


async def test_what_is_still_to_be_told_is_kept_now_and_then():
    case = Case()
    ada, bob = departure("ada", number=1), departure("bob", number=2)
    case.receipts.take(ada)
    case.receipts.take(bob)
    assert case.receipts.to_keep() == ()
    case.clock.advance(KEEP)
    assert case.receipts.to_keep() == (ada, bob)
    assert case.receipts.to_keep() == ()
    case.receipts.give_up(ada)
    case.clock.advance(KEEP)
    assert case.receipts.to_keep() == (bob,)


async def test_what_cannot_be_acknowledged_is_kept_until_it_can(caplog: pytest.LogCaptureFixture):
    case = Case()
    ada = departure("ada", number=1)
    case.receipts.take(ada)
    case.store.is_away = True
    with caplog.at_level(logging.INFO):
        case.receipts.told(ada)
        await case.background.settle()
    assert "cannot be acknowledged" in caplog.text
    case.clock.advance(KEEP)
    assert case.receipts.to_keep() == (ada,)
    case.store.is_away = False
    case.receipts.send()
    await case.background.settle()
    assert case.store.acknowledgements == [["1"]]
    assert len(case.receipts) == 0
