"""PostgreSQL finds jobs by their indexes even with a plan that it made for whatever the parameters may be."""

import pytest
import sqlalchemy
from sqlalchemy import event

from hubbub.database import Database, migrate
from hubbub.jobs.sql.claiming import Claims


@pytest.fixture
async def database(shared_postgres):
    await shared_postgres.ready()
    async with Database(await shared_postgres.new_database()) as database:
        await migrate(database)
        yield database


@pytest.mark.parametrize(
    ("name", "arguments", "index"),
    [
        ("claim", ("me", 10), "ix_hubbub_jobs_pending"),
        ("promote", (), "ix_hubbub_jobs_delayed"),
        ("next_due", (), "ix_hubbub_jobs_delayed"),
        ("take_over", (), "ix_hubbub_jobs_running"),
        ("held", ("me",), "ix_hubbub_jobs_running"),
        ("to_cancel", ("me",), "ix_hubbub_jobs_running"),
    ],
)
async def test_a_generic_plan_has_the_index(database, name, arguments, index):
    said = []
    claims = Claims(database.dialect, {"step": None})
    async with database.transaction() as connection:
        event.listen(
            database.engine.sync_engine,
            "before_cursor_execute",
            lambda _, cursor, statement, parameters, context, many: said.append((statement, parameters)),
        )
        await getattr(claims, name)(connection, *arguments)
    ((statement, parameters),) = said
    async with database.reading() as connection:
        for setting in ("plan_cache_mode = force_generic_plan", "enable_seqscan = off"):
            await connection.execute(sqlalchemy.text(f"SET LOCAL {setting}"))
        nothing = f"({', '.join(['NULL'] * len(parameters))})" if parameters else ""
        await connection.exec_driver_sql(f"PREPARE probe AS {statement}")
        plan = await connection.exec_driver_sql(f"EXPLAIN EXECUTE probe{nothing}")
    assert index in "\n".join(plan.scalars())
