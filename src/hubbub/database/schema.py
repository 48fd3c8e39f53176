"""Which schema a database has, and bringing it up to date.

Migrations only ever add what the release before can live with: columns with a default, tables, indexes. What nobody uses
any more is dropped one release later. So the nodes of two releases run on one database while a new one rolls out.
"""

from enum import Enum
from importlib import resources

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from hubbub.database.address import Dialect
from hubbub.database.database import Database
from hubbub.database.metadata import PREFIX

VERSION_TABLE = f"{PREFIX}migrations"
"""Ours alone: an application's own Alembic has another."""
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


async def migrate(database: Database) -> State:
    """Bring a database up to date, in one transaction; return what it was. Several at once wait for each other.

    Raises:
        DatabaseUnavailable: it cannot be reached.
    """
    async with database.transaction() as connection:
        if database.dialect is Dialect.POSTGRESQL:
            await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        return await connection.run_sync(_migrate)


def _migrate(connection: Connection) -> State:
    before = _state(connection)
    if before in {State.EMPTY, State.OLD}:
        config = _config()
        config.attributes["connection"] = connection
        config.attributes["version_table"] = VERSION_TABLE
        command.upgrade(config, "head")
    return before


def _state(connection: Connection) -> State:
    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    here = context.get_current_revision()
    if here is None:
        return State.EMPTY
    scripts = ScriptDirectory.from_config(_config())
    if here == scripts.get_current_head():
        return State.CURRENT
    return State.OLD if here in {script.revision for script in scripts.walk_revisions()} else State.NEWER


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(resources.files("hubbub.database") / "migrations"))
    return config
