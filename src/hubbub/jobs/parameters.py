"""The params of a task, read from its signature."""

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NotRequired, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config
from pydantic_core import PydanticSerializationError
from typing_extensions import TypedDict

from hubbub.exceptions import ConfigurationError
from hubbub.jobs.context import JobContext
from hubbub.jobs.errors import InvalidParams
from hubbub.jobs.likeness import is_finite, is_same

CONTEXT = "ctx"
CHANGED = (
    "JSON as the param is annotated does not keep secrets, excluded fields, infinite numbers and NaN, iterators, and what an annotation "
    "knows nothing of, such as the fields of a subclass"
)


class Parameters:
    """Reads and writes the params of one function, as pydantic understands its annotations.

    Args:
        function: whose first parameter may be a `JobContext`, by its annotation or by the name ``ctx``.

    Raises:
        ConfigurationError: it is no function, one of its annotations cannot be read, or a param has no place in a JSON object; the
            message names the function and the param.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        name = getattr(function, "__qualname__", None) or repr(function)
        hints = hints_of(name, function)
        parameters = list(inspect.signature(function).parameters.values())
        self.takes_context = bool(parameters) and (
            hints.get(parameters[0].name) is JobContext
            or (parameters[0].name == CONTEXT and parameters[0].name not in hints)
        )
        if self.takes_context:
            parameters = parameters[1:]
        fields: dict[str, Any] = {}
        for each in parameters:
            if each.kind not in {each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY}:
                raise ConfigurationError(f"{name}: a task takes its params by name, which {each} cannot be.")
            hint = hints.get(each.name, Any)
            if hint is JobContext:
                raise ConfigurationError(f"{name}: the context is the first parameter.")
            adapter(f"{name}: the param {each.name!r}", hint)  # so that the message can name it
            fields[each.name] = hint if each.default is each.empty else NotRequired[hint]
        self.required = [each.name for each in parameters if each.default is each.empty]
        self._signature = inspect.Signature(parameters)
        made = TypedDict("Params", fields)  # type: ignore[misc]  # the names are known at run time
        self._adapter = adapter(name, with_config(ConfigDict(extra="forbid"))(made))
        self._result = adapter(f"{name}: what it returns", hints.get("return", Any))

    def bind(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
        """Write the arguments of a call as a JSON object.

        Raises:
            InvalidParams: they do not fit the signature, or as `write`.
        """
        try:
            bound = self._signature.bind(*args, **kwargs).arguments
        except TypeError as error:
            raise InvalidParams(f"The params do not fit: {error}.") from None
        return self.write(bound)

    def write(self, params: Mapping[str, Any]) -> str:
        """Check params and write them as a JSON object of which `read` makes the same again.

        Raises:
            InvalidParams: they are not those of the function, or JSON cannot keep them as they are: a secret is hidden, a field
                excluded, a number infinite, a model of a class of which the annotation knows less. The message names the param.
        """
        try:
            value = self._adapter.validate_python(dict(params))
            written = self._adapter.dump_json(value, warnings="error").decode()
        except ValidationError as error:
            raise InvalidParams(explained(error)) from None
        except (PydanticSerializationError, ValueError) as error:
            raise InvalidParams(f"The params cannot be written as JSON: {error}") from None
        try:
            kept = self.read(written)
        except InvalidParams as error:
            raise InvalidParams(f"{error} (when read as it would be stored; {CHANGED})") from None
        for name, given in value.items():
            if name not in kept or not is_same(given, kept[name]):
                raise InvalidParams(
                    f"{name}: a {type(given).__name__} was given that would not reach the task as it is; {CHANGED}"
                )
        if ("NaN" in written or "Infinity" in written) and not is_json(written):
            raise InvalidParams("The params have numbers that are infinite or NaN, which JSON has not.")
        return written

    def read(self, params: str) -> dict[str, Any]:
        """Read params for a call.

        Raises:
            InvalidParams: they are not, or no longer, those of the function.
        """
        try:
            # By name, as it is written: aliases are for those outside.
            value: dict[str, Any] = self._adapter.validate_json(params, by_alias=True, by_name=True)
        except ValidationError as error:
            raise InvalidParams(explained(error)) from None
        return value

    def written_result(self, result: Any) -> str | None:
        """Write what the function returned as JSON; `None` for nothing.

        Raises:
            ValueError: it cannot be written.
        """
        if result is None:
            return None
        written = self._result.dump_json(result, warnings=False).decode()
        # pydantic writes numbers that JSON has not as `null`.
        if "null" in written and not is_finite(self._result.dump_python(result, warnings=False)):
            raise ValueError("NaN and infinite numbers are no JSON")
        return written


def hints_of(name: str, function: Callable[..., Any]) -> dict[str, Any]:
    """Read the annotations of a function that can be a task.

    Raises:
        ConfigurationError: it cannot, or they cannot be read.
    """
    if isinstance(function, partial) or not inspect.isroutine(function):
        raise ConfigurationError(
            f"{name}: a task is a function, with def or async def, not {type(function).__name__}; wrap it in one."
        )
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise ConfigurationError(f"{name}: a task returns what it has to say, and cannot yield it.")
    try:
        return get_type_hints(function, include_extras=True)
    except Exception as error:
        raise ConfigurationError(
            f"{name}: its annotations cannot be read, which has to be possible at run time (not only if TYPE_CHECKING, not within a "
            f"function): {error}"
        ) from error


def adapter(what: str, hint: Any) -> TypeAdapter[Any]:
    """Have pydantic understand an annotation.

    Raises:
        ConfigurationError: it does not.
    """
    try:
        made = TypeAdapter[Any](hint)
        if not made.pydantic_complete:  # a model of which an annotation could not be found yet
            made.rebuild()
    except Exception as error:  # pydantic's, or whatever a class raises that describes itself
        reason = str(error).splitlines()[0]
        raise ConfigurationError(
            f"{what} has an annotation that pydantic cannot read or write as JSON: {reason}"
        ) from error
    return made


def is_json(text: str) -> bool:
    """Tell whether there are only numbers in a JSON text that JSON has."""

    def refuse(constant: str) -> None:
        raise ValueError(constant)

    try:
        json.loads(text, parse_constant=refuse)
    except ValueError:
        return False
    return True


def explained(error: ValidationError) -> str:
    """Say in a sentence what is wrong with params."""
    parts = [
        f"{'.'.join(str(place) for place in each['loc']) or 'params'}: {each['msg']}"
        for each in error.errors()
    ]
    return "; ".join(parts)[:1000]
