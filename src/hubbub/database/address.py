"""Where a database is: what `HUBBUB_DATABASE_URL` may say."""

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

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
        url: with the driver that is used.
        dialect: which kind it is.
    """

    url: URL
    dialect: Dialect

    @classmethod
    def parse(cls, text: str) -> "Address":
        """Read an address; `postgres://` and libpq's ``sslmode`` are understood too.

        Raises:
            ConfigurationError: it is none, or of another kind of database.
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
            if url.database in {None, "", ":memory:"}:
                raise ConfigurationError(
                    "A database in memory is another one for each connection: name a file, such as sqlite:///hubbub.db."
                )
        elif (mode := url.query.get("sslmode")) is not None:
            url = url.difference_update_query(["sslmode"]).update_query_dict({"ssl": mode})
        return cls(url, dialect)

    @classmethod
    def of_file(cls, path: Path) -> "Address":
        """Return the address of a SQLite file."""
        return cls(URL.create(DRIVERS[Dialect.SQLITE], database=str(path)), Dialect.SQLITE)

    def __str__(self) -> str:
        """Show it without its password."""
        return self.url.set(drivername=self.dialect.value).render_as_string(hide_password=True)
