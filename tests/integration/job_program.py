"""Processes that run jobs. It reads a line ``LOG URL FOLDER LEASE CONCURRENCY DRAIN KILLS SEED`` for each, forks it, and prints its id.

SIGTERM has it leave as a deploy does. With KILLS it forks one process after the other, each of which kills itself (SIGKILL) at a
point drawn by lot, so many times; the last one lives on. Only its own process is patched, and nothing is raised in place of a crash.
"""

import asyncio
import ctypes
import os
import random
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from job_tasks import define

from hubbub.database import Database
from hubbub.jobs import Jobs
from hubbub.jobs.running import Running
from hubbub.jobs.sql.claiming import Claims
from hubbub.jobs.sql.worker import Worker

POINTS = {
    "before the claim": (Claims, "claim", "before"),
    "after the claim, before its commit": (Claims, "claim", "after"),
    "after the commit, before the start": (Worker, "_begin", "before"),
    "at the start": (Running, "_call", "before"),
    "at the finish": (Running, "_call", "after"),
    "before it is stored": (Claims, "store", "before"),
    "after it is stored, before the commit": (Claims, "store", "after"),
    "after the commit of the end": (Worker, "_was_stored", "before"),
}
PDEATHSIG = 1


def die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PDEATHSIG, signal.SIGKILL)


def kill_at(point: str, count: int) -> None:
    """Have this process kill itself the so-manyth time it comes to a point."""
    owner, name, side = POINTS[point]
    original: Any = getattr(owner, name)
    left = count

    def passed() -> None:
        nonlocal left
        left -= 1
        if left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)

    if asyncio.iscoroutinefunction(original):

        async def patched(*args: Any, **kwargs: Any) -> Any:
            if side == "before":
                passed()
            result = await original(*args, **kwargs)
            if side == "after":
                passed()
            return result
    else:

        def patched(*args: Any, **kwargs: Any) -> Any:
            passed()
            return original(*args, **kwargs)

    setattr(owner, name, patched)


async def work(url: str, folder: Path, lease: float, concurrency: int, drain: float) -> None:
    """Run jobs until SIGTERM."""
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    async with Database(url, lease=lease) as database:
        jobs = Jobs(database, concurrency=concurrency, drain=drain)
        define(jobs, folder)
        async with jobs:
            print("ready", flush=True)
            await ended.wait()
    print("left", flush=True)


def run(url: str, folder: str, lease: str, concurrency: str, drain: str, kills: str, seed: str) -> None:
    """Be one of the processes."""
    values = (url, Path(folder), float(lease), int(concurrency), float(drain))
    draw = random.Random(int(seed))
    for number in range(int(kills)):
        point, count = draw.choice(sorted(POINTS)), draw.randint(1, 12)
        child = os.fork()
        if child == 0:
            die_with_parent()
            kill_at(point, count)
            asyncio.run(work(*values))
            os._exit(0)
        began = time.monotonic()
        _, status = os.waitpid(child, 0)
        assert os.WTERMSIG(status) == signal.SIGKILL, status
        print(f"kill {number}: {point}, time {count}, after {time.monotonic() - began:.2f} s", flush=True)
    print("kills done", flush=True)
    asyncio.run(work(*values))


def main() -> None:
    """Fork what is asked for, so that nobody waits for the imports again."""
    die_with_parent()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody is left as a zombie
    for line in sys.stdin:
        log, *arguments = line.split()
        child = os.fork()
        if child:
            print(child, flush=True)
            continue
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        die_with_parent()
        output = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        code = 1
        try:
            run(*arguments)
            code = 0
        except BaseException:
            traceback.print_exc()
        os._exit(code)


if __name__ == "__main__":
    main()
