"""This process among those that use one database: that it lives, and who is to be woken."""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from types import TracebackType
from typing import Self

from hubbub.database.liveness import Liveness
from hubbub.database.transactions import Transactions
from hubbub.database.waking import Waker
from hubbub.exceptions import ConfigurationError
from hubbub.hub.ids import SecretIds


class Membership:
    """What all features of a process share on its database. An async context manager, entered by each of them.

    It begins with the first that enters and ends with the last that leaves; the tables are there by then.

    Args:
        database: where the processes meet.
        lease: seconds after which a process that is silent has lost everything.
        alone: whether there can be no other process.
    """

    def __init__(self, database: Transactions, *, lease: float, alone: bool) -> None:
        self.liveness = Liveness(database, SecretIds().new, lease=lease, alone=alone)
        self.waker = Waker(database)
        self._roles: set[str] = set()
        self._users = 0
        self._changing = asyncio.Lock()
        self._exit = AsyncExitStack()

    @contextmanager
    def role(self, name: str) -> Iterator[None]:
        """Do for the whole process what rows name its id for, for as long as the block runs.

        Raises:
            ConfigurationError: somebody does already: it would take the one's rows for its own.
        """
        if name in self._roles:
            raise ConfigurationError(
                f"On one Database there is one that {name}: make another Database for this one."
            )
        self._roles.add(name)
        try:
            yield
        finally:
            self._roles.discard(name)

    async def __aenter__(self) -> Self:
        async with self._changing:
            if self._users == 0:
                await self._begin()
            self._users += 1
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        async with self._changing:
            self._users -= 1
            if self._users == 0:
                await self._exit.aclose()

    async def _begin(self) -> None:
        async with AsyncExitStack() as stack:
            for part in (self.liveness, self.waker):
                await stack.enter_async_context(part)
            self._exit = stack.pop_all()
