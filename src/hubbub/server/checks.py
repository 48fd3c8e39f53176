"""`hubbub check`: reads what is configured, reaches what can be reached, a line each."""

import asyncio
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from hubbub import ConfigurationError, HubbubError, JWKSet
from hubbub.database import Dialect
from hubbub.database.schema import State
from hubbub.server.app import create_app
from hubbub.server.data_dir import running_at
from hubbub.server.namespaces import read_namespaces
from hubbub.server.schema import database_address, make_file_folder, reach_database
from hubbub.server.settings import Settings, load_settings
from hubbub.server.shared import reach_shared
from hubbub.server.signing_keys import make_folder, readable_by_others, signing_keys

SCHEMA = {
    State.EMPTY: "empty as yet",
    State.OLD: "which `hubbub serve` brings up to date",
    State.CURRENT: "up to date",
    State.NEWER: "migrated by a later version, which this one can use",
}


@dataclass(frozen=True, slots=True)
class Result:
    """What a check found."""

    part: str
    ok: bool
    said: str

    def __str__(self) -> str:
        return f"{'ok   ' if self.ok else 'WRONG'} {self.part}: {self.said}"


def run_checks() -> Iterator[Result]:
    """Check everything that can be checked; what depends on a broken part is left out."""
    try:
        settings = load_settings()
    except ConfigurationError as error:
        for line in str(error).splitlines():
            yield Result("settings", False, line)
        return
    yield Result("settings", True, "read")
    results = [
        checked(part, check, settings)
        for part, check in (
            ("data folder", data_folder),
            ("secret", secret),
            ("namespaces", namespaces),
            ("identity provider", identity_provider),
            ("database", database),
            ("Redis", redis),
        )
    ]
    yield from results
    if all(result.ok for result in results):
        yield checked("application", application, settings)


def checked(part: str, check: Callable[[Settings], str], settings: Settings) -> Result:
    """Run one check; what it raises is what is wrong."""
    try:
        return Result(part, True, check(settings))
    except (HubbubError, OSError) as error:
        return Result(part, False, " ".join(str(error).splitlines()))


def data_folder(settings: Settings) -> str:
    """Check that `DATA_DIR` can be written."""
    make_folder(settings.data_dir)
    path = settings.data_dir.resolve()
    if not os.access(path, os.W_OK | os.X_OK):
        raise ConfigurationError(f"{path} cannot be written by this user.")
    at = running_at(settings.data_dir)
    return f"{path}" + (f", in use by the server at {at}" if at else "")


def secret(settings: Settings) -> str:
    """Check the keys that sign tokens."""
    signing_keys(settings)
    if settings.secret_key is not None:
        return "from HUBBUB_SECRET_KEY"
    path = settings.data_dir / "secret"
    problem = readable_by_others(path)
    if problem:
        raise ConfigurationError(problem)
    return f"generated, in {path}"


def namespaces(settings: Settings) -> str:
    """Check ``hubbub.toml``."""
    return ", ".join(sorted(read_namespaces(settings.config)))


def identity_provider(settings: Settings) -> str:
    """Fetch the provider's keys."""
    if settings.jwks_url is None:
        return "none configured"
    keys = JWKSet(settings.jwks_url)

    async def fetch() -> int:
        async with keys:
            return await keys.fetch()

    return f"{asyncio.run(fetch())} usable keys"


def database(settings: Settings) -> str:
    """Reach the database, and see whether its schema is this version's."""
    address = database_address(settings)
    if address.dialect is Dialect.SQLITE and not Path(str(address.url.database)).exists():
        make_file_folder(settings)
        return f"{address}, which `hubbub serve` makes"
    state = reach_database(settings)
    if state in {State.EMPTY, State.OLD} and address.dialect is Dialect.POSTGRESQL:
        raise ConfigurationError(
            f"{address} is reached, and is to be brought up to date: run `hubbub migrate`."
        )
    return f"{address}, {SCHEMA[state]}"


def redis(settings: Settings) -> str:
    """Reach Redis, as a node that starts does."""
    if settings.redis_url is None:
        return "none configured: one process, in memory"
    reach_shared(settings)
    return f"reached, at {settings.redis_url.get_secret_value().rpartition('@')[2].partition('?')[0]}"


def application(settings: Settings) -> str:
    """Build the server, which finds what contradicts each other."""
    create_app(settings)
    return "can be built"
