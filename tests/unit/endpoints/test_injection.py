"""Hooks with FastAPI's `Depends`, resolved for each call: every kind of hook and of dependency."""

import asyncio
import functools
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, HTTPException, Request, Security
from postponed import postponed_hook, unresolvable_hook

from hubbub.endpoints.injection import Injector
from hubbub.exceptions import ConfigurationError, Forbidden, HookTimeout
from hubbub.hub.channels import Channel
from hubbub.hub.events import ChatMessage
from hubbub.hub.identity import Identity
from hubbub.types import UserId

ADA = Identity(UserId("ada"))
ROOM = Channel("room:a", "room", "a")
OFFERED: dict[str, type] = {"identity": Identity, "channel": Channel}


def no_names() -> list[str]:
    return []


@pytest.fixture
def log() -> list[str]:
    return []


@pytest.fixture
def app() -> FastAPI:
    return FastAPI()


@pytest.fixture
def injector(app: FastAPI) -> Injector:
    made = Injector(timeout=5.0)
    made.bind(app)
    return made


async def call(injector: Injector, hook: Any, **values: Any) -> Any:
    return await injector.prepare(hook, OFFERED)(**{"identity": ADA, "channel": ROOM, **values})


class TestHooks:
    async def test_async_and_sync(self, injector):
        async def a(identity: Identity, channel: Channel) -> str:
            return f"{identity.user_id} {channel}"

        def b(identity: Identity, channel: Channel) -> str:
            return f"{identity.user_id} {channel}"

        assert await call(injector, a) == await call(injector, b) == "ada room:a"

    async def test_a_sync_one_runs_in_a_thread(self, injector):
        assert await call(injector, threading.current_thread) is not threading.current_thread()

    async def test_any_order_some_or_none(self, injector):
        async def swapped(channel: Channel, identity: Identity) -> Any:
            return identity, channel

        async def misnamed(channel: Identity, identity: Channel) -> Any:
            return channel, identity

        async def one(where: Channel) -> Any:
            return where

        async def none() -> str:
            return "none"

        async def with_default(identity: Identity, more: int = 5, less=4) -> Any:
            return identity, more, less

        assert await call(injector, swapped) == (ADA, ROOM)
        assert await call(injector, misnamed) == (ADA, ROOM)
        assert await call(injector, one) == ROOM
        assert await call(injector, none) == "none"
        assert await call(injector, with_default) == (ADA, 5, 4)

    async def test_without_annotations_names_come_first_then_what_is_left(self, injector):
        assert await call(injector, lambda identity, channel: (identity, channel)) == (ADA, ROOM)
        assert await call(injector, lambda channel, identity: (identity, channel)) == (ADA, ROOM)
        assert await call(injector, lambda who, where: (who, where)) == (ADA, ROOM)
        assert await call(injector, lambda who, identity: (who, identity)) == (ROOM, ADA)
        assert await call(injector, lambda where, identity: (where, identity)) == (ROOM, ADA)

        async def half(x, identity: Identity) -> Any:
            return x, identity

        assert await call(injector, half) == (ROOM, ADA)

    async def test_methods_partials_and_objects_that_can_be_called(self, injector):
        class Policy:
            async def method(self, identity: Identity) -> Any:
                return identity

            def sync_method(self, channel: Channel) -> Any:
                return channel

            @staticmethod
            async def static(identity: Identity) -> Any:
                return identity

            @classmethod
            async def of_class(cls, identity: Identity) -> Any:
                return identity

            async def __call__(
                self, identity: Identity, names: Annotated[list[str], Depends(no_names)]
            ) -> Any:
                return identity, names

        policy = Policy()
        assert await call(injector, policy.method) == ADA
        assert await call(injector, policy.sync_method) == ROOM
        assert await call(injector, policy.static) == ADA
        assert await call(injector, policy.of_class) == ADA
        assert await call(injector, policy) == (ADA, [])

        async def three(first: str, identity: Identity) -> Any:
            return first, identity

        assert await call(injector, functools.partial(three, "x")) == ("x", ADA)
        assert await call(
            injector, functools.partial(lambda who, *, greeting: (greeting, who), greeting="hi")
        ) == (
            "hi",
            ADA,
        )

    async def test_keyword_only_parameters(self, injector):
        async def hook(*, channel: Channel, names: Annotated[list[str], Depends(no_names)]) -> Any:
            return channel, names

        assert await call(injector, hook) == (ROOM, [])

    async def test_a_sync_hook_may_return_something_to_await(self, injector):
        async def answer() -> str:
            return "awaited"

        def sync() -> Any:
            return answer()

        assert await call(injector, sync) == "awaited"

    async def test_postponed_annotations(self, injector):
        assert await call(injector, postponed_hook) == ("ada", "room:a", "resource")

    @pytest.mark.parametrize(
        ("hook", "says"),
        [
            (lambda identity, channel, more: None, "'more' is neither a Depends"),
            (unresolvable_hook, "an annotation cannot be resolved"),
        ],
    )
    def test_what_cannot_work_is_refused_when_it_is_registered(self, injector, hook, says):
        with pytest.raises(ConfigurationError, match=says):
            injector.prepare(hook, OFFERED)

    def test_a_parameter_that_nobody_provides(self, injector):
        async def hook(identity: Identity, message: ChatMessage) -> None: ...

        with pytest.raises(ConfigurationError) as raised:
            injector.prepare(hook, OFFERED)
        assert (
            "hook: the parameter 'message' is neither a Depends(…) nor one of identity: Identity, channel: Channel"
            in str(raised.value)
        )

    @pytest.mark.parametrize(
        "hook",
        [
            lambda *names: None,
            lambda **names: None,
            lambda identity, channel, *names: None,
            lambda identity, *, channel, **names: None,
            lambda names, /: None,
        ],
    )
    def test_parameters_that_cannot_be_given_by_name_are_refused(self, injector, hook):
        with pytest.raises(ConfigurationError, match="'names' is neither"):
            injector.prepare(hook, OFFERED)


