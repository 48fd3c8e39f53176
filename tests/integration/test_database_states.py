"""A database that is there and takes nothing: read-only, locked by another process, deleted, damaged."""

import asyncio
import sqlite3
import time
from contextlib import closing

import pytest
from numbers_table import made, numbers
from serving import eventually
from sqlalchemy import func, insert, select, text
from sqlalchemy.exc import DatabaseError

from hubbub.database import Database, DatabaseUnavailable, engines, writers
from hubbub.database.errors import reason
from hubbub.database.sqlite_file import GONE

BUSY = 0.5
SLACK = 1.5


@pytest.fixture
def file(tmp_path):
    return tmp_path / "hubbub.db"


@pytest.fixture
async def database(file):
    async with Database(f"sqlite:///{file}") as database:
        yield database


async def add(database, number):
    async with database.transaction() as connection:
        await connection.execute(insert(numbers).values(number=number))


async def count(database):
    async with database.reading() as connection:
        return await connection.scalar(select(func.count()).select_from(numbers))


async def backend(database):
    async with database.reading() as connection:
        return await connection.scalar(text("SELECT pg_backend_pid()"))


async def test_a_server_that_writes_no_more_is_away_until_there_is_one_that_does(postgres):
    async with Database(postgres.url()) as database:
        await made(database)
        await postgres.execute("ALTER SYSTEM SET default_transaction_read_only = on")
        await postgres.execute("SELECT pg_reload_conf()")

        async def is_refused():
            try:
                await add(database, 1)
            except DatabaseUnavailable:
                return True
            return False

        await eventually(is_refused)
        before = await backend(database)
        assert await is_refused()
        assert await backend(database) != before  # after a failover it is another server that is asked
        await postgres.execute("ALTER SYSTEM RESET ALL")
        await postgres.execute("SELECT pg_reload_conf()")

        async def is_taken():
            return not await is_refused()

        await eventually(is_taken)


async def timed(doing):
    """Return how long it took, and whether it could be done."""
    began = time.monotonic()
    try:
        await doing
    except DatabaseUnavailable:
        return time.monotonic() - began, False
    return time.monotonic() - began, True


async def test_nobody_waits_for_a_locked_file_longer_than_one_alone_does(file, monkeypatch):
    for module in (engines, writers):
        monkeypatch.setattr(module, "BUSY", BUSY)
    async with Database(f"sqlite:///{file}") as database:
        await made(database)
        await check_waits(database, file)


async def check_waits(database, file):
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        together = [timed(add(database, number)) for number in range(20)]
        for took, could in await asyncio.gather(*together):
            assert not could
            assert took < BUSY + SLACK
        # Those who come later have as long as the others had.
        later = asyncio.gather(*(timed(add(database, number)) for number in range(3)))
        took, could = (await later)[-1]
        assert (could, BUSY / 2 < took < BUSY + SLACK) == (False, True)
        other.execute("ROLLBACK")
    assert (await timed(add(database, 1)))[1]
    assert await count(database) == 1


async def test_a_queue_in_which_each_writes_may_be_as_long_as_it_likes(database, monkeypatch):
    monkeypatch.setattr(writers, "BUSY", 0.05)
    await made(database)

    async def slowly(number):
        async with database.transaction() as connection:
            await connection.execute(insert(numbers).values(number=number))
            await asyncio.sleep(0.02)  # what it does meanwhile

    assert all(could for _, could in await asyncio.gather(*(timed(slowly(number)) for number in range(30))))
    assert await count(database) == 30


async def test_connections_to_a_file_that_was_deleted_are_not_kept(database, file):
    await made(database)
    for each in file.parent.glob(f"{file.name}*"):
        each.unlink()
    for _ in range(3):
        with pytest.raises(DatabaseUnavailable) as refused:
            await add(database, 1)
        assert GONE in reason(refused.value)
    assert not file.exists()
    async with Database(f"sqlite:///{file}") as another:
        await made(another)
    await add(database, 2)
    assert await count(database) == 1


@pytest.fixture
def nonsense(file):
    file.write_bytes(b"nothing of SQLite's" * 1000)
    return file


async def test_a_file_that_is_none_of_sqlites_is_an_error_that_does_not_pass(nonsense):
    async with Database(f"sqlite:///{nonsense}") as database:
        with pytest.raises((sqlite3.DatabaseError, DatabaseError), match="not a database"):
            await count(database)
