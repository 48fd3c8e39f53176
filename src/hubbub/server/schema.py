"""The database that the settings name, and its schema before anything is served."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from hubbub import ConfigurationError, HubbubError
from hubbub.database import Address, Database, DatabaseUnavailable, Dialect
from hubbub.database.schema import State, migrate, state_of
from hubbub.database.tenure import Tenure
from hubbub.server.settings import PREFIX, Settings
from hubbub.server.signing_keys import make_folder

FILE = "hubbub.db"
"""In `DATA_DIR`."""


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
            make_folder(Path(str(database.address.url.database)).parent)
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
        ConfigurationError: it cannot be reached, or does not let us; the message says why.
    """
    address = database_address(settings)
    if address.dialect is Dialect.SQLITE:
        make_folder(Path(str(address.url.database)).parent)
    return asyncio.run(_migrate(settings))


def reach_database(settings: Settings) -> State:
    """Reach the database; return how its schema stands.

    Raises:
        ConfigurationError: it cannot be reached.
    """
    return asyncio.run(_state(settings))


async def _look_for_others(settings: Settings) -> None:
    async with open_database(settings) as database:
        try:
            async with Tenure(database, shared=settings.redis_url is not None):
                pass  # here it is one line; in the lifespan it would be a traceback
        except DatabaseUnavailable as error:
            raise _unreachable(database, error) from error


async def _migrate(settings: Settings) -> State:
    async with open_database(settings) as database:
        try:
            return await migrate(database)
        except (HubbubError, OSError) as error:
            raise _unreachable(database, error) from error


async def _state(settings: Settings) -> State:
    async with open_database(settings) as database:
        try:
            return await state_of(database)
        except DatabaseUnavailable as error:
            raise _unreachable(database, error) from error


def _unreachable(database: Database, error: Exception) -> ConfigurationError:
    cause = getattr(error.__cause__, "orig", None) or error.__cause__ or error
    said = " ".join(str(cause).split())
    return ConfigurationError(f"The database {database.address} cannot be used: {said.rstrip('.')}.")
