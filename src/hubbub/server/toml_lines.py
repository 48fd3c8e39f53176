"""On which line of a TOML document something stands, which `tomllib` does not keep."""

import tomllib
from typing import Any


def line_of(text: str, place: tuple[str, ...]) -> int:
    """Return the line on which a key stands, else the one of the innermost table around it.

    Each line that looks like a header or a key is read as a document of its own, which
    takes quotes and dots apart as TOML does.
    """
    table: tuple[str, ...] = ()
    best, depth = 1, 0
    for number, line in enumerate(text.split("\n"), 1):
        header = path_in(line) if line.lstrip().startswith("[") else None
        if header is not None:
            table = here = header
        else:
            key = path_in(f"{line.partition('=')[0]} = 0") if "=" in line else None
            here = (*table, *key) if key else ()
        shared = min(len(here), len(place))
        if depth < shared and here[:shared] == place[:shared]:
            best, depth = number, shared
    return best


def path_in(line: str) -> tuple[str, ...] | None:
    """Return the dotted name in a line of TOML, or `None`."""
    try:
        value: Any = tomllib.loads(line)
    except tomllib.TOMLDecodeError:
        return None
    path: list[str] = []
    while isinstance(value, dict) and value:
        [(name, value)] = value.items()
        path.append(name)
        value = value[0] if isinstance(value, list) else value
    return tuple(path)
