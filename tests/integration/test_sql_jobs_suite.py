"""The engine on a database keeps the contract, on SQLite and on PostgreSQL (`hubbub.testing.conformance.job_script` runs)."""

from contextlib import asynccontextmanager

import pytest

from hubbub.database import Database
from hubbub.database.schema import migrate
from hubbub.jobs import SqlEngine
from hubbub.testing.conformance.jobs import EngineSuite


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
