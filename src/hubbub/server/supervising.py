"""Several processes that serve on one listening socket, and the one that keeps them running."""

import asyncio
import logging
import signal
import socket
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace

from hubbub import ConfigurationError
from hubbub.server.stopping import has_terminal
from hubbub.server.workers import Command, Worker

logger = logging.getLogger(__name__)

JUST_ENDED = 0.5
"""Seconds that a worker is given that hung up before it was ready: it is about to end by itself."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a supervisor waits, in seconds.

    Args:
        stop: for a worker to drain and end, before it is killed.
        start: for a worker to be ready.
        first_pause: before a worker is started again that ended for the second time in a row; twice as long each time.
        longest_pause: the longest of these pauses.
        settled: after which a worker that ends is no longer one that ends again and again.
    """

    stop: float
    start: float = 60.0
    first_pause: float = 0.5
    longest_pause: float = 30.0
    settled: float = 60.0

    def pause(self, ends: int) -> float:
        """Return how long to wait after so many ends in a row: nothing after the first."""
        return 0.0 if ends < 2 else min(self.longest_pause, self.first_pause * 2.0 ** min(ends - 2, 32))


class Supervisor:
    """Starts workers, starts dead ones again, rolls them on SIGHUP, and stops them all on SIGTERM or Ctrl-C.

    The socket stays open while workers come and go: who connects meanwhile waits for the next that accepts.

    Args:
        command: makes the command line of a worker.
        listener: the socket that they all accept from; closed when they are told to stop.
        number: how many.
        patience: returns how long to wait for what; asked again for each roll, whose workers read the settings anew.
        started: called when all of them are ready for the first time.
    """

    def __init__(
        self,
        command: Command,
        listener: socket.socket,
        number: int,
        patience: Callable[[], Patience],
        started: Callable[[], None],
    ) -> None:
        self._command = command
        self._listener = listener
        self._numbers = range(1, number + 1)
        self._renew = patience
        self._patience = patience()
        self._started = started
        self._current: dict[int, Worker] = {}
        """Of each number the one that shall be there."""
        self._replaced = {number: asyncio.Event() for number in self._numbers}
        self._all: set[Worker] = set()
        """Those as well that drain, and those that are not ready."""
        self._stop = asyncio.Event()
        self._roll = asyncio.Event()
        self._has_terminal = has_terminal()

    async def run(self) -> None:
        """Supervise until a signal says to stop, and return when every worker has ended.

        Raises:
            ConfigurationError: a worker did not get ready; it has said why.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        loop.add_signal_handler(signal.SIGHUP, self._hung_up)
        stopping = asyncio.create_task(self._stop.wait())
        supervising = asyncio.create_task(self._supervise())
        try:
            await asyncio.wait([stopping, supervising], return_when=asyncio.FIRST_COMPLETED)
            if supervising.done():
                supervising.result()
        finally:
            for task in (supervising, stopping):
                task.cancel()
            await asyncio.wait([supervising, stopping])
            await self._end_all()
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                loop.remove_signal_handler(number)

    def stop(self) -> None:
        """Have every worker drain, and end; called again, end at once."""
        if self._stop.is_set():
            for worker in self._all:
                worker.ask_to_stop()
        self._stop.set()

    def roll(self) -> None:
        """Put a new worker in the place of each, one after the other; during a roll: once more after it."""
        self._roll.set()

    def _hung_up(self) -> None:
        if self._has_terminal and not has_terminal():
            self.stop()
        else:
            self.roll()

    async def _supervise(self) -> None:
        for number in self._numbers:
            self._current[number] = await self._start(number)
        ready = await asyncio.gather(
            *(worker.ready(self._patience.start) for worker in self._current.values())
        )
        if not all(ready):
            raise ConfigurationError("A worker could not be started; what it said stands above.")
        self._started()
        await asyncio.gather(*(self._keep(number) for number in self._numbers), self._roll_when_asked())

    async def _start(self, number: int) -> Worker:
        # Shielded, because a process that was started and is known to nobody would be left behind.
        starting = asyncio.ensure_future(Worker.start(self._command, self._listener, number))
        try:
            worker = await asyncio.shield(starting)
        except asyncio.CancelledError:
            self._all.add(await starting)
            raise
        self._all.add(worker)
        return worker

    async def _keep(self, number: int) -> None:
        """Start the worker of a number again whenever it ends and was not replaced."""
        loop = asyncio.get_running_loop()
        ends = 0
        while True:
            self._replaced[number].clear()
            worker = self._current[number]
            began_at = loop.time()
            code = await self._ended_or_replaced(worker)
            if code is None:
                ends = 0
                continue
            self._all.discard(worker)
            ends = 1 if loop.time() - began_at >= self._patience.settled else ends + 1
            pause = self._patience.pause(ends)
            logger.error(
                "Worker %d (process %d) ended with %d; it is started again%s.",
                number,
                worker.pid,
                code,
                f" in {pause:g} s" if pause else "",
            )
            await asyncio.sleep(pause)
            if self._current[number] is worker:
                await self._replace_dead(worker)

    async def _ended_or_replaced(self, worker: Worker) -> int | None:
        """Wait until it ended, and return its exit code; or until a roll put another one in its place."""
        ended = asyncio.ensure_future(worker.ended())
        replaced = asyncio.ensure_future(self._replaced[worker.number].wait())
        try:
            await asyncio.wait([ended, replaced], return_when=asyncio.FIRST_COMPLETED)
        finally:
            replaced.cancel()
            if not ended.done():
                ended.cancel()
        return None if replaced.done() and not replaced.cancelled() else ended.result()

    async def _replace_dead(self, dead: Worker) -> None:
        try:
            worker = await self._start(dead.number)
        except OSError:
            logger.exception("Worker %d cannot be started", dead.number)
            return
        if self._current[dead.number] is not dead:  # a roll was quicker
            await worker.kill()
            self._all.discard(worker)
            return
        self._current[dead.number] = worker
        if await self._is_ready(worker):
            logger.info("Worker %d (process %d) is ready.", worker.number, worker.pid)

    async def _is_ready(self, worker: Worker) -> bool:
        """Wait until a new worker serves; one that does not is ended, and what became of it is told."""
        if await worker.ready(self._patience.start):
            return True
        try:
            async with asyncio.timeout(JUST_ENDED):
                code = await worker.ended()
        except TimeoutError:
            await worker.kill()
            logger.error(  # noqa: TRY400 (there is no more to say)
                "Process %d did not get ready within %g s: it is killed.", worker.pid, self._patience.start
            )
        else:
            logger.error(
                "Process %d gave up before it was ready, with exit code %d; it has said why.",
                worker.pid,
                code,
            )
        return False

    def _renew_patience(self) -> None:
        try:
            new = self._renew()
        except ConfigurationError as error:
            logger.error("The settings cannot be read: %s", error)  # noqa: TRY400 (the message says it all)
            return
        # Those that drain now were started with the settings of before.
        self._patience = replace(new, stop=max(new.stop, self._patience.stop))

    async def _roll_when_asked(self) -> None:
        while True:
            await self._roll.wait()
            self._roll.clear()
            self._renew_patience()
            logger.info("Rolling %d workers.", len(self._numbers))
            for number in self._numbers:
                if not await self._roll_one(number):
                    logger.error(
                        "The roll ends at worker %d of %d, and the old one stays.", number, len(self._numbers)
                    )
                    break
            else:
                logger.info("Rolled %d workers.", len(self._numbers))

    async def _roll_one(self, number: int) -> bool:
        try:
            worker = await self._start(number)
        except OSError:
            logger.exception("Worker %d cannot be started", number)
            return False
        if not await self._is_ready(worker):
            self._all.discard(worker)
            return False
        old, self._current[number] = self._current[number], worker
        self._replaced[number].set()
        logger.info("Worker %d: process %d is ready, process %d drains.", worker.number, worker.pid, old.pid)
        await old.stop(self._patience.stop)
        self._all.discard(old)
        return True

    async def _end_all(self) -> None:
        with closing(self._listener):  # who comes now is refused, where otherwise they would wait for nobody
            workers = tuple(self._all)
            for worker in workers:
                worker.ask_to_stop()
        logger.info("Stopping %d workers.", len(workers))
        await asyncio.gather(*(self._wait_for(worker) for worker in workers))

    async def _wait_for(self, worker: Worker) -> None:
        try:
            async with asyncio.timeout(self._patience.stop):
                await worker.ended()
        except TimeoutError:
            logger.warning(
                "Process %d did not end within %g s: it is killed.", worker.pid, self._patience.stop
            )
            await worker.kill()
