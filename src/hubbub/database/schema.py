"""Which schema a database has, and bringing it up to date.

Migrations only ever add what the release before can live with: columns with a default, tables, indexes. What nobody uses
any more is dropped one release later. So the nodes of two releases run on one database while a new one rolls out.
"""

import re
from enum import Enum
from importlib import resources

from sqlalchemy import Connection, inspect, text
from sqlalchemy.ext.asyncio import AsyncEngine

from hubbub.database.address import Dialect
from hubbub.database.database import Database
from hubbub.database.metadata import PREFIX, metadata
from hubbub.database.outbox.tables import FUNCTIONS
from hubbub.exceptions import ConfigurationError

VERSION_TABLE = f"{PREFIX}migrations"
"""Ours alone: an application's own Alembic has another."""
MIGRATIONS = resources.files("hubbub.database") / "migrations"
LOCK = 0x68756262
"""The advisory lock of PostgreSQL that whoever migrates holds."""


class State(Enum):
    """How a database's schema stands to this release."""

    EMPTY = "empty"
    OLD = "old"
    CURRENT = "current"
    NEWER = "newer"
    """A later release has migrated it; this one runs on it."""


async def state_of(database: Database) -> State:
    """Find out how a database's schema stands to this release.

    Raises:
        DatabaseUnavailable: it cannot be reached.
    """
    async with database.reading() as connection:
        return await connection.run_sync(_state)


async def migrate(database: Database | AsyncEngine | str) -> State:
    """Bring Hubbub's tables up to date, in one transaction; return what they were. Several at once wait for each other.

    Args:
        database: one, an engine on it, or its URL.

    Raises:
        ConfigurationError: there can be no such database.
        DatabaseUnavailable: it cannot be reached.
    """
    if not isinstance(database, Database):
        async with opened(database) as own:
            return await migrate(own)
    async with database.unhurried() as connection:
        if database.dialect is Dialect.POSTGRESQL:
            await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        return await connection.run_sync(_migrate)


def opened(database: AsyncEngine | str) -> Database:
    """Return the database of an engine or a URL, to be entered by the caller.

    Raises:
        ConfigurationError: there can be no such database.
    """
    return Database(database) if isinstance(database, str) else Database.of_engine(database)


async def check_tables(database: Database) -> None:
    """See that all tables are there, however they were made.

    Raises:
        ConfigurationError: some are missing, or older than this release; the message says what to do.
        DatabaseUnavailable: it cannot be reached.
    """
    async with database.reading() as connection:
        missing = await connection.run_sync(_missing)
        state = await connection.run_sync(_state)
    if not missing:
        return
    said = f"The database {database.address} has no {', '.join(missing)}"
    if state in {State.EMPTY, State.OLD}:
        raise ConfigurationError(
            f"{said}: run `hubbub migrate`, or `await hubbub.database.migrate(…)` before the application starts."
        )
    raise ConfigurationError(
        f"{said}, though it was migrated: something else has removed that. Restore it from a backup; or, to begin anew "
        f"without what is left, drop all tables whose names begin with {PREFIX} and run `hubbub migrate`."
    )


def _missing(connection: Connection) -> list[str]:
    inspector = inspect(connection)
    there = set(inspector.get_table_names())
    missing = [name for name in metadata.tables if name not in there]
    for name, table in metadata.tables.items():
        if name in there:
            columns = {column["name"] for column in inspector.get_columns(name)}
            missing += [f"{name}.{column.name}" for column in table.columns if column.name not in columns]
    if not missing and connection.dialect.name == Dialect.POSTGRESQL.value:
        known = set(connection.scalars(text("SELECT tgname FROM pg_trigger WHERE NOT tgisinternal")))
        missing = [f"trigger {name}" for name in FUNCTIONS if name not in known]
    return missing


def _migrate(connection: Connection) -> State:
    before = _state(connection)
    if before in {State.EMPTY, State.OLD}:
        # Only here: whoever finds everything up to date need not load it.
        from alembic import command  # noqa: PLC0415
        from alembic.config import Config  # noqa: PLC0415

        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = connection
        config.attributes["version_table"] = VERSION_TABLE
        command.upgrade(config, "head")
    return before


def _state(connection: Connection) -> State:
    if not inspect(connection).has_table(VERSION_TABLE):
        return State.EMPTY
    here = connection.scalar(text(f"SELECT version_num FROM {VERSION_TABLE}"))  # noqa: S608 (a constant)
    if here is None:
        return State.EMPTY
    known = revisions()
    if here == known[-1]:
        return State.CURRENT
    return State.OLD if here in known else State.NEWER


def revisions() -> list[str]:
    """Return the numbers of the migrations, in their order; their files' names begin with them."""
    files = (MIGRATIONS / "versions").iterdir()
    return sorted(file.name[:4] for file in files if re.fullmatch(r"\d{4}_\w+\.py", file.name))
