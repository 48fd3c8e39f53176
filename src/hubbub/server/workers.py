"""A process that serves, as its supervisor sees it."""

import asyncio
import signal
import socket
import sys
from asyncio.subprocess import Process
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Self

from hubbub.server.worker import READY

Command = Callable[[int, int, int], Sequence[str]]
"""Makes the command line of a worker: from its listening socket, its line, and its number."""


def serving(listener: int, line: int, number: int) -> Sequence[str]:
    """Return the command line of a worker of `hubbub serve`.

    A program of its own, not a fork of the supervisor: a roll starts the version that is installed by then. `-P` keeps
    the working directory out of where modules are looked for, as it is for the command `hubbub`.
    """
    return (sys.executable, "-P", "-m", "hubbub.server.worker", str(listener), str(line), str(number))


class Worker:
    """One worker's process, and the line to it.

    The line is a pair of sockets of which each has one: the worker says on it that it is ready, and reads its end when
    the supervisor is gone, even after `kill -9`.
    """

    def __init__(self, number: int, process: Process, line: socket.socket) -> None:
        self.number = number
        self.pid = process.pid
        self._process = process
        self._line = line

    @classmethod
    async def start(cls, command: Command, listener: socket.socket, number: int) -> Self:
        """Start a process.

        It is in a process group of its own, so that Ctrl-C in a terminal reaches the supervisor only: a worker that was
        sent both signals would take the second for the wish to end at once.

        Raises:
            OSError: it cannot be started.
        """
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        try:
            process = await asyncio.create_subprocess_exec(
                *command(listener.fileno(), theirs.fileno(), number),
                pass_fds=(listener.fileno(), theirs.fileno()),
                stdin=asyncio.subprocess.DEVNULL,
                process_group=0,
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        return cls(number, process, ours)

    async def ready(self, within: float) -> bool:
        """Wait until it serves; return whether it does within so many seconds."""
        with suppress(TimeoutError, OSError):
            async with asyncio.timeout(within):
                return await asyncio.get_running_loop().sock_recv(self._line, len(READY)) == READY
        return False

    async def ended(self) -> int:
        """Wait for its end; return its exit code, below 0 where a signal ended it."""
        code = await self._process.wait()
        self._line.close()
        return code

    def ask_to_stop(self) -> None:
        """Have it drain and end; asked again, end at once."""
        self._signal(signal.SIGTERM)

    async def stop(self, within: float) -> int:
        """Have it drain and end, and end it if that takes longer than so many seconds; return its exit code."""
        self.ask_to_stop()
        try:
            async with asyncio.timeout(within):
                return await self.ended()
        except TimeoutError:
            return await self.kill()

    async def kill(self) -> int:
        """End it without a word; return its exit code."""
        self._signal(signal.SIGKILL)
        return await self.ended()

    def _signal(self, number: signal.Signals) -> None:
        if self._process.returncode is None:
            with suppress(ProcessLookupError):  # it ends just now
                self._process.send_signal(number)
