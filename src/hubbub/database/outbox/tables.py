"""The tables of the outbox, and what gives its rows their order."""

from importlib import resources

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Double,
    Index,
    Integer,
    LargeBinary,
    Sequence,
    SmallInteger,
    String,
    Table,
    Text,
    event,
)

from hubbub.database.metadata import PREFIX, metadata

NAME = f"{PREFIX}outbox"
FUNCTIONS = (f"{NAME}_note", f"{NAME}_place")
"""Of PostgreSQL, each with a trigger of the same name."""
NUMBER = BigInteger().with_variant(Integer(), "sqlite")

outbox = Table(
    NAME,
    metadata,
    Column("id", NUMBER, primary_key=True, autoincrement=True),
    Column("place", BigInteger),
    Column("publication", String(36), nullable=False),
    Column("channel", Text, nullable=False),
    Column("event", Text, nullable=False),
    Column("data", LargeBinary, nullable=False),
    Column("exclude", Text),
    Column("kind", SmallInteger, nullable=False),
    Column("time", Double, nullable=False),
    Column("history_size", BigInteger, nullable=False),
    Column("history_ttl", Double, nullable=False),
    Column("parked", Text),
    sqlite_autoincrement=True,  # else a number is given again when its row is gone
)
"""Publications that are to be relayed.

PostgreSQL gives a row its `place` when it is committed (`commit_order.sql`). SQLite has one writer at a time, and so the
numbers of the rows are in commit order. `exclude` is a JSON array; the retention is that of when the row was written, so that a
node which does not know the namespace yet can relay it too. `parked` says why a row can never be published.
"""

Index("ix_hubbub_outbox_waiting", outbox.c.place, outbox.c.id, postgresql_where=outbox.c.parked.is_(None))

places = Sequence(f"{NAME}_places", data_type=BigInteger, metadata=metadata)

relay = Table(
    f"{NAME}_relay",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("holder", String(64)),
    Column("fence", BigInteger, nullable=False),
)
"""One row: which process relays (`hubbub.database.liveness`), and how often that has changed."""


def statements() -> list[str]:
    """Return what PostgreSQL needs beside the tables.

    The migration runs the same file: what changes it later goes into another one, with a migration of its own.
    """
    text = (resources.files(__package__) / "commit_order.sql").read_text("utf-8")
    return text.split("-- next\n")


def _made(table: object, connection: Connection, **options: object) -> None:
    if connection.dialect.name == "postgresql":
        for statement in statements():
            connection.exec_driver_sql(statement)


def _dropped(table: object, connection: Connection, **options: object) -> None:
    if connection.dialect.name == "postgresql":
        for function in FUNCTIONS:
            connection.exec_driver_sql(f"DROP FUNCTION IF EXISTS {function}()")


event.listen(outbox, "after_create", _made)
event.listen(outbox, "after_drop", _dropped)
