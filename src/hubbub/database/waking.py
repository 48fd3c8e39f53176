"""Waking those who wait for rows: at once in this process, and through PostgreSQL in the others.

It only saves time. Whoever waits looks by itself now and then, so a wake-up that is lost is late and no more: a process
killed between its commit and the word of it, a connection that broke. The word is said after the commit, on a connection
of its own and for many commits at once, because PostgreSQL lets one transaction at a time commit that has a NOTIFY in it.
"""

import asyncio
import contextlib
import logging
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

from sqlalchemy import Connection, event
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.orm import Session

from hubbub.database.address import Dialect
from hubbub.database.engines import CONNECT
from hubbub.database.errors import reason
from hubbub.database.metadata import PREFIX
from hubbub.database.transactions import Transactions

logger = logging.getLogger(__name__)

CHANNEL = f"{PREFIX}rows"
AGAIN = 1.0
"""Seconds before a connection that broke is tried again."""
SILENCE = 15.0
"""Seconds after which the connection is asked whether it is still there."""
COMMITS = (0.01, 0.1)
"""Seconds that a commit is given which is told of when it begins: most take less than the first, a waiting one more."""

Transaction = AsyncSession | AsyncConnection
"""What a caller writes rows in, and commits."""


class Waiter:
    """Somebody who waits for rows of one kind."""

    def __init__(self) -> None:
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """End the wait, or the next one if nobody waits just now."""
        self._woken.set()

    async def wait(self, seconds: float) -> bool:
        """Wait until there may be rows; return whether somebody said so, and not only the time was over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        is_woken = self._woken.is_set()
        self._woken.clear()
        return is_woken


class Waker:
    """Wakes waiters. An async context manager: with PostgreSQL it keeps a connection.

    Args:
        database: whose rows are waited for.
    """

    def __init__(self, database: Transactions) -> None:
        self._database = database
        self._waiters: dict[str, set[Waiter]] = {}
        self._to_tell: set[str] = set()
        self._telling = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def waiter(self, topic: str) -> Iterator[Waiter]:
        """Wait for rows of a kind, such as ``jobs``, for as long as the block runs."""
        waiter = Waiter()
        self._waiters.setdefault(topic, set()).add(waiter)
        try:
            yield waiter
        finally:
            self._waiters[topic].discard(waiter)

    def wake(self, topic: str) -> None:
        """Say that there are rows, after they were committed."""
        self._wake_here(topic)
        if self._task is not None:
            self._to_tell.add(topic)
            self._telling.set()

    def wake_after(self, transaction: Transaction, topic: str) -> None:
        """Say so when a transaction has been committed."""
        if isinstance(transaction, AsyncSession):
            session = transaction.sync_session
            topics = session.info.setdefault(self, set())
            topics.add(topic)
            if not event.contains(session, "after_commit", self._committed):
                event.listen(session, "after_commit", self._committed)
            return
        loop = asyncio.get_running_loop()

        def committing(_: Connection) -> None:
            for seconds in COMMITS:
                loop.call_later(seconds, self.wake, topic)

        event.listen(transaction.sync_connection, "commit", committing, once=True)

    async def __aenter__(self) -> Self:
        if self._database.dialect is Dialect.POSTGRESQL:
            self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def _committed(self, session: Session) -> None:
        topics: set[str] = session.info.get(self, set())
        for topic in topics:
            self.wake(topic)
        if not session.in_nested_transaction():  # else it was a savepoint
            topics.clear()

    def _wake_here(self, topic: str) -> None:
        for waiter in self._waiters.get(topic, ()):
            waiter.wake()

    async def _run(self) -> None:
        is_told = False
        while True:
            try:
                await self._listen()
            except Exception as error:  # noqa: BLE001 (whatever it is, they look by themselves meanwhile)
                if not is_told:
                    logger.warning("PostgreSQL wakes nobody at the moment: %s", reason(error))
                is_told = True
            await asyncio.sleep(AGAIN)

    async def _listen(self) -> None:
        async with self._database.engine.connect() as connection:
            # The driver's own connection: what is said on it belongs to no transaction.
            driver: Any = (await connection.get_raw_connection()).driver_connection
            try:
                driver.add_termination_listener(lambda _: self._telling.set())
                await driver.add_listener(CHANNEL, self._heard)
                for topic in self._waiters:  # what was said while nobody listened
                    self._wake_here(topic)
                while True:
                    await self._tell(driver)
            finally:
                await connection.invalidate()

    async def _tell(self, driver: Any) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SILENCE):
                await self._telling.wait()
        self._telling.clear()
        topics, self._to_tell = self._to_tell, set()
        async with asyncio.timeout(CONNECT):
            if topics:
                await driver.execute("SELECT pg_notify($1, $2)", CHANNEL, " ".join(topics))
            else:
                await driver.execute("SELECT 1")

    def _heard(self, connection: Any, pid: int, channel: str, payload: str) -> None:
        if pid == connection.get_server_pid():  # whoever is here was woken before the others were told
            return
        for topic in payload.split():
            self._wake_here(topic)
