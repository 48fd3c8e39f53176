"""What a database's address may be."""

from pathlib import Path

import pytest

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


def test_libpqs_word_for_tls_is_the_drivers():
    address = Address.parse("postgresql://db/hub?sslmode=verify-full&application_name=x")
    assert address.url.query == {"ssl": "verify-full", "application_name": "x"}


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
        ("sqlite://", "in memory"),
        ("sqlite:///:memory:", "in memory"),
    ],
)
def test_what_is_none_is_told_what_one_looks_like(text, said):
    with pytest.raises(ConfigurationError, match=said) as refused:
        Address.parse(text)
    assert "sqlite:///" in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_a_password_is_not_told():
    with pytest.raises(ConfigurationError) as refused:
        Address.parse("postgresql://ada:hunter2@db:port/hub")
    assert "hunter2" not in str(refused.value)
