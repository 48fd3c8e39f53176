"""The schema, who is alive and who is woken: on SQLite and PostgreSQL."""

import asyncio
import itertools
from contextlib import AsyncExitStack

import pytest
import sqlalchemy
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from numbers_table import made, numbers
from serving import eventually
from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from hubbub.database import Database, metadata
from hubbub.database.liveness import Liveness, processes
from hubbub.database.schema import MIGRATIONS, VERSION_TABLE, State, migrate, revisions, state_of
from hubbub.database.waking import Waker
from hubbub.jobs.sql import tables  # noqa: F401 (they are part of what the code describes)

LEASE = 0.6


@pytest.fixture
async def database(database_url):
    async with Database(database_url) as database:
        yield database


# ---------------------------------------------------------------------------------------------- schema


async def test_what_is_migrated_is_what_the_code_describes(database):
    assert await state_of(database) is State.EMPTY
    assert await migrate(database) is State.EMPTY
    assert await migrate(database) is State.CURRENT
    assert await state_of(database) is State.CURRENT

    def differences(connection):
        options = {"compare_type": True, "compare_server_default": True, "version_table": VERSION_TABLE}
        return compare_metadata(MigrationContext.configure(connection, opts=options), metadata)

    async with database.reading() as connection:
        assert await connection.run_sync(differences) == []


def test_the_migrations_are_in_the_order_of_their_numbers():
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    walked = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]
    assert revisions() == walked[::-1]


async def test_several_who_migrate_at_once_do_it_once(database_url):
    async with AsyncExitStack() as stack:
        nodes = [await stack.enter_async_context(Database(database_url)) for _ in range(4)]
        found = await asyncio.gather(*(migrate(node) for node in nodes))
    assert sorted(state.value for state in found) == ["current"] * 3 + ["empty"]


async def test_a_later_schema_is_known_as_one(database):
    await migrate(database)
    async with database.transaction() as connection:
        await connection.execute(sqlalchemy.text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
    assert await state_of(database) is State.NEWER
    assert await migrate(database) is State.NEWER


# ---------------------------------------------------------------------------------------------- who is alive


class Process:
    """One process among others, as `Liveness` sees it."""

    numbers = itertools.count()

    def __init__(self, database, **options):
        self.liveness = Liveness(database, lambda: f"p{next(self.numbers)}", lease=LEASE, **options)
        self.lost = self.deaths = 0
        self.told = self.liveness.told(lost=self._count_lost, died=self._count_death)
        self.told.__enter__()

    def _count_lost(self):
        self.lost += 1

    def _count_death(self):
        self.deaths += 1

    def stop(self):
        """Stand still, as a process does that is stopped."""
        self.liveness._task.cancel()


async def alive(database):
    async with database.reading() as connection:
        return set((await connection.scalars(select(processes.c.id))).all())


async def test_who_stands_still_is_dead_within_the_lease_and_finds_out_when_it_goes_on(database):
    await migrate(database)
    one, two, three = (Process(database) for _ in range(3))
    async with one.liveness, two.liveness, three.liveness:
        assert await alive(database) == {each.liveness.id for each in (one, two, three)}
        two.stop()
        began = asyncio.get_running_loop().time()
        await eventually(lambda: one.deaths + three.deaths == 1, within=10)
        assert asyncio.get_running_loop().time() - began < 2 * LEASE
        assert await alive(database) == {one.liveness.id, three.liveness.id}
        before = two.liveness.id
        assert not two.liveness.is_sure
        await two.liveness._beat()
        assert (two.lost, two.liveness.id != before, two.liveness.is_sure) == (1, True, True)
        assert two.liveness.id in await alive(database)
    assert await alive(database) == set()


async def test_while_the_database_is_away_nobody_dies(postgres):
    async with Database(postgres.url()) as database:
        await migrate(database)
        one, two = Process(database), Process(database)
        async with one.liveness, two.liveness:
            ids = await alive(database)
            await postgres.kill()
            await asyncio.sleep(2 * LEASE)  # the time is the fault
            await postgres.start()
            await eventually(lambda: one.liveness.is_sure and two.liveness.is_sure, within=20)
            assert (await alive(database), one.lost, two.lost) == (ids, 0, 0)


async def test_who_is_alone_has_no_dead_to_wait_for(database):
    await migrate(database)
    async with database.transaction() as connection:
        await connection.execute(insert(processes).values(id="before", beat=7))
    one = Process(database, alone=True)
    async with one.liveness:
        assert await alive(database) == {one.liveness.id}


# ---------------------------------------------------------------------------------------------- waking


async def test_whoever_waits_is_woken_when_it_is_committed(database):
    await made(database)
    async with Waker(database) as waker:
        with waker.waiter("jobs") as waiter, waker.waiter("mail") as other:
            async with AsyncSession(database.engine) as session:
                waker.wake_after(session, "jobs")
                async with session.begin_nested():
                    await session.execute(insert(numbers).values(number=1))
                while await waiter.wait(0.2):  # a savepoint is no commit, and costs a look
                    pass
                await other.wait(0.01)  # whoever begins to listen has everybody look
                await session.rollback()
                assert not await waiter.wait(0.05)
                waker.wake_after(session, "jobs")
                await session.execute(insert(numbers).values(number=2))
                await session.commit()
            assert await waiter.wait(5)
            async with database.transaction() as connection:
                await connection.execute(insert(numbers).values(number=3))
                waker.wake_after(connection, "jobs")
            assert await waiter.wait(5)
            assert not await other.wait(0.01)
            waker.wake("mail")
            assert await other.wait(5)


async def test_other_processes_are_woken_too_and_after_a_break_again(shared_postgres):
    await shared_postgres.ready()
    url = await shared_postgres.new_database()
    async with Database(url) as one, Database(url) as two, Waker(one) as here, Waker(two) as there:
        with there.waiter("jobs") as waiter:
            for _ in range(2):
                async with asyncio.timeout(10):
                    while not await waiter.wait(0.05):
                        here.wake("jobs")
                await shared_postgres.cut_clients(url.rpartition("/")[2])
