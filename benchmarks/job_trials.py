"""Trials of job queues: a fresh store, one process that enqueues, workers beside it; and what they are asked."""

import asyncio
import json
import os
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles
from typing import Any

import rings  # noqa: F401 (what is imported below is found by it)

# isort: split

from postgres_servers import PostgresServer
from redis_servers import redis_server

from job_contestants import JobContestant

PLACES = 20
PATIENCE = 300.0
"""Seconds after which an answer is given up."""
WARM = 200
SAVE = "save 3600 1 300 100 60 10000"
"""What Redis does when its settings say nothing."""

Figures = dict[str, float]


class TrialError(RuntimeError):
    """A queue did not do what it was asked; the text says what its processes printed last."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is asked for: single jobs, jobs enqueued first, jobs enqueued while workers run."""

    samples: int
    filled: int
    rushed: int


class Trial:
    """One contestant on a fresh store. Processes are ended by the id they were started with."""

    def __init__(self, contestant: JobContestant, store: str, folder: Path) -> None:
        self.store = store
        self._contestant = contestant
        self._folder = folder
        self._log = folder / "log"
        self._environment = {"STORE": store, "PLACES": str(PLACES)}
        for name in ("LINE", "GATE"):
            path = folder / name
            os.mkfifo(path)
            self._environment[name] = str(path)
        self._children: list[asyncio.subprocess.Process] = []

    async def start(self, role: str) -> asyncio.subprocess.Process:
        """Start a process of it."""
        with self._log.open("ab") as log:
            child = await asyncio.create_subprocess_exec(
                *self._contestant.command(role),
                env={**os.environ, **self._environment},
                cwd=self._folder,
                stdin=subprocess.PIPE,
                stdout=log if role == "work" else subprocess.PIPE,
                stderr=log,
                limit=1 << 20,
                process_group=0,
            )
        self._children.append(child)
        return child

    async def ask(self, name: str, argument: int) -> Any:
        """Ask the one that enqueues, which was started first.

        Raises:
            TrialError: it, or a worker, ended; or it did not answer in time.
        """
        child = self._children[0]
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(f"{json.dumps([name, argument])}\n".encode())
        ended = [asyncio.create_task(each.wait()) for each in self._children]
        answer = asyncio.create_task(child.stdout.readline())
        try:
            await asyncio.wait([answer, *ended], timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
            if not answer.done() or not answer.result():
                last = self._log.read_text(errors="replace").strip().splitlines()[-1:] or ["no output"]
                why = "a process ended" if any(each.done() for each in (answer, *ended)) else "no answer"
                raise TrialError(f"{name}: {why}: {last[0][:200]}")
            return json.loads(answer.result())
        finally:
            for task in (answer, *ended):
                task.cancel()

    async def have_workers(self, count: int) -> None:
        """Start workers, and let them begin at the same moment."""
        for _ in range(count):
            await self.start("work")
        await self.ask("open_gate", count)

    async def end(self) -> None:
        """Leave no process behind."""
        for child in self._children:
            with suppress(ProcessLookupError):
                child.kill()
            await child.wait()


@asynccontextmanager
async def trial(contestant: JobContestant, postgres: PostgresServer) -> AsyncIterator[Trial]:
    """Have a contestant on a store of its own, nobody started yet."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hubbub-bench-")))
        match contestant.store:
            case "sqlite":
                store = f"sqlite:///{folder / 'jobs.db'}"
            case "redis":
                store = (await stack.enter_async_context(redis_server(folder, SAVE))).url
            case _:
                store = await postgres.new_database()
                name = store.rpartition("/")[2]
                stack.push_async_callback(postgres.execute, f'DROP DATABASE "{name}" WITH (FORCE)')
                await postgres.execute(
                    "CHECKPOINT"
                )  # else the one before has it done at the cost of this one
        made = Trial(contestant, store, folder)
        stack.push_async_callback(made.end)
        yield made


async def pick_up(contestant: JobContestant, postgres: PostgresServer, sizes: Sizes) -> Figures:
    """Take how soon single jobs begin; of Hubbub also how long a bare commit takes."""
    figures: Figures = {}
    async with trial(contestant, postgres) as run:
        await run.start("both" if contestant.is_one_process else "enqueue")
        if not contestant.is_one_process:
            await run.have_workers(1)
        if contestant.is_hubbub:
            figures["bare p50"], figures["bare p99"] = percentiles(await run.ask("bare", sizes.samples))
        times = await run.ask("pick_up", sizes.samples)
    for name, part in (("called", 0), ("returned", 1)):
        figures[f"{name} p50"], figures[f"{name} p99"] = percentiles([each[part] for each in times])
    return figures


async def rates(contestant: JobContestant, postgres: PostgresServer, processes: int, sizes: Sizes) -> Figures:
    """Take how many jobs a second are worked off that were there before, and how many from end to end."""
    figures: Figures = {}
    async with trial(contestant, postgres) as run:
        await run.start("enqueue")
        await run.ask("fill", sizes.filled)
        if contestant.store == "postgresql":
            # Autovacuum would, within a minute; without, some plans are those for an empty table.
            await postgres.execute("VACUUM ANALYZE", run.store.rpartition("/")[2])
        await run.have_workers(processes)
        figures["worked off"], again = await run.ask("work_off", sizes.filled)
    async with trial(contestant, postgres) as run:
        await run.start("both" if contestant.is_one_process else "enqueue")
        if not contestant.is_one_process:
            await run.have_workers(processes)
        await run.ask("warm_up", WARM)
        figures["end to end"], more = await run.ask("rush", sizes.rushed)
    figures["begun twice"] = again + more
    return figures


def percentiles(seconds: list[float]) -> tuple[float, float]:
    """Return p50 and p99 in milliseconds."""
    cuts = quantiles(seconds, n=100, method="inclusive")
    return cuts[49] * 1000, cuts[98] * 1000
