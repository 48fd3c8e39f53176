import asyncio
import sqlite3

import pytest
import sqlalchemy
from sqlalchemy import event

from hubbub.database import Database, DatabaseUnavailable, migrate
from hubbub.jobs import Jobs


@pytest.fixture
async def database(tmp_path):
    async with Database(f"sqlite:///{tmp_path}/jobs.db") as database:
        await migrate(database)
        yield database


@pytest.fixture
async def jobs(database):
    jobs = Jobs(database, concurrency=0)
    jobs.task(name="step")(step)
    async with jobs:
        yield jobs


def step(text: str) -> None:
    """Nothing."""


class Commits:
    def __init__(self, database):
        self.number = 0
        event.listen(database.engine.sync_engine, "commit", self._count)

    def _count(self, _):
        self.number += 1


async def refuse(database, text):
    """Have the database refuse a job."""
    async with database.transaction() as connection:
        await connection.execute(
            sqlalchemy.text(
                f"CREATE TRIGGER refuse BEFORE INSERT ON hubbub_jobs WHEN NEW.params LIKE '%{text}%' "
                "BEGIN SELECT RAISE(ABORT, 'refused'); END"
            )
        )


async def test_those_who_come_together_share_a_commit(database, jobs):
    enqueue = jobs.tasks["step"].enqueue
    commits = Commits(database)
    made = await asyncio.gather(*(enqueue(str(number)) for number in range(100)))
    assert commits.number <= 2
    assert [(await jobs.get(each.job.id)).params for each in made] == [{"text": str(n)} for n in range(100)]


async def test_one_whom_the_database_refuses_harms_no_other(database, jobs):
    await refuse(database, "bad")
    enqueue = jobs.tasks["step"].enqueue
    made = await asyncio.gather(*map(enqueue, ("good", "bad", "better")), return_exceptions=True)
    assert isinstance(made[1], sqlalchemy.exc.IntegrityError)
    assert [(await jobs.get(made[n].job.id)).params["text"] for n in (0, 2)] == ["good", "better"]
    assert sum((await jobs.counts()).values()) == 2


async def test_whoever_gave_up_waiting_has_no_job_and_the_others_do(database, jobs):
    enqueue = jobs.tasks["step"].enqueue
    first, gone, last = (asyncio.create_task(enqueue(text)) for text in ("first", "gone", "last"))
    await asyncio.sleep(0)
    gone.cancel()
    texts = [(await jobs.get((await task).job.id)).params["text"] for task in (first, last)]
    assert texts == ["first", "last"]
    assert sum((await jobs.counts()).values()) == 2


async def test_while_the_database_is_locked_all_are_told_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr("hubbub.database.engines.BUSY", 0.05)
    async with Database(f"sqlite:///{tmp_path}/jobs.db") as database:
        await migrate(database)
        jobs = Jobs(database, concurrency=0)
        jobs.task(name="step")(step)
        async with jobs:
            other = sqlite3.connect(tmp_path / "jobs.db", isolation_level=None)
            other.execute("BEGIN EXCLUSIVE")
            enqueue = jobs.tasks["step"].enqueue
            made = await asyncio.gather(*(enqueue(str(n)) for n in range(5)), return_exceptions=True)
            assert all(isinstance(each, DatabaseUnavailable) for each in made)
            other.execute("ROLLBACK")
            other.close()
            assert (await enqueue("again")).is_new
