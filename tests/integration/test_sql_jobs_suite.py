"""The engine on a database keeps the contract, on SQLite and on PostgreSQL (`hubbub.testing.conformance.job_script` runs; what
users ask is in `hubbub.testing.conformance.jobs_keeping`)."""

from contextlib import asynccontextmanager

import pytest
from sqlalchemy import text

from hubbub.database import Database, Dialect, migrate
from hubbub.jobs import Cron, SqlEngine
from hubbub.jobs.schedules import Schedule
from hubbub.jobs.sql import keeping
from hubbub.testing.conformance.job_script import Script
from hubbub.testing.conformance.jobs import EACH_SECOND, EngineSuite


class TestSqlEngine(EngineSuite):
    @pytest.fixture(autouse=True)
    async def set_up(self, database_url):
        self.url = database_url
        async with Database(database_url) as database:
            await migrate(database)

    @asynccontextmanager
    async def engine(self):
        async with Database(self.url, lease=0.6) as database, SqlEngine(database) as engine:
            yield engine

    async def test_a_schedule_that_cannot_be_kept_harms_no_other(self, caplog):
        """Neither one whose time cannot be told nor one whose job cannot be made; each is told once."""

        def wrong():
            raise ValueError("no job")

        plan = [
            Schedule("never", Never("* * * * * *"), self.draft),
            Schedule("wrong", EACH_SECOND, wrong),
            Schedule("right", EACH_SECOND, self.draft),
        ]
        script = Script()
        async with self.running(script, schedules=plan):
            await self.until(lambda: len(script.begun) >= 3)
        told = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
        assert sorted(told) == [
            f"The schedule {name} cannot be kept; it is tried again" for name in ("never", "wrong")
        ]

    async def test_an_owners_unfinished_jobs_are_counted_by_their_index(self):
        """However many are finished; so is a key looked up that is taken."""
        statements = [keeping.unfinished("ada"), keeping.holder("work", "k")]
        async with Database(self.url) as database, database.transaction() as connection:
            explain = "EXPLAIN QUERY PLAN " if database.dialect is Dialect.SQLITE else "EXPLAIN "
            if database.dialect is Dialect.POSTGRESQL:  # so few rows are read faster one by one
                await connection.execute(text("SET LOCAL enable_seqscan = off"))
            for statement, index in zip(
                statements, ("ix_hubbub_jobs_unfinished", "uq_hubbub_jobs_key"), strict=True
            ):
                compiled = statement.compile(
                    dialect=connection.dialect, compile_kwargs={"render_postcompile": True}
                )
                values = tuple(compiled.params[name] for name in compiled.positiontup)
                rows = await connection.exec_driver_sql(explain + str(compiled), values)
                assert index in str(rows.all())


class Never(Cron):
    """One whose times end, as those of a year do."""

    def following(self, now):
        if now:
            raise ValueError("no next time")
        return super().following(now)
