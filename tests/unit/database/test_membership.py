"""All that one process has on a database is one member of it."""

import asyncio

import pytest
from sqlalchemy import select

from hubbub import ConfigurationError, Hub
from hubbub.database import Database, DatabaseUnavailable, migrate
from hubbub.database.liveness import processes
from hubbub.jobs import Jobs


async def alive(database):
    async with database.reading() as connection:
        return set((await connection.scalars(select(processes.c.id))).all())


async def test_all_that_one_process_has_on_a_database_is_one_of_its_members(tmp_path):
    async with Database(f"sqlite:///{tmp_path}/hubbub.db", alone=True) as database:
        await migrate(database)
        hub, jobs = Hub(database=database), Jobs(database)
        async with jobs:
            mine = database.membership.liveness.id
            async with hub.lifespan(None):
                assert await alive(database) == {mine}
            assert await alive(database) == {mine}
            with pytest.raises(ConfigurationError, match="make another Database"):
                await Jobs(database).__aenter__()
            assert await alive(database) == {mine}
        assert await alive(database) == set()
        async with jobs:
            assert len(await alive(database)) == 1


async def test_whoever_could_not_begin_may_try_again(tmp_path, monkeypatch):
    async with Database(f"sqlite:///{tmp_path}/hubbub.db") as database:
        await migrate(database)
        membership = database.membership

        async def fail():
            raise DatabaseUnavailable("away")

        with monkeypatch.context() as patch:
            patch.setattr(membership.liveness, "_enrol", fail)
            with pytest.raises(DatabaseUnavailable):
                await membership.__aenter__()
        entered = await asyncio.gather(membership.__aenter__(), membership.__aenter__())
        assert entered == [membership, membership]
        assert await alive(database) == {membership.liveness.id}
        await membership.__aexit__(None, None, None)
        assert await alive(database) == {membership.liveness.id}
        await membership.__aexit__(None, None, None)
        assert await alive(database) == set()
