"""The server of a stress run: its namespaces, and how it is started for each outlet."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from serving import SECRET, Serving, hubbub_serve, process

HEARTBEAT = 3.0
GRACE = 0.5
LEEWAY = 30.0
"""Seconds that the server adds to a token's end."""

HALL = "hall:all"
"""The channel that everybody is in."""

Outlet = Literal["direct", "queued"]


@dataclass(frozen=True)
class Policy:
    """What the checks have to know of a namespace."""

    overflow: Literal["close", "drop_oldest", "conflate"]
    overflow_bytes: int
    history: int
    presence: bool = False

    @property
    def drops(self) -> bool:
        """Whether a slow receiver may be told of a gap."""
        return self.overflow != "close"


@dataclass(frozen=True)
class House:
    """A running server."""

    serving: Serving
    outlet: Outlet
    compression: bool

    @property
    def port(self) -> int:
        """Where it listens."""
        return self.serving.port


POLICIES = {
    "room": Policy("close", 60_000, 400, presence=True),
    "brief": Policy("close", 40_000, 12),
    "newest": Policy("drop_oldest", 30_000, 40),
    "latest": Policy("conflate", 30_000, 40, presence=True),
    "hall": Policy("close", 200_000, 300, presence=True),
    "user": Policy("close", 262_144, 100),
}


def policy(channel: str) -> Policy:
    """Return the policy of a channel."""
    return POLICIES[channel.partition(":")[0]]


def namespaces() -> str:
    """Write `hubbub.toml`."""
    tables = []
    for name, each in POLICIES.items():
        who = 'subscribe = "owner"' if name == "user" else 'publish = "subscriber"'
        tables.append(
            f"[namespaces.{name}]\n{who}\n"
            f'overflow = "{each.overflow}"\noverflow_bytes = {each.overflow_bytes}\n'
            f"history_size = {each.history}\npresence = {str(each.presence).lower()}\n"
        )
    return "\n".join(tables)


@contextmanager
def served(outlet: Outlet, folder: Path, *, compression: bool) -> Iterator[House]:
    """Run the server: `hubbub serve`, whose outlet is the direct one, or its application under plain uvicorn."""
    (folder / "hubbub.toml").write_text(namespaces())
    settings = {
        "MAX_CONNECTIONS": "0",
        "MAX_CONNECTIONS_PER_USER": "0",
        "MAX_SUBSCRIPTIONS": "0",
        "MESSAGE_RATE": "0",
        "COMPRESSION": str(compression).lower(),
        "HEARTBEAT_INTERVAL": f"{HEARTBEAT:g}s",
        "PRESENCE_GRACE": f"{GRACE:g}s",
        "PRESENCE_LEASE": "10s",
    }
    if outlet == "direct":
        with hubbub_serve(folder, **settings) as serving:
            yield House(serving, outlet, compression)
        return
    options = {
        "--port": "{port}",
        "--app-dir": str(Path(__file__).parent),
        "--ws-ping-interval": f"{HEARTBEAT:g}",
        "--ws-ping-timeout": f"{HEARTBEAT:g}",
        "--ws-per-message-deflate": str(compression).lower(),
        "--log-level": "warning",
    }
    command = [sys.executable, "-m", "uvicorn", "--factory", "plain_uvicorn:make"]
    command += [word for option in options.items() for word in option]
    own = {"SECRET_KEY": SECRET, "DATA_DIR": str(folder / "data"), **settings}
    with process(command, folder, {f"HUBBUB_{name}": value for name, value in own.items()}) as serving:
        yield House(serving, outlet, compression)