class Resource:
    def __init__(self, name: str = "resource") -> None:
        self.name = name


class TestDependencies:
    async def test_sync_and_async_in_both_styles(self, injector):
        def sync() -> str:
            return "sync"

        async def asynchronous() -> str:
            return "async"

        async def hook(
            identity: Identity,
            a: Annotated[str, Depends(sync)],
            channel: Channel,
            b: str = Depends(asynchronous),
            c: str = Security(sync),
        ) -> Any:
            return identity.user_id, channel.name, a, b, c

        assert await call(injector, hook) == ("ada", "room:a", "sync", "async", "sync")

    async def test_classes(self, injector):
        async def by_annotation(resource: Annotated[Resource, Depends()]) -> str:
            return resource.name

        async def by_default(resource: Resource = Depends(Resource)) -> str:  # noqa: B008
            return resource.name

        assert await call(injector, by_annotation) == await call(injector, by_default) == "resource"

    @pytest.mark.parametrize("style", ["sync", "async"])
    async def test_yield_is_opened_and_closed_for_each_call(self, injector, log, style):
        if style == "sync":

            def resource() -> Iterator[str]:
                log.append("open")
                yield "r"
                log.append("closed")
        else:

            async def resource() -> AsyncIterator[str]:
                log.append("open")
                yield "r"
                log.append("closed")

        async def hook(r: Annotated[str, Depends(resource)]) -> str:
            log.append("hook")
            return r

        prepared = injector.prepare(hook, OFFERED)
        for _ in range(2):
            assert await prepared(identity=ADA, channel=ROOM) == "r"
            assert log == ["open", "hook", "closed"]
            log.clear()

    @pytest.mark.parametrize("style", ["sync", "async"])
    async def test_yield_sees_what_the_hook_raises(self, injector, log, style):
        # A session's `yield` inside try/except rolls back.
        if style == "sync":

            def session() -> Iterator[str]:
                try:
                    yield "s"
                except ValueError:
                    log.append("rollback")
                    raise
                finally:
                    log.append("closed")
        else:

            async def session() -> AsyncIterator[str]:
                try:
                    yield "s"
                except ValueError:
                    log.append("rollback")
                    raise
                finally:
                    log.append("closed")

        async def hook(s: Annotated[str, Depends(session)]) -> None:
            raise ValueError("of the hook")

        with pytest.raises(ValueError, match="of the hook"):
            await call(injector, hook)
        assert log == ["rollback", "closed"]

    async def test_what_was_opened_is_closed_when_a_later_dependency_fails(self, injector, log):
        async def first() -> AsyncIterator[str]:
            try:
                yield "first"
            finally:
                log.append("first closed")

        async def second(first: Annotated[str, Depends(first)]) -> str:
            raise KeyError(first)

        async def hook(second: Annotated[str, Depends(second)]) -> None:
            log.append("hook")

        with pytest.raises(KeyError):
            await call(injector, hook)
        assert log == ["first closed"]

    async def test_nested_ones_are_made_once_a_call_and_closed_in_reverse(self, injector, log):
        async def base() -> AsyncIterator[Resource]:
            log.append("base")
            yield Resource("base")
            log.append("base closed")

        async def left(base: Annotated[Resource, Depends(base)]) -> AsyncIterator[Resource]:
            yield base
            log.append("left closed")

        async def right(base: Annotated[Resource, Depends(base)]) -> Resource:
            return base

        async def fresh(base: Annotated[Resource, Depends(base, use_cache=False)]) -> Resource:
            return base

        async def hook(
            left: Annotated[Resource, Depends(left)],
            right: Annotated[Resource, Depends(right)],
            fresh: Annotated[Resource, Depends(fresh)],
        ) -> Any:
            return left is right, left is fresh

        assert await call(injector, hook) == (True, False)
        assert log == ["base", "base", "base closed", "left closed", "base closed"]

    async def test_overrides_of_the_application(self, app, injector):
        def real() -> str:
            return "real"

        async def hook(value: Annotated[str, Depends(real)]) -> str:
            return value

        prepared = injector.prepare(hook, OFFERED)
        assert await prepared(identity=ADA, channel=ROOM) == "real"
        app.dependency_overrides[real] = lambda: "another"
        assert await prepared(identity=ADA, channel=ROOM) == "another"
        app.dependency_overrides.clear()
        assert await prepared(identity=ADA, channel=ROOM) == "real"

    async def test_a_request_shows_the_application_and_its_state(self, app, injector):
        app.state.pool = Resource("pool")

        def pool(request: Request) -> Resource:
            return request.app.state.pool

        async def hook(request: Request, pool: Annotated[Resource, Depends(pool)]) -> Any:
            return request.app, pool.name

        assert await call(injector, hook) == (app, "pool")

    async def test_an_application_without_overrides(self):
        injector = Injector(1.0)
        injector.bind(None)

        async def hook(r: Annotated[Resource, Depends()]) -> str:
            return r.name

        assert await call(injector, hook) == "resource"

    async def test_parts_of_a_request_that_a_message_has_not(self, injector):
        def paged(page: int) -> int:
            return page

        async def hook(page: Annotated[int, Depends(paged)]) -> int:
            return page

        with pytest.raises(ConfigurationError, match="parts of a request that a message has not"):
            await call(injector, hook)

    async def test_calls_at_once_have_dependencies_of_their_own(self, injector):
        opened: set[Resource] = set()
        most = 0
        both = asyncio.Barrier(2)

        async def resource() -> AsyncIterator[Resource]:
            nonlocal most
            made = Resource()
            opened.add(made)
            most = max(most, len(opened))
            yield made
            opened.discard(made)

        async def hook(r: Annotated[Resource, Depends(resource)]) -> Resource:
            await both.wait()
            return r

        prepared = injector.prepare(hook, OFFERED)
        one, two = await asyncio.gather(*(prepared(identity=ADA, channel=ROOM) for _ in range(2)))
        assert one is not two
        assert (most, opened) == (2, set())


