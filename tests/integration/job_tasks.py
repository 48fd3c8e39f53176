"""The tasks that the tests run in processes of their own; each writes down what it does, with whom and when it began and ended."""

import asyncio
import os
import signal
import time
from pathlib import Path

from hubbub.jobs import Backoff, JobContext, Jobs

SOON = Backoff(first=0.05, factor=1, most=0.05)


class Ledger:
    """Lines in a file that several processes append to; it is read by the test."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, word: str, job: str, attempt: int) -> None:
        line = f"{word} {job} {attempt} {os.getpid()}\n".encode()
        file = os.open(self.path, os.O_APPEND | os.O_CREAT | os.O_WRONLY)
        try:
            os.write(file, line)
        finally:
            os.close(file)

    def lines(self) -> list[tuple[str, str, int, int]]:
        if not self.path.exists():
            return []
        parts = [line.split() for line in self.path.read_text().splitlines()]
        return [(word, job, int(attempt), int(pid)) for word, job, attempt, pid in parts]

    def of(self, word: str) -> list[str]:
        """The jobs that have such a line."""
        return [job for found, job, _, _ in self.lines() if found == word]


def define(jobs: Jobs, folder: Path) -> None:
    """Define the tasks; they have the same names everywhere."""
    ledger = Ledger(folder / "ledger")

    @jobs.task(name="step", retries=1000, backoff=SOON)
    async def step(ctx: JobContext, seconds: float = 0.0) -> str:
        """Take a while; return who did it."""
        ledger.write("begin", ctx.id, ctx.attempt)
        await asyncio.sleep(seconds)
        ledger.write("end", ctx.id, ctx.attempt)
        return f"{os.getpid()} {ctx.attempt}"

    @jobs.task(name="hold", retries=3, backoff=SOON, timeout=None)
    async def hold(ctx: JobContext, gate: str) -> str:
        """Wait until there is a file of that name, and report now and then."""
        ledger.write("begin", ctx.id, ctx.attempt)
        try:
            while not (folder / gate).exists():
                await ctx.progress(50, f"attempt {ctx.attempt}")
                await asyncio.sleep(0.02)
        except asyncio.CancelledError:
            ledger.write("cancelled", ctx.id, ctx.attempt)
            raise
        ledger.write("end", ctx.id, ctx.attempt)
        return f"{os.getpid()} {ctx.attempt}"

    @jobs.task(name="hang", retries=3, backoff=SOON)
    async def hang(ctx: JobContext, gate: str) -> str:
        """Block the whole process until there is a file of that name."""
        ledger.write("begin", ctx.id, ctx.attempt)
        while ctx.attempt == 1 and not (folder / gate).exists():
            time.sleep(0.02)  # noqa: ASYNC251 (the fault)
        ledger.write("end", ctx.id, ctx.attempt)
        return f"{os.getpid()} {ctx.attempt}"

    @jobs.task(name="poison", retries=2, backoff=SOON)
    async def poison(ctx: JobContext) -> None:
        """Kill the process."""
        ledger.write("begin", ctx.id, ctx.attempt)
        os.kill(os.getpid(), signal.SIGKILL)
