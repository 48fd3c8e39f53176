"""Who is compared, and how each is started."""

import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from processes import ServerProcess, serving

SECRET = "5f" * 32
LIFTED = {"HUBBUB_MAX_CONNECTIONS": "0", "HUBBUB_MAX_CONNECTIONS_PER_USER": "0", "HUBBUB_MESSAGE_RATE": "0"}

HERE = Path(__file__).parent
BIN = Path(sys.executable).parent


@dataclass(frozen=True, slots=True)
class Contestant:
    """A server: its name in the tables, and its command with `{port}` in it."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)

    def serving(self, core: int) -> AbstractContextManager[ServerProcess]:
        """Run it on one core."""
        return serving(self.command, {"HUBBUB_SECRET_KEY": SECRET, **self.environment}, core)


def _peer(name: str, module: str) -> Contestant:
    uvicorn = (sys.executable, "-m", "uvicorn", "--app-dir", str(HERE / "servers"), "--port", "{port}")
    return Contestant(name, (*uvicorn, "--log-level", "warning", f"{module}:app"))


HUBBUB = Contestant("Hubbub", (str(BIN / "hubbub"), "serve", "--port", "{port}"), LIFTED)
ONE_BY_ONE = _peer("one by one", "one_by_one")
QUEUE_AND_WRITER = _peer("queue and writer", "queue_and_writer")

ALL = (HUBBUB, ONE_BY_ONE, QUEUE_AND_WRITER)
