"""Which of the relays on one database does the work."""

from dataclasses import dataclass

from sqlalchemy import Row, exists, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from hubbub.database.database import Database
from hubbub.database.liveness import processes
from hubbub.database.outbox.tables import relay

ONLY = relay.c.id == 1
STATE = select(
    relay.c.holder, relay.c.fence, exists().where(processes.c.id == relay.c.holder).label("is_alive")
).where(ONLY)


@dataclass(frozen=True, slots=True)
class Lead:
    """The right to relay.

    Args:
        holder: the process that has it.
        fence: how often it was taken until then; whoever holds a lower one has lost it.
    """

    holder: str
    fence: int


class Leadership:
    """Takes the lead when nobody who lives has it.

    Args:
        database: where the relays meet.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._tried = 0
        """The fence of the last attempt: its commit may have been made though its answer was lost."""

    async def take(self, process: str) -> Lead | None:
        """Take the lead for a process, or return `None` while another one has it.

        Raises:
            DatabaseUnavailable: it cannot be reached.
        """
        async with self._database.reading() as connection:
            row = (await connection.execute(STATE)).one_or_none()
        if row is None:
            await self._make()
            return await self.take(process)
        if row.holder == process and row.fence == self._tried:
            return Lead(process, row.fence)
        if row.is_alive:
            return None
        return await self._take_from(row, process)

    async def give_up(self, lead: Lead) -> None:
        """Let another one have it at once.

        Raises:
            DatabaseUnavailable: it cannot be reached.
        """
        own = ONLY & (relay.c.holder == lead.holder) & (relay.c.fence == lead.fence)
        async with self._database.transaction() as connection:
            await connection.execute(update(relay).where(own).values(holder=None))

    async def _take_from(self, row: Row[tuple[str | None, int, bool]], process: str) -> Lead | None:
        self._tried = row.fence + 1
        free = ONLY & (relay.c.fence == row.fence) & exists().where(processes.c.id == process)
        taking = update(relay).where(free).values(holder=process, fence=self._tried)
        async with self._database.transaction() as connection:
            taken = await connection.execute(taking)
        return Lead(process, self._tried) if taken.rowcount else None

    async def _make(self) -> None:
        try:
            async with self._database.transaction() as connection:
                await connection.execute(insert(relay).values(id=1, holder=None, fence=0))
        except IntegrityError:
            return  # another one was first


async def holds(connection: AsyncConnection, lead: Lead) -> bool:
    """Tell whether a lead is still good, and let nobody take it before this transaction ends."""
    own = ONLY & (relay.c.holder == lead.holder) & (relay.c.fence == lead.fence)
    return (await connection.execute(select(relay.c.id).where(own).with_for_update())).first() is not None
