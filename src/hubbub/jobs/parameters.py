"""The params of a task, read from its signature."""

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NotRequired, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config
from pydantic_core import PydanticSerializationError
from typing_extensions import TypedDict

from hubbub.exceptions import ConfigurationError
from hubbub.jobs.context import JobContext
from hubbub.jobs.errors import InvalidParams

CONTEXT = "ctx"


class Parameters:
    """Reads and writes the params of one function, as pydantic understands its annotations.

    Args:
        function: whose first parameter may be a `JobContext`, by its annotation or by the name ``ctx``.

    Raises:
        ConfigurationError: the signature has something that cannot be a name in a JSON object.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        name = getattr(function, "__qualname__", repr(function))
        hints = get_type_hints(function, include_extras=True)
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
            fields[each.name] = hint if each.default is each.empty else NotRequired[hint]
        self.required = [each.name for each in parameters if each.default is each.empty]
        self._signature = inspect.Signature(parameters)
        made = TypedDict("Params", fields)  # type: ignore[misc]  # the names are known at run time
        self._adapter: TypeAdapter[Any] = TypeAdapter(with_config(ConfigDict(extra="forbid"))(made))
        result = hints.get("return", Any)
        self._result: TypeAdapter[Any] = TypeAdapter(result)

    def bind(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
        """Write the arguments of a call as a JSON object.

        Raises:
            InvalidParams: they do not fit the signature, or cannot be written as JSON.
        """
        try:
            bound = self._signature.bind(*args, **kwargs).arguments
        except TypeError as error:
            raise InvalidParams(f"The params do not fit: {error}.") from None
        return self.write(bound)

    def write(self, params: Mapping[str, Any]) -> str:
        """Check params and write them as a JSON object that `read` takes.

        Raises:
            InvalidParams: they are not those of the function, or cannot be written as JSON.
        """
        try:
            value = self._adapter.validate_python(dict(params))
            written = self._adapter.dump_json(value, warnings="error").decode()
        except ValidationError as error:
            raise InvalidParams(explained(error)) from None
        except (PydanticSerializationError, ValueError) as error:
            raise InvalidParams(f"The params cannot be written as JSON: {error}") from None
        self.read(written)  # what is taken here can be read where it runs
        return written

    def read(self, params: str) -> dict[str, Any]:
        """Read params for a call.

        Raises:
            InvalidParams: they are not, or no longer, those of the function.
        """
        try:
            value: dict[str, Any] = self._adapter.validate_json(params)
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
        json.loads(written)  # infinite numbers are not JSON
        return written


def explained(error: ValidationError) -> str:
    """Say in a sentence what is wrong with params."""
    parts = [
        f"{'.'.join(str(place) for place in each['loc']) or 'params'}: {each['msg']}"
        for each in error.errors()
    ]
    return "; ".join(parts)[:1000]
