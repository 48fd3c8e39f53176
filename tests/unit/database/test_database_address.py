"""What a database's address may be."""

from pathlib import Path

import pytest
from sqlalchemy import make_url

from hubbub.database.address import Address, Dialect
from hubbub.exceptions import ConfigurationError


@pytest.mark.parametrize(
    "text",
    [
        "postgres://ada:s%40crt@db:5433/hub",
        "postgresql://ada:s%40crt@db:5433/hub",
        "postgresql+asyncpg://ada:s%40crt@db:5433/hub",
    ],
)
def test_postgresql_is_understood_however_it_is_written(text):
    address = Address.parse(text)
    assert address.dialect is Dialect.POSTGRESQL
    assert address.url.drivername == "postgresql+asyncpg"
    assert (address.url.password, address.url.port, address.url.database) == ("s@crt", 5433, "hub")
    assert str(address) == "postgresql://ada:***@db:5433/hub"


@pytest.mark.parametrize("word", ["sslmode", "ssl"])
def test_tls_is_asked_for_in_libpqs_words_or_the_drivers(word):
    address = Address.parse(f"postgresql://db/hub?{word}=verify-full&application_name=x")
    assert address.url.query == {"sslmode": "verify-full", "application_name": "x"}
    assert str(address) == "postgresql://db/hub"


def test_an_applications_engine_keeps_its_options_to_itself():
    address = Address.of_engine(
        make_url("postgresql+asyncpg://ada@db/hub?password=hunter2&statement_cache_size=0")
    )
    assert str(address) == "postgresql://ada@db/hub"
    assert Address.of_engine(make_url("sqlite+aiosqlite:///x.db?timeout=9")).url.database == "x.db"
    with pytest.raises(ConfigurationError, match="no options"):
        Address.of_engine(make_url("sqlite+aiosqlite:///file:x.db?uri=true"))


def test_a_file():
    for address in (Address.parse("sqlite:////data/hub.db"), Address.of_file(Path("/data/hub.db"))):
        assert (address.dialect, address.url.database) == (Dialect.SQLITE, "/data/hub.db")
        assert address.url.drivername == "sqlite+aiosqlite"
    assert Address.parse("sqlite:///relative.db").url.database == "relative.db"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "cannot be read"),
        ("hubbub.db", "cannot be read"),
        ("postgresql://db:port/hub", "cannot be read"),
        ("mysql://db/hub", "no database 'mysql'"),
        ("postgresql+psycopg2://db/hub", "no database 'postgresql\\+psycopg2'"),
        ("sqlite://ada:hunter2@host/x.db", "no host and no users"),
        ("sqlite:///x.db?foo=hunter2", "no options"),
        ("sqlite://", "in memory"),
        ("sqlite:///:memory:", "in memory"),
    ],
)
def test_what_is_none_is_told_what_one_looks_like(text, said):
    with pytest.raises(ConfigurationError, match=said) as refused:
        Address.parse(text)
    assert "sqlite:///" in str(refused.value)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://ada:hunter2@db:port/hub",
        "postgresql://ada:hunter2@db:99999/hub",
        "postgresql://db/hub?user=ada&password=hunter2",
        "postgresql://ada:hunter2@db/hub?foo=hunter2",
    ],
)
def test_a_password_is_not_told(text):
    with pytest.raises(ConfigurationError) as refused:
        Address.parse(text)
    assert "hunter2" not in str(refused.value)
