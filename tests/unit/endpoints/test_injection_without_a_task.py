"""Hooks, and the whole way from a token to an identity, stepped by hand where no task is running."""

import asyncio
import functools
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, HTTPException

from hubbub.authentication import JWTAuthenticator, MemoryTickets, OriginPolicy, TokenIssuer
from hubbub.endpoints.handshake import Doorkeeper, checked, for_connections
from hubbub.endpoints.injection import Injector, never_waits
from hubbub.exceptions import Forbidden, HookTimeout, InvalidToken
from hubbub.hub.identity import Identity
from hubbub.types import UserId

ADA = Identity(UserId("ada"))
OFFERED: dict[str, type] = {"identity": Identity}
SECRET = "0123456789abcdef" * 4


async def outside(make: Callable[[], Coroutine[Any, Any, Any]]) -> tuple[Any, bool]:
    """Take a coroutine's first step from a callback of the loop; return its result, and whether it waited."""
    loop = asyncio.get_running_loop()
    result: asyncio.Future[Any] = loop.create_future()
    waited = False

    def step() -> None:
        nonlocal waited
        assert asyncio.current_task() is None
        coroutine = make()
        try:
            future = coroutine.send(None)
        except StopIteration as done:
            result.set_result(done.value)
        except Exception as error:
            result.set_exception(error)
        else:
            waited = True
            future._asyncio_future_blocking = False
            future.add_done_callback(lambda _: loop.create_task(go_on(coroutine)))

    async def go_on(coroutine: Coroutine[Any, Any, Any]) -> None:
        try:
            result.set_result(await rest(coroutine))
        except Exception as error:
            result.set_exception(error)

    loop.call_soon(step)
    async with asyncio.timeout(5):
        return await result, waited


class rest:
    """What is left of a coroutine that was begun by hand."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._coroutine = coroutine

    def __await__(self) -> Any:
        return (yield from self._coroutine.__await__())


@pytest.fixture
def injector() -> Injector:
    made = Injector(timeout=5.0)
    made.bind(FastAPI())
    return made


async def at_once(identity: Identity) -> str:
    return identity.user_id


async def waits(identity: Identity) -> str:
    async with asyncio.timeout(1):  # needs a task
        await asyncio.sleep(0)
    return identity.user_id


def sync(identity: Identity) -> str:
    return identity.user_id


async def resource() -> AsyncIterator[str]:
    async with asyncio.timeout(1):
        yield "r"


async def depends(identity: Identity, of: Annotated[str, Depends(resource)]) -> str:
    return identity.user_id if of == "r" else of


class TestHooks:
    @pytest.mark.parametrize("hook", [waits, sync, depends, functools.partial(at_once)])
    async def test_one_that_may_wait_is_given_a_task(self, injector, hook):
        prepared = injector.prepare(hook, OFFERED)
        assert await outside(lambda: prepared(identity=ADA)) == ("ada", True)
        assert await prepared(identity=ADA) == "ada"

    async def test_one_that_cannot_is_called_in_the_same_step(self, injector):
        prepared = injector.prepare(at_once, OFFERED)
        assert await outside(lambda: prepared(identity=ADA)) == ("ada", False)

    async def test_what_it_raises_is_the_same_with_and_without_a_task(self, injector):
        async def refuses(identity: Identity) -> None:
            raise HTTPException(403, "not you")

        async def breaks(identity: Identity) -> None:
            raise HTTPException(503, "broken")

        async def refuses_later(identity: Identity) -> None:
            await asyncio.sleep(0)
            raise HTTPException(403, "not you")

        for hook, kind, says in (
            (refuses, Forbidden, "not you"),
            (refuses_later, Forbidden, "not you"),
            (breaks, HTTPException, "broken"),
        ):
            prepared = injector.prepare(hook, OFFERED)
            with pytest.raises(kind, match=says):
                await outside(lambda: prepared(identity=ADA))  # noqa: B023
            with pytest.raises(kind, match=says):
                await prepared(identity=ADA)

    async def test_the_time_limit_holds_without_a_task_too(self):
        async def never(identity: Identity) -> None:
            await asyncio.Event().wait()

        prepared = Injector(timeout=0.01).prepare(never, OFFERED)
        with pytest.raises(HookTimeout):
            await outside(lambda: prepared(identity=ADA))

    async def test_whoever_gives_up_ends_the_hook(self, injector):
        started, ended = asyncio.Event(), asyncio.Event()

        async def long(identity: Identity) -> None:
            started.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

        coroutine = injector.prepare(long, OFFERED)(identity=ADA)
        asyncio.get_running_loop().call_soon(coroutine.send, None)
        async with asyncio.timeout(5):
            await started.wait()
            coroutine.close()
            await ended.wait()


async def with_for() -> None:
    async for _ in resource():
        pass


async def with_comprehension() -> list[str]:
    return [each async for each in resource()]


async def with_inner() -> Any:
    async def inner() -> None:
        await asyncio.sleep(0)

    return inner


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (at_once, True),
        (with_inner, True),
        (waits, False),
        (with_for, False),
        (with_comprehension, False),
        (functools.partial(at_once), False),  # has no code of its own
    ],
)
def test_which_functions_never_wait(function, expected):
    assert never_waits(function) is expected


class TestTheDoor:
    """A local key and tickets in memory: no step of it waits."""

    def door(self, injector: Injector) -> Doorkeeper:
        reads = checked(injector.prepare(JWTAuthenticator(SECRET), {"token": str}))
        return Doorkeeper(
            for_connections(reads), MemoryTickets(), OriginPolicy(), "session", allow_anonymous=False
        )

    async def test_a_token_is_read_in_one_step(self, injector):
        door = self.door(injector)
        token = TokenIssuer(SECRET).issue("ada", ttl=60).encode()
        for headers, query in (
            ([(b"authorization", b"Bearer " + token)], b""),
            ([], b"token=" + token),
            ([(b"cookie", b"session=" + token)], b""),
        ):
            identity, waited = await outside(lambda: door.identify(headers, query))  # noqa: B023
            assert (identity.user_id, waited) == ("ada", False)
        with pytest.raises(InvalidToken):
            await outside(lambda: door.identify([(b"authorization", b"Bearer " + token + b"x")]))

    async def test_a_ticket_is_redeemed_in_one_step(self, injector):
        tickets = MemoryTickets()
        door = Doorkeeper(
            self.door(injector).authenticate, tickets, OriginPolicy(), None, allow_anonymous=False
        )
        ticket = await tickets.issue(ADA)
        assert await outside(lambda: door.identify([], f"ticket={ticket}".encode())) == (ADA, False)
