"""The server's jobs, as they are kept."""

import time

import pytest
from sqlalchemy import insert, select

from hubbub.database import Database, migrate
from hubbub.jobs.sql.tables import jobs as table
from hubbub.server.jobs import KEEP_FAILED, create_jobs

DAY = 24 * 3600.0


@pytest.fixture
async def database(tmp_path):
    async with Database(f"sqlite:///{tmp_path}/x.db") as database:
        await migrate(database)
        yield database


def ended(name, status, age):
    at = int((time.time() - age) * 1000)
    return {
        "id": name,
        "kind": "demo",
        "status": status,
        "priority": 0,
        "params": "{}",
        "attempt": 1,
        "attempts": 1,
        "fence": 1,
        "cancelling": False,
        "progress": 0,
        "created": at,
        "due": at,
        "finished": at,
    }


async def test_failed_jobs_are_kept_for_thirty_days(database):
    assert KEEP_FAILED == 30 * DAY
    rows = [ended("older", "failed", 31 * DAY), ended("younger", "failed", 29 * DAY)]
    async with database.transaction() as connection:
        await connection.execute(insert(table), rows)
    await create_jobs(database, 0, 1.0).engine._sweeper.sweep()
    async with database.reading() as connection:
        assert (await connection.scalars(select(table.c.id))).all() == ["younger"]
