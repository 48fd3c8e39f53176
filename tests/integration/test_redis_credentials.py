"""What works once works once whichever node it comes to: tickets, sign-in codes, and the bound on failures."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from ageing import age
from fastapi import FastAPI
from redis_cluster import cluster
from redis_servers import RedisServer
from starlette.exceptions import HTTPException

from hubbub import AuthenticationUnavailable, Hub, Identity, InvalidToken
from hubbub.brokers.redis import Address, RedisBroker, Servers
from hubbub.endpoints.redis_credentials import RedisTickets, RedisUsedOnce
from hubbub.exceptions import ConfigurationError, LimitExceeded
from hubbub.server.redis_attempts import RedisAttempts
from hubbub.testing import Closed, FakeClock, connect
from hubbub.types import UserId

Two = tuple[Servers, Servers]


@pytest.fixture
async def two(redis: RedisServer) -> AsyncIterator[Two]:
    """Two nodes' ways to one Redis."""
    address = Address.parse(await redis.limited_url())
    async with Servers(address) as one, Servers(address) as other:
        yield one, other


def identity(user: str = "ada") -> Identity:
    return Identity(UserId(user))


async def test_an_identity_survives_the_way_there_and_back(two: Two):
    one, other = two
    full = Identity(
        UserId("ada:\u6f22\ud800\x00"),
        claims={"sub": "x", "n": 2**70, "nested": {"a": [1, None, True, 0.5, "\u00e9"]}, "\ud800": "\x00"},
        expires_at=1765432100.25,
        scopes=frozenset({"admin", "server"}),
        token_id="j-1",
    )
    for each in (full, identity(), Identity(UserId(""))):
        back = await RedisTickets(other).redeem(await RedisTickets(one).issue(each))
        assert back == each
        assert back.claims == each.claims
        assert type(back.scopes) is frozenset


async def test_of_all_who_redeem_a_ticket_at_once_one_gets_in(two: Two):
    tickets = [RedisTickets(each) for each in two]
    ticket = await tickets[0].issue(identity())
    answers = await asyncio.gather(
        *(tickets[n % 2].redeem(ticket) for n in range(20)), return_exceptions=True
    )
    assert [answer for answer in answers if not isinstance(answer, InvalidToken)] == [identity()]


async def test_a_ticket_is_good_for_its_time_and_unreadable_in_redis(two: Two, redis: RedisServer):
    tickets = RedisTickets(two[0])
    young, old = await tickets.issue(identity()), await tickets.issue(identity())
    assert young not in await redis.cli("KEYS", "*")
    await age(29, redis)
    assert await tickets.redeem(young) == identity()
    await age(2, redis)
    for bad in (old, "never issued", "\ud800"):
        with pytest.raises(InvalidToken, match="older than 30 s"):
            await tickets.redeem(bad)


async def test_a_user_asks_for_so_many_tickets_on_all_nodes_together(two: Two, redis: RedisServer):
    one, other = (RedisTickets(each, per_user=4) for each in two)
    for tickets in (one, other, one, other):
        await tickets.issue(identity())
    with pytest.raises(LimitExceeded, match=r"4 tickets within 30 s.*try again in (30|29) s"):
        await one.issue(identity())
    await other.issue(identity("bob"))
    await age(31, redis)
    await one.issue(identity())


async def test_claims_that_are_no_json_are_refused_before_anything_is_kept(two: Two, redis: RedisServer):
    with pytest.raises(TypeError):
        await RedisTickets(two[0]).issue(Identity(UserId("ada"), claims={"when": object()}))
    assert ":{n:" not in await redis.cli("KEYS", "*")


@pytest.mark.parametrize("bounds", [{"ttl": 0}, {"per_user": 0}])
def test_bounds_that_cannot_work(bounds):
    with pytest.raises(ConfigurationError):
        RedisTickets(Servers(Address.parse("redis://localhost")), **bounds)


