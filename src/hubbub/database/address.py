"""Where a database is: what `HUBBUB_DATABASE_URL` may say."""

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from hubbub.database.options import for_sqlalchemy, read_options
from hubbub.exceptions import ConfigurationError

EXPECTED = "expected sqlite:///path/to/file.db or postgresql://user:password@host:5432/name"


class Dialect(Enum):
    """The databases that Hubbub runs on."""

    SQLITE = "sqlite"
    POSTGRESQL = "postgresql"


DRIVERS = {Dialect.SQLITE: "sqlite+aiosqlite", Dialect.POSTGRESQL: "postgresql+asyncpg"}
KNOWN = {
    "sqlite": Dialect.SQLITE,
    "sqlite+aiosqlite": Dialect.SQLITE,
    "postgres": Dialect.POSTGRESQL,
    "postgresql": Dialect.POSTGRESQL,
    "postgresql+asyncpg": Dialect.POSTGRESQL,
}


@dataclass(frozen=True, slots=True)
class Address:
    """Where a database is.

    Args:
        url: with the driver that is used; PostgreSQL's options in it have libpq's names (`hubbub.database.options`).
        dialect: which kind it is.
    """

    url: URL
    dialect: Dialect

    @classmethod
    def parse(cls, text: str) -> "Address":
        """Read an address; `postgres://` is understood too, and the options of libpq that matter.

        Raises:
            ConfigurationError: it is none, or of another kind of database. Nothing of the address that may be secret is in
                the message.
        """
        try:
            url = make_url(text)
        except (ArgumentError, ValueError):
            raise ConfigurationError(f"The database's address cannot be read: {EXPECTED}.") from None
        dialect = KNOWN.get(url.drivername)
        if dialect is None:
            raise ConfigurationError(f"Hubbub has no database {url.drivername!r}: {EXPECTED}.")
        url = url.set(drivername=DRIVERS[dialect])
        if dialect is Dialect.SQLITE:
            _check_file(url)
        else:
            if url.port is not None and not 0 < url.port < 65536:
                raise ConfigurationError(f"There is no port {url.port}: they go from 1 to 65535.")
            url = url.set(query=read_options(url.query))
        return cls(url, dialect)

    @classmethod
    def of_engine(cls, url: URL) -> "Address":
        """Return the address that an application's engine has; its options are the application's.

        Raises:
            ConfigurationError: it is of another kind of database, or in memory.
        """
        plain = url if "uri" in url.query else url.set(query={})  # with it the name is no path
        return cls.parse(plain.render_as_string(hide_password=False))

    @classmethod
    def of_file(cls, path: Path) -> "Address":
        """Return the address of a SQLite file."""
        return cls(URL.create(DRIVERS[Dialect.SQLITE], database=str(path)), Dialect.SQLITE)

    def __str__(self) -> str:
        """Show it without its password, and without options: some name files of keys."""
        url = self.url.set(drivername=self.dialect.value, query=for_sqlalchemy(self.url.query))
        return url.render_as_string(hide_password=True)


def _check_file(url: URL) -> None:
    if url.host or url.port or url.username or url.password:
        raise ConfigurationError(
            "SQLite has no host and no users: sqlite:///relative.db, or sqlite:////data/file.db."
        )
    if url.query:
        raise ConfigurationError("SQLite's address has no options: sqlite:///path/to/file.db.")
    if url.database in {None, "", ":memory:"}:
        raise ConfigurationError(
            "A database in memory is another one for each connection: name a file, such as sqlite:///hubbub.db."
        )
