"""Hooks of the application, with FastAPI's own `Depends` resolved for each call.

A hook runs for a message, not for a request: its dependencies are opened before it and closed after it, so that a
database session lives as long as one message needs it and no socket pins one.

A connection's first steps are taken outside of any task, where `asyncio.timeout` and all of anyio cannot work. So a hook
that may wait is given a task there, and one that cannot wait is simply called.
"""

import asyncio
import dis
import inspect
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any, get_args, get_origin, get_type_hints

from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import get_dependant, solve_dependencies
from fastapi.params import Depends
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request

from hubbub.exceptions import ConfigurationError, Forbidden, HookTimeout

Values = Mapping[str, Any]


class Injector:
    """Calls hooks with what they ask for.

    Args:
        timeout: seconds a hook may take, its dependencies included.
    """

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._app: Any = None

    def bind(self, app: Any) -> None:
        """Name the application whose state and `dependency_overrides` dependencies see."""
        self._app = app

    def prepare(self, hook: Callable[..., Any], offered: Mapping[str, type]) -> Callable[..., Awaitable[Any]]:
        """Read a hook's signature once, and return a coroutine function that takes what is `offered` by name.

        Each parameter is either a dependency, or takes the offered value of its annotated type, else of its
        name, else the next that is left.

        A hook is held to the time limit, unless it cannot wait (an ``async def`` without any ``await``), or says by an
        attribute ``keeps_own_time = True`` that it limits itself, and needs no task of asyncio's to run in.

        Raises:
            ConfigurationError: a parameter asks for something that is not offered.
        """
        plan = Plan(hook, offered)

        async def at_once(values: Values) -> Any:
            return await plan.call(values, {})

        async def limited(values: Values) -> Any:
            try:
                async with asyncio.timeout(self._timeout) as deadline:
                    return await self._run(plan, values)
            except TimeoutError:
                if deadline.expired():
                    raise HookTimeout(
                        f"The server took longer than {self._timeout:g} s; try again."
                    ) from None
                raise

        async def in_a_task(values: Values) -> Any:
            if asyncio.current_task() is not None:
                return await limited(values)
            task = asyncio.get_running_loop().create_task(limited(values), name=f"hubbub hook {plan.name}")
            try:
                return await task
            finally:
                task.cancel()  # whoever took these steps may have given up; nothing happens to one that is done

        run = in_a_task if plan.may_wait else at_once

        async def call(**values: Any) -> Any:
            try:
                return await run(values)
            except HTTPException as error:
                if error.status_code < 500:
                    raise Forbidden(str(error.detail)) from error
                raise

        return call

    async def _run(self, plan: "Plan", values: Values) -> Any:
        if plan.dependant is None:
            return await plan.call(values, {})
        # `solve_dependencies` looks for its two exit stacks in the request's scope.
        async with AsyncExitStack() as outer, AsyncExitStack() as inner:
            request = Request(
                {
                    "type": "http",
                    "method": "GET",
                    "path": "/",
                    "headers": [],
                    "query_string": b"",
                    "app": self._app,
                    "fastapi_inner_astack": outer,
                    "fastapi_function_astack": inner,
                }
            )
            solved = await solve_dependencies(
                request=request,
                dependant=plan.dependant,
                dependency_overrides_provider=self._app
                if hasattr(self._app, "dependency_overrides")
                else None,
                async_exit_stack=outer,
                embed_body_fields=False,
            )
            if solved.errors:
                raise ConfigurationError(
                    f"{plan.name} depends on parts of a request that a message has not: {solved.errors}"
                )
            return await plan.call(values, solved.values)
        raise AssertionError("unreachable: exit stacks here suppress nothing")


