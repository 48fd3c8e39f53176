"""The database that the settings name, and its schema before anything is served."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from hubbub import ConfigurationError
from hubbub.database import Address, Database, DatabaseUnavailable, Dialect
from hubbub.database.errors import cause_of, reason
from hubbub.database.schema import State, check_tables, migrate, state_of
from hubbub.database.tenure import Tenure
from hubbub.jobs.sql import tables  # noqa: F401 (those of the features: what is to be there)
from hubbub.server.settings import PREFIX, Settings

FILE = "hubbub.db"
"""In `DATA_DIR`."""
FAILURES = (DatabaseUnavailable, SQLAlchemyError, sqlite3.Error, OSError, UnicodeError)
"""What a database, its driver, and what leads there raise. What is wrong in Hubbub is a traceback."""
NO_RIGHT = "42501"
"""PostgreSQL's insufficient_privilege."""


def database_address(settings: Settings) -> Address:
    """Return where the database is.

    Raises:
        ConfigurationError: the setting is no address.
    """
    if settings.database_url is not None:
        try:
            return Address.parse(settings.database_url.get_secret_value())
        except ConfigurationError as error:
            raise ConfigurationError(f"{PREFIX}DATABASE_URL: {error}") from None
    return Address.of_file(settings.data_dir / FILE)


def open_database(settings: Settings) -> Database:
    """Make what the settings ask for; nothing is connected yet.

    Without Redis a server is one process, which keeps all others off its database (`hubbub.database.tenure`).

    Args:
        settings: what they are.

    Raises:
        ConfigurationError: the setting is no address, or the driver is not installed.
    """
    return Database(database_address(settings), alone=settings.redis_url is None)


@asynccontextmanager
async def ready(database: Database) -> AsyncIterator[None]:
    """Have a database for as long as the application runs; one that is a file is made where it is missing.

    Raises:
        ConfigurationError: its folder cannot be made.
        DatabaseUnavailable: it cannot be reached.
    """
    async with database:
        if database.dialect is Dialect.SQLITE:
            _make_folder_of(database.address, "The database")
            await migrate(database)
        yield


def prepare_database(settings: Settings) -> None:
    """Bring SQLite up to date, and see that PostgreSQL is; see that nobody uses it with whom it cannot be shared.

    Raises:
        ConfigurationError: it cannot be reached, is another server's, or is to be migrated first; the message says by what.
    """
    prepare_schema(settings)
    asyncio.run(_look_for_others(settings))


def prepare_schema(settings: Settings) -> None:
    """Bring SQLite up to date; see that PostgreSQL is.

    Raises:
        ConfigurationError: it cannot be reached, or is to be migrated first; the message says by what.
    """
    address = database_address(settings)
    if address.dialect is Dialect.SQLITE:
        migrate_schema(settings)
        return
    state = asyncio.run(_state(settings))
    if state in {State.EMPTY, State.OLD}:
        raise ConfigurationError(
            f"The database {address} has {'no tables' if state is State.EMPTY else 'the tables of an older version'}: "
            "run `hubbub migrate`, then start again."
        )


def migrate_schema(settings: Settings) -> State:
    """Bring the database up to date; return what it was.

    Raises:
        ConfigurationError: it cannot be reached, or does not let us, or lacks what was migrated; the message says why.
    """
    address = database_address(settings)
    if address.dialect is Dialect.SQLITE:
        make_file_folder(settings)
    return asyncio.run(_migrate(settings))


def reach_database(settings: Settings) -> State:
    """Reach the database; return how its schema stands.

    Raises:
        ConfigurationError: it cannot be reached, or lacks tables though it was migrated.
    """
    return asyncio.run(_state(settings))


def make_file_folder(settings: Settings) -> None:
    """Make the folder of a database that is a file.

    Raises:
        ConfigurationError: it cannot be made; the message names the setting.
    """
    setting = "DATA_DIR" if settings.database_url is None else "DATABASE_URL"
    _make_folder_of(database_address(settings), f"{PREFIX}{setting}")


def _make_folder_of(address: Address, blamed: str) -> None:
    folder = Path(str(address.url.database)).parent
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"{blamed}: the folder {folder} cannot be made: {error.strerror}."
        ) from error


async def _look_for_others(settings: Settings) -> None:
    async with _reached(settings) as database, Tenure(database, shared=settings.redis_url is not None):
        pass  # here it is one line; in the lifespan it would be a traceback


async def _migrate(settings: Settings) -> State:
    async with _reached(settings) as database:
        before = await migrate(database)
        await check_tables(database)
        return before


async def _state(settings: Settings) -> State:
    async with _reached(settings) as database:
        state = await state_of(database)
        if state in {State.CURRENT, State.NEWER}:
            await check_tables(database)
        return state


@asynccontextmanager
async def _reached(settings: Settings) -> AsyncIterator[Database]:
    async with open_database(settings) as database:
        try:
            yield database
        except FAILURES as error:
            raise ConfigurationError(
                f"The database {database.address} cannot be used: {reason(error)}{_advice(database, error)}."
            ) from error


def _advice(database: Database, error: BaseException) -> str:
    if getattr(cause_of(error), "sqlstate", None) != NO_RIGHT:
        return ""
    role = database.address.url.username or "…"
    return (
        f'. The role needs rights; have the owner say: GRANT USAGE, CREATE ON SCHEMA public TO "{role}", and, where another '
        f'role has made the tables: GRANT ALL ON ALL TABLES IN SCHEMA public TO "{role}"'
    )
