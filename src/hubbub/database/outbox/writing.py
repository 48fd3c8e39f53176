"""Writing a publication into the caller's transaction."""

import msgspec
from sqlalchemy import insert

from hubbub.database.address import Dialect
from hubbub.database.joining import joined
from hubbub.database.outbox.tables import outbox
from hubbub.database.waking import Transaction
from hubbub.hub.broker import Retention
from hubbub.hub.publications import Draft

DAY = 86400.0
LONGEST_TTL = 36500 * DAY
"""Seconds; an endless time has no place in a column."""


async def write(transaction: Transaction, draft: Draft, retention: Retention, dialect: Dialect) -> None:
    """Write a row that is relayed when the transaction has been committed, and never if it is not.

    Args:
        transaction: the caller's, whichever engine it is of.
        draft: what is to be published.
        retention: how much of its stream is kept.
        dialect: that of the database whose rows are relayed.

    Raises:
        ConfigurationError: the transaction is one of another kind of database.
        TypeError: it is no transaction.
        sqlalchemy.exc.SQLAlchemyError: as everything in the caller's transaction may.
    """
    connection = await joined(transaction, dialect)
    await connection.execute(insert(outbox).values(**columns(draft, retention)))


def columns(draft: Draft, retention: Retention) -> dict[str, object]:
    """Return a publication as a row."""
    return {
        "publication": draft.id,
        "channel": draft.channel,
        "event": draft.event,
        "data": draft.data,
        "exclude": msgspec.json.encode(sorted(draft.exclude)).decode() if draft.exclude else None,
        "kind": int(draft.kind),
        "time": draft.time,
        "history_size": min(retention.size, 2**63 - 1),
        "history_ttl": min(retention.ttl, LONGEST_TTL),
    }
