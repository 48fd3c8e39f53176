"""A PostgreSQL that was stopped (SIGSTOP), which is what a host that has vanished looks like: nothing hangs for long."""

import asyncio
import time
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from numbers_table import made, numbers
from serving import hubbub_serve
from sqlalchemy import func, insert, select, text

from hubbub import Hub
from hubbub.database import Address, Database, DatabaseUnavailable, migrate
from hubbub.database.connections import Connections
from hubbub.database.engines import make_engine
from hubbub.database.errors import SILENT, reason

STATEMENT = 1.0
GOODBYE = 2.0
"""Seconds that SQLAlchemy, and so do we, give a connection to be closed."""
SLACK = 2.0
"""Seconds that a busy machine may need."""


@asynccontextmanager
async def impatient(postgres):
    """A database whose statements have a second."""
    address = Address.parse(postgres.url())
    engine = make_engine(address, statement=STATEMENT)
    connections = Connections(engine)
    async with Database(address, engine=engine) as database:
        try:
            yield database
        finally:
            await connections.close()


@asynccontextmanager
async def within(seconds):
    began = time.monotonic()
    yield
    assert time.monotonic() - began < seconds


async def count(database):
    async with database.reading() as connection:
        return await connection.scalar(select(func.count()).select_from(numbers))


@asynccontextmanager
async def silent(postgres):
    postgres.pause()
    try:
        yield
    finally:
        postgres.resume()


async def hangs_in_a_statement(database, postgres, stack):
    async with database.transaction() as connection:
        await connection.execute(insert(numbers).values(number=1))
        await stack.enter_async_context(silent(postgres))
        await connection.execute(text("SELECT 1"))


async def hangs_in_its_commit(database, postgres, stack):
    async with database.transaction() as connection:
        await connection.execute(insert(numbers).values(number=1))
        await stack.enter_async_context(silent(postgres))


async def hangs_in_its_rollback(database, postgres, stack):
    async with database.transaction() as connection:
        await connection.execute(insert(numbers).values(number=1))
        await stack.enter_async_context(silent(postgres))
        raise ValueError


async def hangs_where_it_begins(database, postgres, stack):
    await count(database)  # there is one in the pool
    await stack.enter_async_context(silent(postgres))
    await count(database)


@pytest.mark.parametrize(
    "hangs", [hangs_in_a_statement, hangs_in_its_commit, hangs_in_its_rollback, hangs_where_it_begins]
)
async def test_what_is_not_answered_is_given_up_and_its_connection_with_it(postgres, hangs):
    async with impatient(postgres) as database:
        await made(database)
        async with AsyncExitStack() as stack:
            async with within(STATEMENT + GOODBYE + SLACK):
                with pytest.raises(DatabaseUnavailable) as refused:
                    await hangs(database, postgres, stack)
            assert reason(refused.value) == SILENT
            assert database.engine.pool.checkedout() == 0
        async with database.transaction() as connection:
            await connection.execute(insert(numbers).values(number=2))
        async with database.reading() as connection:
            assert 2 in (await connection.scalars(select(numbers.c.number))).all()
        assert database.engine.pool.checkedout() == 0


@pytest.mark.parametrize("where", ["in a statement", "between two", "reading"])
async def test_whoever_is_cancelled_meanwhile_ends_soon(postgres, where):
    async with Database(postgres.url()) as database:
        await made(database)
        async with AsyncExitStack() as stack, within(0.5 + GOODBYE + SLACK):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(use(database, postgres, where, stack), 0.5)
        assert database.engine.pool.checkedout() == 0
        assert await count(database) == 0
        async with database.transaction() as connection:  # nobody holds a lock
            await connection.execute(text(f"LOCK TABLE {numbers.name} IN ACCESS EXCLUSIVE MODE NOWAIT"))


async def use(database, postgres, where, stack):
    begin = database.reading if where == "reading" else database.transaction
    async with begin() as connection:
        await connection.execute(select(numbers))
        if where != "reading":
            await connection.execute(insert(numbers).values(number=1))
        await stack.enter_async_context(silent(postgres))
        if where == "in a statement":
            await connection.execute(text("SELECT 1"))
        await asyncio.Event().wait()


async def test_a_hub_is_left_within_seconds(postgres):
    await migrate(postgres.url())
    hub = Hub(database=postgres.url())
    async with AsyncExitStack() as stack:
        async with hub.lifespan(None):
            await stack.enter_async_context(silent(postgres))
            began = time.monotonic()
        took = time.monotonic() - began
    assert took < 15, took


async def test_a_server_stops_within_seconds_of_its_drain_time(postgres, tmp_path):
    await migrate(postgres.url())
    with hubbub_serve(tmp_path, DATABASE_URL=postgres.url()) as serving:
        async with silent(postgres):
            assert await serving.terminate() < 1 + 25


async def test_a_migration_takes_its_time(postgres):
    async with impatient(postgres) as database:
        with pytest.raises(DatabaseUnavailable):
            async with database.transaction() as connection:
                await connection.execute(text(f"SELECT pg_sleep({STATEMENT + 1})"))
    async with Database(postgres.url()) as database, database.unhurried() as connection:
        driver = (await connection.get_raw_connection()).driver_connection
        assert driver._config.command_timeout > 600
