"""A connection to Redis that is kept up: when it breaks another one is opened, and whoever uses it is told."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Any

import hiredis
from redis.asyncio import Connection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoPermissionError, RedisError, ResponseError

from hubbub.brokers.redis.dialing import RIGHTS, hang_up
from hubbub.brokers.redis.errors import NotSent, Refused, Unanswered

logger = logging.getLogger(__name__)

Argument = str | bytes | int | float
Dial = Callable[[], Awaitable[Connection]]

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0
"""Seconds between two attempts to connect."""
READ_AT_ONCE = 256
"""Answers that are taken before others have their turn."""


class Line:
    """Sends commands in the order in which they come, all of a turn in one write; hands on what comes back.

    Args:
        dial: opens a connection.
        greet: is run on each new connection, before the line counts as open; may send, and may raise.
        take: is given each answer or message, and errors as `ResponseError`; must not raise.
        lost: is told why a connection ended.
        name: for the log and the tasks.
    """

    def __init__(
        self,
        dial: Dial,
        greet: Callable[[], Awaitable[None]],
        take: Callable[[Any], None],
        lost: Callable[[str], None],
        name: str,
    ) -> None:
        self._dial = dial
        self._greet = greet
        self._take = take
        self._lost = lost
        self._name = name
        self._outgoing: list[bytes] = []
        self._wanted = asyncio.Event()
        self._broken: asyncio.Future[str] | None = None
        self._keeper: asyncio.Task[None] | None = None
        self.is_connected = False
        """Whether something can be sent, if only to greet."""
        self.opened = asyncio.Event()
        """Set while there is a connection that was greeted."""
        self.problem = "not connected yet"
        """Why it is not open."""
        self._is_refused = False
        self._settled = asyncio.Event()
        """Set when it was opened, or it is plain that trying again will not help."""

    def send(self, *command: Argument) -> None:
        """Send a command; there must be a connection."""
        self._outgoing.append(hiredis.pack_command(command))  # type: ignore[arg-type]  # its stub has tuples of one
        self._wanted.set()

    def fail(self, reason: str) -> None:
        """Give this connection up and open another one."""
        if self._broken is not None and not self._broken.done():
            self._broken.set_result(reason)

    async def ready(self) -> None:
        """Wait until it is open.

        Raises:
            Refused: it will not be before somebody changes a setting.
        """
        while not self.opened.is_set():
            if self._is_refused:
                raise Refused(self.problem)
            self._settled.clear()
            await self._settled.wait()

    def start(self) -> None:
        """Begin to connect; `stop` ends it."""
        self._keeper = asyncio.create_task(self._keep(), name=f"hubbub redis {self._name}")

    async def stop(self) -> None:
        """Hang up."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait([self._keeper])

    async def _keep(self) -> None:
        pause = FIRST_PAUSE
        while True:
            try:
                connection = await self._dial()
            except NotSent as error:
                self._settle(error)
            except Exception as error:
                logger.exception("No connection for Redis's %s", self._name)
                self.problem = repr(error)
            else:
                if await self._use(connection):
                    pause = FIRST_PAUSE
            # Spread, so that not all nodes come at once to a server that is back.
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 (no secret)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _use(self, connection: Connection) -> bool:
        """Serve a connection until it breaks; return whether it was ever open."""
        self._broken = asyncio.get_running_loop().create_future()
        self.is_connected = True
        work = (self._write(connection), self._read(connection), self._open())
        tasks = [asyncio.create_task(each, name=f"hubbub redis {self._name}") for each in work]
        try:
            await self._broken
        finally:
            self.is_connected = False
            self.problem = "the hub stops"
            if self._broken.done() and not self._broken.cancelled():
                self.problem = self._broken.result()
            was_open = self.opened.is_set()
            self.opened.clear()
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            await hang_up(connection)
            self._outgoing.clear()
            self._wanted.clear()
            self._lost(self.problem)
        logger.log(
            logging.WARNING if was_open else logging.INFO,
            "Redis's %s broke off: %s",
            self._name,
            self.problem,
        )
        return was_open

    async def _open(self) -> None:
        try:
            await self._greet()
        except (NotSent, Unanswered, RedisError, TimeoutError) as error:
            refusal = Refused(f"{error}. {RIGHTS}") if isinstance(error, NoPermissionError) else error
            self._settle(refusal)
            self.fail(self.problem)
        except Exception:
            logger.exception("Redis's %s could not begin", self._name)
            self.fail("it could not begin")
        else:
            self.opened.set()
            self._is_refused = False
            self._settled.set()

    def _settle(self, error: Exception) -> None:
        self.problem = str(error) or "no answer in time"
        self._is_refused = isinstance(error, Refused)
        if self._is_refused:
            self._settled.set()

    async def _write(self, connection: Connection) -> None:
        try:
            while True:
                await self._wanted.wait()
                self._wanted.clear()
                outgoing, self._outgoing = self._outgoing, []
                await connection.send_packed_command(outgoing, check_health=False)
        except (RedisError, OSError) as error:
            self.fail(str(error))

    async def _read(self, connection: Connection) -> None:
        taken = 0
        try:
            while True:
                try:
                    self._take(await connection.read_response())
                except RedisConnectionError:
                    raise
                except ResponseError as error:
                    self._take(error)
                taken += 1
                if not taken % READ_AT_ONCE:
                    await asyncio.sleep(0)
        except (RedisError, OSError) as error:
            self.fail(str(error) or type(error).__name__)
        except Exception:
            logger.exception("Redis's %s said what nobody understands", self._name)
            self.fail("it said what nobody understands")
