"""uvicorn, with a stop that loses nothing: it drains before anything is closed."""

import asyncio
import logging
import math
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import uvicorn

from hubbub import Hub

logger = logging.getLogger(__name__)

SIGNALS = (signal.SIGINT, signal.SIGTERM)

KEEP_ALIVE = 1.0
"""Seconds for which idle HTTP connections are kept, so that one that is used now and then ends with an answer."""

LOOK = 0.05
"""Seconds between two looks whether they have gone; uvicorn has nothing to wait for."""


class Server(uvicorn.Server):
    """uvicorn, told what to do when it has started and when a signal comes.

    uvicorn's own stop closes every socket and then ends the lifespan, so that clients all come back in one instant. The
    first signal here begins a drain, during which uvicorn goes on as before; what it does after that meets
    nobody but requests that are being answered. A second signal ends at once.

    Args:
        config: uvicorn's; its `timeout_graceful_shutdown` is how long requests may take that are being answered when the
            first signal comes, counted from there.
        hub: is drained.
        started: called when connections are accepted.
    """

    def __init__(self, config: uvicorn.Config, hub: Hub, started: Callable[[], None]) -> None:
        super().__init__(config)
        self.hub = hub
        self._started = started
        self._is_asked = False
        self._is_hung_up = False
        self._has_terminal = has_terminal()
        self._draining: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then say so."""
        await super().startup(sockets)
        self._started()

    async def on_tick(self, counter: int) -> bool:
        """Do what signals asked for; called ten times a second."""
        if self._is_hung_up:
            self._is_hung_up = False
            self._hung_up()
        if self._is_asked and self._draining is None:
            self._draining = asyncio.create_task(self._drain())
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close what is left; a drain that was cut short closes its connections first."""
        if self._draining is not None:
            self._draining.cancel()
            await asyncio.wait([self._draining])
        await super().shutdown(sockets)

    def stop(self) -> None:
        """Drain and end, as after a signal; called again, end at once."""
        if self._is_asked:
            self.should_exit = self.force_exit = True
        self._is_asked = True

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take a signal."""
        self.stop()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take Ctrl-C and SIGTERM as the wish to stop, which is no failure.

        uvicorn's own raises them once more after it has stopped, and so ends with the signal's exit code.
        """
        before = {number: signal.signal(number, self.handle_exit) for number in SIGNALS}
        before[signal.SIGHUP] = signal.signal(signal.SIGHUP, self._handle_hangup)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    async def _drain(self) -> None:
        loop = asyncio.get_running_loop()
        began_at = loop.time()
        try:
            for server in self.servers:
                server.close()
            await self.hub.drain()
            # What waits for a request here is closed by uvicorn, as far as it has not gone by itself.
            while self.server_state.connections and loop.time() < began_at + KEEP_ALIVE:  # noqa: ASYNC110 (see LOOK)
                await asyncio.sleep(LOOK)
        finally:
            whole = self.config.timeout_graceful_shutdown or 0
            self.config.timeout_graceful_shutdown = max(1, whole - math.floor(loop.time() - began_at))
            self.should_exit = True

    def _handle_hangup(self, sig: int, frame: FrameType | None) -> None:
        self._is_hung_up = True  # a handler writes no log: it may have interrupted one who does

    def _hung_up(self) -> None:
        if self._has_terminal and not has_terminal():
            self.stop()
        else:
            logger.info(
                "SIGHUP changes nothing in this process: it rolls the workers of `hubbub serve --workers N`, "
                "where it is sent to the process that started them."
            )


def has_terminal() -> bool:
    """Whether somebody sits in front of this process; when their terminal is closed, SIGHUP says so."""
    try:
        return os.isatty(sys.__stdin__.fileno()) if sys.__stdin__ is not None else False
    except (OSError, ValueError):  # it was closed
        return False
