"""Whose background jobs are compared, and how each of their processes is started."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import distributions, version
from pathlib import Path
from typing import Literal

from contestants import PEERS, SERVERS

JOBS_PYTHON = PEERS / "jobs" / "bin" / "python"


@dataclass(frozen=True, slots=True)
class JobContestant:
    """A job queue on a store.

    Args:
        name: in the tables.
        program: what runs it, in `servers/`.
        python: by which Python.
        store: where it keeps the jobs.
        processes: with how many workers it is measured.
        packages: whose versions are shown.
    """

    name: str
    program: str
    python: Path
    store: Literal["sqlite", "postgresql", "redis"]
    processes: Sequence[int] = (1, 4)
    packages: Sequence[str] = ()

    @property
    def is_one_process(self) -> bool:
        """Whether who enqueues runs the jobs too."""
        return self.store == "sqlite"

    @property
    def is_hubbub(self) -> bool:
        """Whether it is ours."""
        return self.python == OWN

    def missing(self) -> str | None:
        """Say what is not installed."""
        return None if self.python.exists() else "not installed (scripts/install-peers says why)"

    def command(self, role: str) -> list[str]:
        """Return how a process of it is started: to `work`, to `enqueue`, or for `both`."""
        return [str(self.python), str(SERVERS / self.program), role]


OWN = Path(sys.executable)

ON_SQLITE = JobContestant(
    "Hubbub on SQLite, one process", "hubbub_jobs.py", OWN, "sqlite", (1,), ("hubbub", "aiosqlite")
)
ON_POSTGRES = JobContestant(
    "Hubbub on PostgreSQL", "hubbub_jobs.py", OWN, "postgresql", packages=("hubbub", "asyncpg")
)
SAQ_ON_POSTGRES = JobContestant(
    "SAQ on PostgreSQL", "saq_jobs.py", JOBS_PYTHON, "postgresql", packages=("saq", "psycopg")
)
SAQ_ON_REDIS = JobContestant("SAQ on Redis", "saq_jobs.py", JOBS_PYTHON, "redis", packages=("saq", "redis"))
PROCRASTINATE = JobContestant(
    "procrastinate on PostgreSQL",
    "procrastinate_jobs.py",
    JOBS_PYTHON,
    "postgresql",
    packages=("procrastinate", "psycopg"),
)

ALL = (ON_SQLITE, ON_POSTGRES, SAQ_ON_POSTGRES, SAQ_ON_REDIS, PROCRASTINATE)


def versions(contestants: Iterable[JobContestant]) -> Iterator[str]:
    """Return each package that takes part with its version, once."""
    for python, name in dict.fromkeys((each.python, name) for each in contestants for name in each.packages):
        if python == OWN:
            yield f"{name} {version(name)}"
        else:
            folders = [str(folder) for folder in python.parents[1].glob("lib/*/site-packages")]
            yield f"{name} {next((each.version for each in distributions(name=name, path=folders)), '?')}"
