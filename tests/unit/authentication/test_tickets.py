import asyncio
import re
import tracemalloc

import pytest

from hubbub.authentication.tickets import MemoryTickets, TicketStore, UsedOnce
from hubbub.exceptions import ConfigurationError, InvalidToken, LimitExceeded
from hubbub.hub.identity import Identity
from hubbub.types import UserId

ADA = Identity(UserId("ada"), scopes=frozenset({"admin"}), expires_at=5.0)


@pytest.fixture
def tickets(clock) -> TicketStore:
    return MemoryTickets(clock)


async def test_stands_for_the_identity(tickets):
    assert await tickets.redeem(await tickets.issue(ADA)) is ADA


async def test_is_256_bits_that_fit_into_a_url(tickets):
    issued = {await tickets.issue(ADA) for _ in range(100)}
    assert len(issued) == 100
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{43}", ticket) for ticket in issued)


async def test_works_once(tickets):
    ticket = await tickets.issue(ADA)
    await tickets.redeem(ticket)
    with pytest.raises(InvalidToken, match="was used before"):
        await tickets.redeem(ticket)


async def test_works_once_for_two_at_a_time(tickets):
    ticket = await tickets.issue(ADA)
    outcomes = await asyncio.gather(*(tickets.redeem(ticket) for _ in range(20)), return_exceptions=True)
    assert outcomes.count(ADA) == 1
    assert sum(isinstance(outcome, InvalidToken) for outcome in outcomes) == 19


async def test_ends_after_its_ttl(tickets, clock):
    first, second = await tickets.issue(ADA), await tickets.issue(ADA)
    clock.advance(29.9)
    assert await tickets.redeem(first) is ADA
    clock.advance(0.1)
    with pytest.raises(InvalidToken, match="older than 30 s"):
        await tickets.redeem(second)


@pytest.mark.parametrize("ticket", ["", "x", "é", "\ud800", "a" * 100_000])
async def test_unknown(tickets, ticket):
    await tickets.issue(ADA)
    with pytest.raises(InvalidToken, match="unknown") as refusal:
        await tickets.redeem(ticket)
    assert len(str(refusal.value)) < 100


async def test_those_that_ended_are_forgotten(clock):
    tickets = MemoryTickets(clock, ttl=10)
    for _ in range(100):
        await tickets.issue(ADA)
        clock.advance(1)
    assert len(tickets) == 9
    clock.advance(10)
    assert len(tickets) == 0


async def test_capacity_refuses_new_ones_and_keeps_the_old(clock):
    tickets = MemoryTickets(clock, capacity=2)
    first = await tickets.issue(ADA)
    clock.advance(20)
    await tickets.issue(ADA)
    with pytest.raises(LimitExceeded, match=r"2 tickets are open.*one is free in 10 s"):
        await tickets.issue(ADA)
    assert await tickets.redeem(first) is ADA
    await tickets.issue(ADA)
    with pytest.raises(LimitExceeded):
        await tickets.issue(ADA)
    clock.advance(30)
    await tickets.issue(ADA)


async def test_memory_holds_no_ticket(tickets):
    ticket = await tickets.issue(ADA)
    assert ticket not in repr(tickets._open)
    assert ticket.encode() not in b"".join(tickets._open)


async def test_costs_what_its_documentation_says(clock):
    tickets = MemoryTickets(clock, per_user=10_000)
    tracemalloc.start()
    for _ in range(10_000):
        await tickets.issue(ADA)
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert used / 10_000 < 512


async def test_one_user_cannot_take_them_all(clock):
    tickets = MemoryTickets(clock, ttl=30.0, per_user=3)
    first = await tickets.issue(ADA)
    for _ in range(2):
        await tickets.issue(ADA)
    with pytest.raises(LimitExceeded, match="3 open tickets"):
        await tickets.issue(ADA)
    await tickets.issue(Identity(UserId("bob")))
    await tickets.redeem(first)
    await tickets.issue(ADA)
    clock.advance(31)
    for _ in range(3):
        await tickets.issue(ADA)


@pytest.mark.parametrize("bounds", [{"ttl": 0}, {"capacity": 0}])
def test_bounds_that_cannot_work(bounds):
    with pytest.raises(ConfigurationError):
        MemoryTickets(**bounds)


async def test_used_once(clock):
    codes = UsedOnce(clock)
    assert await codes.use("a", clock.time() + 60)
    assert not await codes.use("a", clock.time() + 60)
    assert await codes.use("b", clock.time() + 60)


async def test_used_is_used_until_it_ends(clock):
    codes = UsedOnce(clock)
    ends = clock.time() + 60
    assert await codes.use("a", ends)
    clock.advance(59.9)
    assert not await codes.use("a", ends)
    clock.advance(0.1)
    assert not await codes.use("a", ends), "what has ended is not usable, used before or not"
    assert not await codes.use("never used", ends)


async def test_used_once_forgets_in_the_order_of_the_ends(clock):
    codes = UsedOnce(clock, capacity=2)
    now = clock.time()
    assert await codes.use("long", now + 100)
    assert await codes.use("short", now + 10)
    with pytest.raises(LimitExceeded, match="2 codes"):
        await codes.use("more", now + 50)
    assert not await codes.use("long", now + 100), "a full memory still knows what was used"
    clock.advance(10)
    assert await codes.use("more", now + 50)
    assert not await codes.use("long", now + 100)
