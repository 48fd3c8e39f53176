"""Two releases on one database: this code on the tables of a later one, and what a migration may do."""

from contextlib import asynccontextmanager

import pytest
from alembic import command
from alembic.config import Config
from outbox_stage import app
from releases import migrated_by_a_later_release
from serving import bearer, eventually, hubbub_serve
from sqlalchemy import inspect

from hubbub.database import Database
from hubbub.database.metadata import PREFIX
from hubbub.database.schema import MIGRATIONS, VERSION_TABLE, State, migrate, revisions, state_of
from hubbub.jobs import SqlEngine
from hubbub.testing.conformance.jobs import EngineSuite

TASKS = "/api/v1/tasks/"
ADA = bearer("ada")


@pytest.fixture
async def later(database_url):
    """The URL of a database that a later release has migrated."""
    async with Database(database_url) as database:
        await migrate(database)
        await migrated_by_a_later_release(database)
        assert await state_of(database) is State.NEWER
    return database_url


class TestJobsOnALaterSchema(EngineSuite):
    @pytest.fixture(autouse=True)
    async def set_up(self, tmp_path):
        self.url = f"sqlite:///{tmp_path}/hubbub.db"
        async with Database(self.url) as database:
            await migrate(database)
            await migrated_by_a_later_release(database)

    @asynccontextmanager
    async def engine(self):
        async with Database(self.url, lease=0.6) as database, SqlEngine(database) as engine:
            yield engine


async def test_publications_on_a_later_schema_are_relayed(later):
    async with app(later) as one:
        await one.say("1", "2")
        await one.hears("1", "2")


async def test_a_server_on_a_later_schema_serves(later, tmp_path):
    with hubbub_serve(tmp_path, DATABASE_URL=later) as server:
        params = {"steps": 1, "seconds": 0.01}
        made = await server.request("POST", TASKS, json={"kind": "demo", "params": params}, headers=ADA)
        assert made.status_code == 202, made.text

        async def is_completed():
            answer = await server.get(TASKS + made.json()["id"], headers=ADA)
            return answer.json()["status"] == "completed"

        await eventually(is_completed, within=20)


def tables_of(connection):
    inspector = inspect(connection)
    return {
        name: {column["name"]: column for column in inspector.get_columns(name)}
        for name in inspector.get_table_names()
        if name.startswith(PREFIX) and name != VERSION_TABLE
    }


async def test_a_migration_only_adds_what_the_release_before_can_live_with(database_url):
    def step(connection, revision):
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = connection
        config.attributes["version_table"] = VERSION_TABLE
        command.upgrade(config, revision)
        return tables_of(connection)

    before = {}
    async with Database(database_url) as database:
        for revision in revisions():
            async with database.transaction() as connection:
                after = await connection.run_sync(step, revision)
            for table, columns in before.items():
                for name, column in columns.items():
                    kept = after[table][name]
                    assert (str(kept["type"]), kept["nullable"]) == (str(column["type"]), column["nullable"])
                for name in after[table].keys() - columns.keys():
                    new = after[table][name]
                    assert new["nullable"] or new["default"] is not None, (revision, table, name)
            before = after
