"""Transactions on SQLite and PostgreSQL: who waits for whom, and what a database says that is away."""

import asyncio
import sqlite3

import pytest
import sqlalchemy
from numbers_table import all_numbers, made, numbers
from sqlalchemy import insert, select

from hubbub.database import Database, DatabaseUnavailable


@pytest.fixture
async def database(database_url):
    async with Database(database_url) as database:
        yield database


async def test_an_error_in_a_transaction_undoes_all_of_it(database):
    await made(database)

    async def fail():
        async with database.transaction() as connection:
            await connection.execute(insert(numbers).values(number=1))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await all_numbers(database) == []


async def test_many_writers_at_once_wait_for_each_other(database):
    await made(database)

    async def count(number):
        async with database.transaction() as connection:
            await connection.execute(insert(numbers).values(number=number))

    await asyncio.gather(*(count(number) for number in range(50)))
    assert await all_numbers(database) == list(range(50))


async def test_readers_do_not_wait_for_a_writer(database):
    await made(database)
    async with database.transaction() as connection:
        await connection.execute(insert(numbers).values(number=1))
        async with asyncio.timeout(2):
            assert await all_numbers(database) == []
    assert await all_numbers(database) == [1]


async def test_a_wrong_statement_is_no_outage(database):
    with pytest.raises(sqlalchemy.exc.DBAPIError) as error:
        async with database.transaction() as connection:
            await connection.execute(select(numbers))
    assert not isinstance(error.value, DatabaseUnavailable)


async def test_a_file_that_another_process_holds_is_waited_for_and_then_told(tmp_path, monkeypatch):
    path = tmp_path / "hubbub.db"
    monkeypatch.setattr("hubbub.database.engines.BUSY", 0.2)
    async with Database(f"sqlite:///{path}") as database:
        await made(database)
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(DatabaseUnavailable):
            async with database.transaction():
                pass
        waiting = asyncio.create_task(made(database))
        await asyncio.sleep(0)
        other.execute("ROLLBACK")
        other.close()
        await waiting


async def test_what_sqlite_is_set_to(tmp_path):
    async with Database(f"sqlite:///{tmp_path}/hubbub.db") as database, database.reading() as connection:
        found = [
            (await connection.execute(sqlalchemy.text(f"PRAGMA {name}"))).scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        ]
    assert found == ["wal", 2, 1]


async def test_a_server_that_is_away_is_told_and_comes_back(postgres):
    async with Database(postgres.url()) as database:
        await made(database)
        await postgres.kill()
        for _ in range(2):
            with pytest.raises(DatabaseUnavailable):
                await all_numbers(database)
        await postgres.start()
        assert await all_numbers(database) == []
        await postgres.cut_clients("postgres")
        assert await all_numbers(database) == []
