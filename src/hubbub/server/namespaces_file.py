"""``hubbub.toml``: tables ``[namespaces.NAME]``, and where in the file something is wrong."""

import difflib
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any, NoReturn

from hubbub import ConfigurationError, Overflow, Publish, Subscribe
from hubbub.server.durations import seconds
from hubbub.server.toml_lines import line_of

TABLE = "namespaces"


def choice(kind: type[StrEnum]) -> Callable[[object], StrEnum]:
    """Return a reader of one of the words of `kind`, those that need code written with the library left out."""

    def read(value: object) -> StrEnum:
        if value == "hook":
            raise ValueError('"hook" needs the library: write a hook in an application of your own')
        try:
            return kind(str(value))
        except ValueError:
            expected = ", ".join(f'"{member}"' for member in kind if member.value != "hook")
            raise ValueError(f"expected one of {expected}{nearest(str(value), kind)}") from None

    return read


def switch(value: object) -> bool:
    """Read ``true`` or ``false``."""
    if not isinstance(value, bool):
        raise ValueError("expected true or false")  # noqa: TRY004 (what readers raise)
    return value


def number(least: int) -> Callable[[object], int]:
    """Return a reader of a whole number."""

    def read(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ValueError(f"expected a whole number, {least} or more")
        return value

    return read


KEYS: Mapping[str, Callable[[object], Any]] = {
    "subscribe": choice(Subscribe),
    "publish": choice(Publish),
    "presence": switch,
    "join_leave": switch,
    "history_size": number(0),
    "history_ttl": lambda value: timedelta(seconds=seconds(value)),
    "recovery": switch,
    "overflow": choice(Overflow),
    "overflow_bytes": number(1),
    "max_message_bytes": number(0),
}


@dataclass(frozen=True, slots=True)
class NamespacesFile:
    """The text of a ``hubbub.toml``, and what it says."""

    path: Path
    text: str
    content: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path) -> "NamespacesFile":
        """Read a file.

        Raises:
            ConfigurationError: it is not there, or it is not TOML.
        """
        try:
            text = path.read_text("utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"{path} cannot be read: {error}.") from error
        try:
            return cls(path, text, tomllib.loads(text))
        except tomllib.TOMLDecodeError as error:
            said, _, place = str(error).partition(" (at ")
            at = re.match(r"line (\d+)", place)
            line = at[1] if at else len(text.splitlines()) or 1
            raise ConfigurationError(f"{path}, line {line}: this is not TOML: {said}.") from None

    def tables(self) -> dict[str, dict[str, Any]]:
        """Return the values of each namespace.

        Raises:
            ConfigurationError: an unknown table, key or value.
        """
        for name in self.content:
            if name != TABLE:
                self._refuse(
                    (name,), f"there is no [{name}] here; expected [{TABLE}.NAME]{nearest(name, [TABLE])}"
                )
        namespaces = self.content.get(TABLE, {})
        if not isinstance(namespaces, dict):
            self._refuse((TABLE,), f"expected a table [{TABLE}.NAME]")
        return {name: self._table(name, keys) for name, keys in namespaces.items()}

    def _table(self, name: str, keys: object) -> dict[str, Any]:
        place = (TABLE, name)
        if not isinstance(keys, dict):
            self._refuse(place, f"{name!r} is not a table; expected [{TABLE}.NAME]")
        if not name or ":" in name or not name.isprintable():
            self._refuse(
                place, f"{name!r} cannot be a namespace; expected a word such as room, without a colon"
            )
        values = {}
        for key, value in keys.items():
            if key not in KEYS:
                self._refuse(
                    (*place, key), f"{key!r} is unknown; expected {', '.join(KEYS)}{nearest(key, KEYS)}"
                )
            try:
                values[key] = KEYS[key](value)
            except ValueError as error:
                self._refuse((*place, key), f"{key} = {toml(value)}: {error}")
        return values

    def _refuse(self, place: tuple[str, ...], problem: str) -> NoReturn:
        end = "" if problem.endswith("?") else "."
        raise ConfigurationError(f"{self.path}, line {line_of(self.text, place)}: {problem}{end}")


def nearest(word: str, known: Iterable[object]) -> str:
    """Say what was probably meant."""
    found = difflib.get_close_matches(word, [str(name) for name in known], n=1)
    return f"; did you mean {found[0]!r}?" if found else ""


def toml(value: object) -> str:
    """Show a value as it may stand in the file."""
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)