class Plan:
    """A hook's signature, read once."""

    __slots__ = ("_given", "_hook", "_is_async", "dependant", "may_wait", "name")

    def __init__(self, hook: Callable[..., Any], offered: Mapping[str, type]) -> None:
        self.name = getattr(hook, "__qualname__", repr(hook))
        self._hook = hook
        target = hook if inspect.isroutine(hook) or inspect.isclass(hook) else type(hook).__call__
        self._is_async = inspect.iscoroutinefunction(target)
        try:
            hints = get_type_hints(target, include_extras=True)
        except NameError as error:
            raise ConfigurationError(f"{self.name}: an annotation cannot be resolved: {error}") from error
        parameters = inspect.signature(hook).parameters.values()
        dependencies = []
        plain = []
        for parameter in parameters:
            annotation = hints.get(parameter.name, parameter.annotation)
            if is_dependency(parameter, annotation):
                dependencies.append(
                    parameter.replace(annotation=annotation, kind=inspect.Parameter.KEYWORD_ONLY)
                )
            else:
                plain.append((parameter, annotation))
        self._given = self._match(plain, offered)
        self.dependant = self._dependant(dependencies) if dependencies else None
        keeps_own_time = self._is_async and getattr(hook, "keeps_own_time", False)
        self.may_wait = self.dependant is not None or not (
            keeps_own_time or (self._is_async and never_waits(target))
        )
        """Whether its call may be suspended; one that keeps its own time counts as if it were not."""

    async def call(self, values: Values, solved: Values) -> Any:
        """Run the hook; a sync one in a thread."""
        arguments = {name: values[source] for name, source in self._given.items()}
        if self._is_async:
            return await self._hook(**arguments, **solved)
        result = await run_in_threadpool(self._hook, **arguments, **solved)
        return await result if inspect.isawaitable(result) else result

    def _match(
        self, plain: list[tuple[inspect.Parameter, Any]], offered: Mapping[str, type]
    ) -> dict[str, str]:
        left = dict(offered)
        given: dict[str, str] = {}

        def give(parameter: inspect.Parameter, source: str | None) -> None:
            if source is not None:
                given[parameter.name] = source
                del left[source]

        # Types and names first: a parameter without either must not take what a later one asks for.
        named = [(parameter, annotation) for parameter, annotation in plain if is_named(parameter)]
        for parameter, annotation in named:
            give(parameter, next((name for name, kind in left.items() if annotation is kind), None))
        for parameter, _ in named:
            if parameter.name not in given:
                give(parameter, parameter.name if parameter.name in left else None)
        missing = [each for each, _ in plain if each.name not in given and each.default is each.empty]
        for parameter in missing:
            if parameter.annotation is parameter.empty and is_named(parameter):
                give(parameter, next(iter(left), None))
            if parameter.name not in given:
                names = ", ".join(f"{name}: {kind.__name__}" for name, kind in offered.items())
                raise ConfigurationError(
                    f"{self.name}: the parameter {parameter.name!r} is neither a Depends(…) nor one of {names}."
                )
        return given

    def _dependant(self, dependencies: list[inspect.Parameter]) -> Dependant:
        def shell(**_: Any) -> None:
            """Carry a signature for FastAPI to read."""

        shell.__signature__ = inspect.Signature(dependencies)  # type: ignore[attr-defined]
        return get_dependant(path="/", call=shell)


def never_waits(function: Callable[..., Any]) -> bool:
    """Tell whether a coroutine function has no `await`, `async with` or `async for`, and so always runs through.

    Whatever suspends a coroutine does it by one instruction. Of what has no code to look at nothing is known.
    """
    code = getattr(function, "__code__", None)
    return code is not None and all(step.opname != "YIELD_VALUE" for step in dis.get_instructions(code))


def is_named(parameter: inspect.Parameter) -> bool:
    """Whether a parameter takes one value, which can be given by its name."""
    return parameter.kind in {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY}


def is_dependency(parameter: inspect.Parameter, annotation: Any) -> bool:
    """Whether FastAPI, not the hub, provides a parameter."""
    if isinstance(parameter.default, Depends):
        return True
    if isinstance(annotation, type) and issubclass(annotation, HTTPConnection):
        return True
    return get_origin(annotation) is not None and any(
        isinstance(extra, Depends) for extra in get_args(annotation)[1:]
    )
