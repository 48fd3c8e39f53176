"""What the programs of all job queues share: their roles, how a task says that it began, how they are told what to do.

`python saq_jobs.py work` runs jobs, `… enqueue` enqueues them, `… both` does both in one process. Who enqueues reads requests
from its standard input, a line of JSON each, and answers with one; it also looks when jobs began and when all are done.
Nothing here but the standard library, since the queues have environments of their own.
"""

import asyncio
import fcntl
import json
import os
import struct
import sys
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

STORE = os.environ["STORE"]
"""Where the jobs are: a URL."""
PLACES = int(os.environ["PLACES"])
"""Jobs that a process runs at once."""
ROLE = sys.argv[1]
RUNS_JOBS = ROLE in {"work", "both"}

SAID = struct.Struct("<Id")
"""A job's number, and the clock, which all processes of a machine share (CLOCK_MONOTONIC)."""
HERE = 2**32 - 1
"""Said instead of a number by a worker that is ready to begin."""
ROOM = 1 << 20
"""Bytes that may wait to be read, so that no task waits for the reader."""

PAUSE = 0.03
"""Seconds between two single jobs: the one before is done by then."""
LOOK = 0.02
"""Seconds between two looks at what has been said; a look for each job would be work beside the workers'."""
WARM = 20
"""Jobs before those that count."""
IN_FLIGHT = 50

line = os.open(os.environ["LINE"], os.O_RDWR | os.O_NONBLOCK)
fcntl.fcntl(line, fcntl.F_SETPIPE_SZ, ROOM)


def begun(number: int) -> None:
    """Say that a job's task is in its first line."""
    os.write(line, SAID.pack(number, time.monotonic()))


class Queue(Protocol):
    """What is measured."""

    async def prepare(self) -> None:
        """Make its tables in an empty store."""

    def connected(self) -> AbstractAsyncContextManager[Any]:
        """Have connections, and in the role `both` run jobs, while in the block."""

    async def work(self) -> None:
        """Run jobs, connected, for ever."""

    async def enqueue(self, number: int) -> object:
        """Enqueue one job."""

    async def fill(self, count: int) -> None:
        """Enqueue many, in whichever way is fastest."""

    async def unfinished(self) -> int:
        """Say how many jobs are stored that are not done."""

    async def bare(self, number: int) -> None:
        """Commit one row of nothing; only of Hubbub is it asked."""


def run(queue: Queue) -> None:
    """Be what the command line says."""
    asyncio.run(_work(queue) if ROLE == "work" else _answer(queue))


async def _work(queue: Queue) -> None:
    async with queue.connected():
        begun(HERE)
        await asyncio.to_thread(_wait_at_gate)
        await queue.work()


def _wait_at_gate() -> None:
    os.close(os.open(os.environ["GATE"], os.O_RDONLY))  # opens as soon as somebody has it open to write


async def _answer(queue: Queue) -> None:
    await queue.prepare()
    measures = Measures(queue)
    async with queue.connected():
        while request := await asyncio.to_thread(sys.stdin.readline):
            name, argument = json.loads(request)
            print(json.dumps(await getattr(measures, name)(argument)), flush=True)


class Measures:
    """What can be asked of a process that enqueues."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._rest = b""

    async def open_gate(self, workers: int) -> None:
        """Let the workers begin, once all are there."""
        await self._collect(workers)
        os.open(os.environ["GATE"], os.O_RDWR)

    async def bare(self, samples: int) -> list[float]:
        """Time bare commits, as far apart as the single jobs."""
        times = []
        for number in range(samples + WARM):
            await asyncio.sleep(PAUSE)
            before = time.monotonic()
            await self._queue.bare(number)
            times.append(time.monotonic() - before)
        return times[WARM:]

    async def pick_up(self, samples: int) -> list[tuple[float, float]]:
        """Enqueue single jobs; time each from the call, and from its return, to the first line of the task."""
        times = []
        for number in range(samples + WARM):
            await asyncio.sleep(PAUSE)
            called = time.monotonic()
            await self._queue.enqueue(number)
            returned = time.monotonic()
            at = await self._next(number)
            times.append((at - called, max(0.0, at - returned)))
        return times[WARM:]

    async def fill(self, count: int) -> None:
        """Enqueue many, before anybody works."""
        await self._queue.fill(count)

    async def work_off(self, count: int) -> tuple[float, int]:
        """Wait for what was filled in; return jobs a second from the first beginning to the last end, and how many began twice."""
        return await self._rate(count)

    async def rush(self, count: int) -> tuple[float, int]:
        """Enqueue one by one, many calls in flight; the same from the first call to the last end."""
        start = time.monotonic()
        await in_flight(self._queue.enqueue, range(count))
        return await self._rate(count, start)

    async def warm_up(self, count: int) -> None:
        """Have all that is made once made: connections, plans, code."""
        await in_flight(self._queue.enqueue, range(count))
        await self._rate(count)

    async def _rate(self, count: int, start: float | None = None) -> tuple[float, int]:
        times, again = await self._collect(count)
        while await self._queue.unfinished():  # noqa: ASYNC110 (that is told nobody)
            await asyncio.sleep(0.005)
        seconds = time.monotonic() - (min(times) if start is None else start)
        return count / seconds, again

    async def _collect(self, count: int) -> tuple[list[float], int]:
        """Wait until so many jobs have begun, or workers are there; return when, and how many began more than once."""
        numbers: set[int] = set()
        times: list[float] = []
        while len(numbers) < count:
            await asyncio.sleep(LOOK)
            for number, at in self._said():
                numbers.add(number if number != HERE else HERE + len(times))
                times.append(at)
        return times, len(times) - len(numbers)

    async def _next(self, number: int) -> float:
        while True:
            for each, at in self._said():
                if each == number:
                    return at
            readable = asyncio.Event()
            loop = asyncio.get_running_loop()
            loop.add_reader(line, readable.set)
            try:
                await readable.wait()
            finally:
                loop.remove_reader(line)

    def _said(self) -> Iterable[tuple[int, float]]:
        try:
            data = self._rest + os.read(line, ROOM)
        except BlockingIOError:
            return ()
        whole = len(data) - len(data) % SAID.size
        self._rest = data[whole:]
        return SAID.iter_unpack(data[:whole])  # type: ignore[return-value]  # tuples as the format says


async def in_flight(
    enqueue: Callable[[int], Awaitable[object]], numbers: Iterable[int], most: int = IN_FLIGHT
) -> None:
    """Enqueue one by one, with so many calls under way."""
    left = iter(numbers)

    async def one_after_another() -> None:
        for number in left:
            await enqueue(number)

    await asyncio.gather(*(one_after_another() for _ in range(most)))
