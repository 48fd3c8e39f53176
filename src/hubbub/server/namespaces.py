"""The server's namespaces: the built-in ones, and over them those of ``hubbub.toml``."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hubbub import History
from hubbub.server.namespaces_file import KEYS, NamespacesFile

DEFAULT_FILE = Path("hubbub.toml")

Policy = dict[str, Any]
"""Keywords of `Hub.namespace`."""

JOB = {
    "subscribe": "authenticated",
    "publish": "nobody",
    "history_size": 10,
    "history_ttl": "1h",
    "overflow": "conflate",
    "max_message_bytes": 65_536,
}
"""A job's progress. Beside this its channel asks whose job it is; see `hubbub.jobs.live`."""
EXPORT = {
    "subscribe": "owner",
    "publish": "nobody",
    "history_size": 1,
    "history_ttl": "24h",
    "overflow": "conflate",
}
BUILT_IN: Mapping[str, Mapping[str, Any]] = {
    "room": {
        "subscribe": "authenticated",
        "publish": "subscriber",
        "presence": True,
        "join_leave": True,
        "history_size": 500,
        "history_ttl": "24h",
        "recovery": True,
        "overflow": "close",
        "overflow_bytes": 262_144,
        "max_message_bytes": 65_536,
    },
    "topic": {"subscribe": "authenticated", "publish": "nobody", "history_size": 500, "history_ttl": "24h"},
    "user": {"subscribe": "owner", "publish": "nobody", "history_size": 100, "history_ttl": "7d"},
    "job": JOB,
    "export": EXPORT,
}


def read_namespaces(config: Path | None = None) -> dict[str, Policy]:
    """Read the built-in namespaces, and over them those of the file.

    Args:
        config: the file; `None` for ``hubbub.toml`` in the working directory, if it exists.

    Raises:
        ConfigurationError: something in the file cannot be; the message names its line.
    """
    tables: dict[str, dict[str, Any]] = {name: read_keys(keys) for name, keys in BUILT_IN.items()}
    path = config or DEFAULT_FILE
    if config is not None or path.exists():
        for name, keys in NamespacesFile.read(path).tables().items():
            tables[name] = {**tables.get(name, {}), **keys}
    return {name: policy(keys) for name, keys in tables.items()}


def read_keys(keys: Mapping[str, object]) -> dict[str, Any]:
    """Read the values of one table."""
    return {key: KEYS[key](value) for key, value in keys.items()}


def policy(keys: Mapping[str, Any]) -> Policy:
    """Make keywords for the library of the keys of a file."""
    keywords = {key: value for key, value in keys.items() if not key.startswith("history_")}
    default = History()
    return {
        **keywords,
        "history": History(keys.get("history_size", default.size), keys.get("history_ttl", default.ttl)),
    }
