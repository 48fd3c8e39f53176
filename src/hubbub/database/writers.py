"""Those of one process who want to write into one SQLite file: they queue, and none waits for ever."""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

from sqlalchemy.exc import DBAPIError

from hubbub.database.engines import BUSY
from hubbub.database.errors import AWAY, DatabaseUnavailable

LOCKED = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
HELD = "another process has it locked"


class Writers:
    """Lets one write at a time.

    A queue that is long because each of those in it writes is no reason to give up. One that stands still because another
    process has the file is: whoever has stood in it for `BUSY` seconds of that is told, in front of the file or behind others.

    Args:
        now: what time it is, in seconds of a clock that does not jump.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._turns = asyncio.Lock()
        self._held_since: float | None = None
        """When the first one found that another process has the file; `None` since somebody here had it."""

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[float]:
        """Have the file to oneself in this process; the value is for how many seconds to wait for other processes.

        Raises:
            DatabaseUnavailable: another process has it, and had it for `BUSY` seconds while this one queued.
        """
        came = self._now()
        async with self._turns:
            patience = BUSY
            if self._held_since is not None:
                patience -= self._now() - max(came, self._held_since)
            if patience <= 0:
                raise DatabaseUnavailable(AWAY) from TimeoutError(HELD)
            yield patience

    @contextmanager
    def beginning(self) -> Iterator[None]:
        """Notice whether the file can be had, while the one whose turn it is begins a transaction."""
        began = self._now()
        try:
            yield
        except DBAPIError as error:
            code = getattr(error.orig, "sqlite_errorcode", 0)
            if self._held_since is None and code & 0xFF in LOCKED:
                self._held_since = began
            raise
        self._held_since = None
