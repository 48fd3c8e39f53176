"""A few rows of the outbox at once: read, published, marked."""

import asyncio
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec
from sqlalchemy import Row, delete, select, update

from hubbub.database.address import Dialect
from hubbub.database.database import Database
from hubbub.database.outbox.leadership import Lead, holds
from hubbub.database.outbox.tables import outbox
from hubbub.exceptions import PublishError, Refusal, Unavailable
from hubbub.hub.broker import Broker, Retention
from hubbub.hub.publications import Draft, Kind
from hubbub.types import UserId

ROWS = 500
"""At most so many are read at once, and marked in one transaction."""
KEY_TTL = 7 * 86400.0
"""Seconds that a broker remembers a row for which nobody could mark yet that it was published."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A row that is to be published.

    Args:
        id: its number.
        draft: what it says.
        retention: how much of its stream is kept.
    """

    id: int
    draft: Draft
    retention: Retention

    @property
    def key(self) -> str:
        """The idempotency key: the publication's id, behind a sign that no key of a client's begins with."""
        return f"\x00{self.draft.id}"


@dataclass(slots=True)
class Outcome:
    """What became of rows; those that are named nowhere wait on."""

    published: list[Waiting] = field(default_factory=list)
    refused: list[tuple[Waiting, Exception]] = field(default_factory=list)
    """What can never be published, and why."""
    failed: dict[str, tuple[Waiting, Exception]] = field(default_factory=dict)
    """By channel, where it stopped: the broker is away, or failed unexpectedly."""


async def read(database: Database, without: Collection[str] = ()) -> list[Waiting]:
    """Read the first rows, in commit order.

    Args:
        database: where they are.
        without: channels that are left out.

    Raises:
        DatabaseUnavailable: it cannot be reached.
    """
    query = select(outbox).where(outbox.c.parked.is_(None))
    if database.dialect is Dialect.POSTGRESQL:
        query = query.where(outbox.c.place.is_not(None))
    if without:
        query = query.where(outbox.c.channel.not_in(without))
    async with database.reading() as connection:
        rows = await connection.execute(query.order_by(outbox.c.place, outbox.c.id).limit(ROWS))
        return [_waiting(row) for row in rows]


async def publish(broker: Broker, rows: Iterable[Waiting], may_go_on: Callable[[], bool]) -> Outcome:
    """Publish rows: those of a channel one after the other, those of several beside each other.

    A channel ends at the first row that its broker does not take, so that none comes before it.

    Args:
        broker: where they go.
        rows: in the order of their channels.
        may_go_on: asked before each row.
    """
    channels: dict[str, list[Waiting]] = {}
    for row in rows:
        channels.setdefault(row.draft.channel, []).append(row)
    outcome = Outcome()
    await asyncio.gather(*(_publish(broker, own, may_go_on, outcome) for own in channels.values()))
    return outcome


async def mark(database: Database, lead: Lead, outcome: Outcome) -> bool:
    """Delete what was published, and put aside what cannot be; return whether the lead was still good.

    Raises:
        DatabaseUnavailable: it cannot be reached; it is unknown whether they are marked.
    """
    async with database.transaction() as connection:
        if not await holds(connection, lead):
            return False
        if outcome.published:
            done = [row.id for row in outcome.published]
            await connection.execute(delete(outbox).where(outbox.c.id.in_(done)))
        for row, error in outcome.refused:
            why = f"{type(error).__name__}: {error}"
            await connection.execute(update(outbox).where(outbox.c.id == row.id).values(parked=why))
    return True


async def forget(broker: Broker, rows: Iterable[Waiting]) -> None:
    """Tell the broker that these will not be repeated.

    Raises:
        Unavailable: it cannot be reached; the keys go by themselves.
    """
    keys: dict[str, list[str]] = {}
    for row in rows:
        keys.setdefault(row.draft.channel, []).append(row.key)
    await asyncio.gather(*(broker.forget(channel, own) for channel, own in keys.items()))


async def _publish(
    broker: Broker, rows: list[Waiting], may_go_on: Callable[[], bool], outcome: Outcome
) -> None:
    for row in rows:
        if not may_go_on():
            return
        try:
            await broker.publish(row.draft, row.retention, row.key, KEY_TTL)
        except Exception as error:  # noqa: BLE001 (it is told by whoever reads the outcome)
            if isinstance(error, PublishError | Unavailable) or not isinstance(error, Refusal):
                outcome.failed[row.draft.channel] = (row, error)
                return
            outcome.refused.append((row, error))
        else:
            outcome.published.append(row)


def _waiting(row: Row[Any]) -> Waiting:
    exclude = () if row.exclude is None else msgspec.json.decode(row.exclude)
    draft = Draft(
        row.channel,
        row.event,
        row.data,
        row.publication,
        row.time,
        Kind(row.kind),
        exclude=frozenset(UserId(user) for user in exclude),
    )
    return Waiting(row.id, draft, Retention(row.history_size, row.history_ttl))