async def test_an_id_is_used_once_until_it_ends_and_beyond(two: Two, redis: RedisServer):
    clock = FakeClock()
    one, other = (RedisUsedOnce(each, clock) for each in two)
    ends = clock.time() + 100
    uses = await asyncio.gather(*((one, other)[n % 2].use("code", ends) for n in range(10)))
    assert sorted(uses) == [False] * 9 + [True]
    assert await other.use("another", ends)
    await age(120, redis)
    assert not await other.use("code", ends), "a node whose clock is behind"
    clock.advance(100)
    assert not await one.use("never used", ends)


async def test_failures_count_on_all_nodes_together(two: Two, redis: RedisServer):
    one, other = (RedisAttempts(each, most=3) for each in two)
    for attempts in (one, other, one):
        await attempts.check("10.0.0.1")
        await attempts.failed("10.0.0.1")
    with pytest.raises(HTTPException) as refused:
        await other.check("10.0.0.1")
    assert refused.value.status_code == 429
    assert refused.value.headers is not None
    assert 58 <= int(refused.value.headers["Retry-After"]) <= 60
    await other.check("10.0.0.2")
    await age(61, redis)
    await other.check("10.0.0.1")


async def test_without_redis_nothing_is_known_and_nothing_is_let_through(redis: RedisServer):
    async with Servers(Address.parse(redis.url)) as servers:
        tickets, used, attempts = RedisTickets(servers), RedisUsedOnce(servers), RedisAttempts(servers)
        ticket = await tickets.issue(identity())
        await redis.kill()
        for asking in (
            tickets.issue(identity()),
            tickets.redeem(ticket),
            used.use("a", time.time() + 60),
            attempts.check("a"),
            attempts.failed("a"),
        ):
            with pytest.raises(AuthenticationUnavailable):
                await asking


async def test_in_a_cluster(tmp_path: Path):
    async with cluster(tmp_path) as run, Servers(Address.parse(run.url)) as servers:
        tickets, used, attempts = (
            RedisTickets(servers),
            RedisUsedOnce(servers),
            RedisAttempts(servers, most=1),
        )
        for number in range(30):
            user = identity(f"user{number}")
            assert await tickets.redeem(await tickets.issue(user)) == user
            assert await used.use(str(number), time.time() + 60)
            assert not await used.use(str(number), time.time() + 60)
            await attempts.failed(str(number))
            with pytest.raises(HTTPException):
                await attempts.check(str(number))


class Node:
    """A hub whose tickets are in Redis."""

    def __init__(self, url: str) -> None:
        servers = Servers(Address.parse(url))
        self.hub = Hub(
            broker=RedisBroker(servers),
            tickets=RedisTickets(servers),
            authenticate=lambda token: Identity(UserId(token)),
        )
        self.app = FastAPI(lifespan=self.hub.lifespan)
        self.app.include_router(self.hub.router)
        self.app.include_router(self.hub.api)

    async def ticket(self) -> httpx2.Response:
        transport = httpx2.ASGITransport(app=self.app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://testserver") as client:
            return await client.post("/ws-ticket", headers={"Authorization": "Bearer ada"})


async def test_a_ticket_of_one_node_opens_a_connection_to_another_once(redis: RedisServer):
    one, other = Node(redis.url), Node(redis.url)
    async with one.hub.lifespan(one.app), other.hub.lifespan(other.app):
        ticket = (await one.ticket()).json()["ticket"]
        async with connect(other.app, f"/ws?ticket={ticket}") as client:
            assert (await client.expect("welcome"))["user_id"] == "ada"
        async with connect(one.app, f"/ws?ticket={ticket}") as client:
            assert (await client.expect_close()).code == 4001
        await redis.kill()
        answer = await one.ticket()
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        with pytest.raises(Closed) as closed:
            async with connect(one.app, "/ws?ticket=any") as client:
                raise await client.expect_close()
        assert closed.value.code == 1013