class TestFailures:
    async def test_a_hook_that_takes_too_long(self, log):
        injector = Injector(0.02)
        injector.bind(None)

        async def session() -> AsyncIterator[str]:
            try:
                yield "s"
            except asyncio.CancelledError:
                log.append("cancelled")
                raise
            finally:
                log.append("closed")

        async def hook(s: Annotated[str, Depends(session)]) -> None:
            await asyncio.Event().wait()

        with pytest.raises(HookTimeout, match=r"longer than 0\.02 s; try again"):
            await call(injector, hook)
        assert log == ["cancelled", "closed"]

    async def test_a_dependency_that_takes_too_long(self):
        injector = Injector(0.02)
        injector.bind(None)

        async def slow() -> None:
            await asyncio.Event().wait()

        async def hook(s: Annotated[None, Depends(slow)]) -> None: ...

        with pytest.raises(HookTimeout):
            await call(injector, hook)

    async def test_a_timeout_of_the_hooks_own_is_an_error_of_the_hook(self, injector):
        async def hook() -> None:
            raise TimeoutError("the database")

        with pytest.raises(TimeoutError, match="the database"):
            await call(injector, hook)

    @pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
    @pytest.mark.parametrize("where", ["hook", "dependency"])
    async def test_a_refusal_in_http_is_a_refusal(self, injector, status, where):
        def refuse() -> None:
            raise HTTPException(status, "Members only")

        async def by_dependency(_: Annotated[None, Depends(refuse)]) -> None: ...

        with pytest.raises(Forbidden) as raised:
            await call(injector, by_dependency if where == "dependency" else refuse)
        assert raised.value.message == "Members only"

    async def test_a_failure_in_http_is_none(self, injector):
        def fail() -> None:
            raise HTTPException(503, "no database")

        with pytest.raises(HTTPException):
            await call(injector, fail)

    async def test_what_a_hook_raises_comes_as_it_is(self, injector):
        async def hook() -> None:
            raise Forbidden("of the application")

        with pytest.raises(Forbidden, match="of the application"):
            await call(injector, hook)

    async def test_cancelling_the_caller_closes_everything(self, injector, log):
        inside = asyncio.Event()

        async def session() -> AsyncIterator[str]:
            try:
                yield "s"
            finally:
                log.append("closed")

        async def hook(s: Annotated[str, Depends(session)]) -> None:
            inside.set()
            await asyncio.Event().wait()

        task = asyncio.ensure_future(call(injector, hook))
        await inside.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert log == ["closed"]
