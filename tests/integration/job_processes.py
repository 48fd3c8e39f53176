"""Processes that run jobs, as the tests hold them; each is ended by the id it was started with."""

import itertools
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

from job_tasks import Ledger, define
from serving import eventually

from hubbub.database import Database, Dialect
from hubbub.database.schema import migrate
from hubbub.jobs import Jobs, JobView, Status

PROGRAM = Path(__file__).parent / "job_program.py"
LEASE = 0.6
STOP = 20.0


class Nursery:
    """A program that forks processes which run jobs."""

    def __init__(self) -> None:
        self._program = subprocess.Popen(
            [sys.executable, str(PROGRAM)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def fork(self, log: Path, *arguments: object) -> int:
        """Start one; return its id."""
        assert self._program.stdin is not None
        assert self._program.stdout is not None
        print(log, *arguments, file=self._program.stdin, flush=True)
        return int(self._program.stdout.readline())

    def end(self) -> None:
        """End it, and all that it forked."""
        self._program.kill()
        self._program.communicate(timeout=STOP)


class JobProcess:
    """A process that runs jobs."""

    def __init__(self, pid: int, log: Path) -> None:
        self.pid = pid
        self.log = log

    @property
    def said(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    @property
    def is_alive(self) -> bool:
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        return True

    async def says(self, word: str, within: float = 30.0) -> None:
        await eventually(lambda: word in self.said, within=within, every=0.02, seen=lambda: self.said)

    def send(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def end(self) -> None:
        if self.is_alive:
            self.send(signal.SIGKILL)


class Stage:
    """A database with jobs, processes that run them, and one that only enqueues and watches: the test's own."""

    def __init__(self, url: str, folder: Path, nursery: Nursery) -> None:
        self.url = url
        self._nursery = nursery
        self._logs = (folder / f"worker-{number}.log" for number in itertools.count())
        self.folder = folder
        self.ledger = Ledger(folder / "ledger")
        self._stack = ExitStack()

    async def __aenter__(self):
        self.database = Database(self.url, lease=LEASE)
        await migrate(self.database)
        self.jobs = Jobs(self.database, concurrency=0)
        define(self.jobs, self.folder)
        await self.jobs.__aenter__()
        return self

    async def __aexit__(self, *args):
        self._stack.close()
        await self.jobs.__aexit__(*args)
        await self.database.engine.dispose()

    async def process(self, *, concurrency=10, drain=5.0, kills=0, seed=0, is_awaited=True) -> JobProcess:
        """Start one; return when it runs."""
        log = next(self._logs)
        pid = self._nursery.fork(log, self.url, self.folder, LEASE, concurrency, drain, kills, seed)
        process = JobProcess(pid, log)
        self._stack.callback(process.end)
        if is_awaited:
            await process.says("ready")
        return process

    async def stop(self, process: JobProcess) -> None:
        """Stop a process (SIGSTOP), but not while it holds SQLite's file: then nobody could write."""

        async def is_stopped() -> bool:
            process.send(signal.SIGSTOP)
            if self.database.dialect is Dialect.POSTGRESQL:
                return True
            connection = sqlite3.connect(
                self.database.address.url.database, timeout=0.2, isolation_level=None
            )
            try:
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("ROLLBACK")
            except sqlite3.OperationalError:
                process.send(signal.SIGCONT)
                return False
            finally:
                connection.close()
            return True

        await eventually(is_stopped)

    async def enqueue(self, kind: str, **params) -> str:
        return (await self.jobs.enqueue(kind, params)).job.id

    def open(self, gate: str) -> None:
        (self.folder / gate).touch()

    async def is_now(self, job_id: str, status: Status, within: float = 30.0) -> JobView:
        async def stands():
            job = await self.jobs.get(job_id)
            return job if job.status is status else None

        return await eventually(stands, within=within, every=0.02)

    async def begun(self, job_id: str, times: int = 1) -> None:
        await eventually(lambda: self.ledger.of("begin").count(job_id) >= times, within=30, every=0.01)
