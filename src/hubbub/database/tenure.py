"""Who may relay what is committed: many processes that share a broker, or one that has a broker of its own.

Two processes that do not see each other's clients would each take publications away from the other's.
"""

import asyncio
import fcntl
import logging
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from hubbub.database.address import Dialect
from hubbub.database.database import Database
from hubbub.database.errors import translated
from hubbub.exceptions import ConfigurationError, Unavailable

logger = logging.getLogger(__name__)

LOCK = 0x68756273
"""The advisory lock of PostgreSQL that tells them apart."""
LOOK = 5.0
"""Seconds between two looks whether PostgreSQL still knows of it."""
ANSWER = 10.0
"""Seconds that it has for that, and for a new connection where there is none."""
TAKEN = (
    "Another process uses the database {database}, and the two would not see each other's clients: without Redis one "
    "process serves alone. Stop it, or have both use one Redis."
)


class Tenure:
    """The right to use a database with the broker that one has. An async context manager.

    It ends with its process, however that ends: it is a lock of the file ``<database>.lock``, or one that a connection to
    PostgreSQL holds. Where that connection broke it is taken again.

    Args:
        database: which one.
        shared: whether the broker is one that others use too; else nobody else may use the database.

    Raises:
        ConfigurationError: the database is used by somebody with whom it cannot be shared; raised when it is entered.
        DatabaseUnavailable: it cannot be reached; likewise.
    """

    def __init__(self, database: Database, *, shared: bool) -> None:
        self._database = database
        self._shared = shared
        self._file = -1
        self._connection: AsyncConnection | None = None
        self._task: asyncio.Task[None] | None = None
        self.problem: str | None = None
        """Why it was lost, or `None`."""

    async def __aenter__(self) -> Self:
        if self._database.dialect is Dialect.SQLITE:
            self._file = self._lock_file()
            return self
        with translated():
            self._connection = await self._connect()
        self._task = asyncio.create_task(self._keep())
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._task is None:
            os.close(self._file)
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._end()

    def _refused(self) -> ConfigurationError:
        return ConfigurationError(TAKEN.format(database=self._database.address))

    def _lock_file(self) -> int:
        path = Path(f"{self._database.address.url.database}.lock")
        try:
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigurationError(f"{path} cannot be opened: {error.strerror}.") from error
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if self._shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            raise self._refused() from None
        return file

    async def _connect(self) -> AsyncConnection:
        connection = await self._database.engine.connect()
        try:
            # Of no transaction: PostgreSQL ends those that stand still.
            await connection.execution_options(isolation_level="AUTOCOMMIT")
            function = "pg_try_advisory_lock_shared" if self._shared else "pg_try_advisory_lock"
            if not await connection.scalar(text(f"SELECT {function}(:lock)"), {"lock": LOCK}):
                raise self._refused()
        except BaseException:
            await connection.invalidate()
            await connection.close()
            raise
        return connection

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(LOOK)
            try:
                with translated():
                    async with asyncio.timeout(ANSWER):
                        await self._look()
            except ConfigurationError as error:
                if self.problem is None:
                    logger.error("%s", error)  # noqa: TRY400 (it says all)
                self.problem = "another process has taken the database over"
            except Unavailable:
                await self._end()  # others say that it is away
            else:
                self.problem = None

    async def _look(self) -> None:
        if self._connection is None:
            self._connection = await self._connect()
        await self._connection.execute(text("SELECT 1"))

    async def _end(self) -> None:
        """Give the connection up, and with it the lock; a pool would keep both."""
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                if not connection.invalidated:
                    await connection.invalidate()
                await connection.close()
            except (DBAPIError, OSError) as error:
                logger.debug("%s", error)
