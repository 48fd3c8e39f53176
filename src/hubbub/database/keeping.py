"""What a hub has in its database while it runs: the outbox, and whom it needs for that."""

from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from sqlalchemy.ext.asyncio import AsyncEngine

from hubbub.clock import Clock
from hubbub.database.database import Database
from hubbub.database.outbox.relay import TOPIC, Relay
from hubbub.database.outbox.writing import write
from hubbub.database.schema import check_tables, opened
from hubbub.database.tenure import Tenure
from hubbub.database.waking import Transaction
from hubbub.hub.broker import Broker, Immediate, Retention
from hubbub.hub.publications import Draft
from hubbub.hub.statistics import OutboxStatistics


class Keeping:
    """The part of a hub that is in a database. An async context manager.

    Args:
        database: one, which its owner has entered; or an engine or a URL, for as long as this runs.
        broker: where the rows of the outbox go; it runs for longer than this. One of this process alone (`Immediate`) keeps
            other processes off the database.
        clock: what time it is.
        statistics: where the relay counts.

    Raises:
        ConfigurationError: there can be no such database; or, when it is entered, another process uses it that has another
            broker.
    """

    def __init__(
        self,
        database: Database | AsyncEngine | str,
        broker: Broker,
        clock: Clock,
        statistics: OutboxStatistics,
    ) -> None:
        self._is_owner = not isinstance(database, Database)
        self.database = database if isinstance(database, Database) else opened(database)
        self._membership = self.database.membership
        self._tenure = Tenure(self.database, shared=not isinstance(broker, Immediate))
        self._relay = Relay(self.database, broker, clock, statistics)
        self._exit = AsyncExitStack()

    @property
    def problem(self) -> str | None:
        """Why the database cannot be used at the moment, or `None`."""
        if not self._membership.liveness.is_sure:
            return "the database has not answered for a while"
        return self._tenure.problem

    async def publish(self, transaction: Transaction, draft: Draft, retention: Retention) -> None:
        """Write a publication into a transaction; it is relayed when that has been committed.

        Raises:
            ConfigurationError: the transaction is one of another kind of database.
            TypeError: it is none.
        """
        await write(transaction, draft, retention, self.database.dialect)
        self._membership.waker.wake_after(transaction, TOPIC)

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            if self._is_owner:
                await stack.enter_async_context(self.database)
            await check_tables(self.database)
            for part in (self._tenure, self._membership, self._relay):
                await stack.enter_async_context(part)
            self._exit = stack.pop_all()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._exit.aclose()
