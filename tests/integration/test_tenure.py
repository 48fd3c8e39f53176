"""Without a shared broker one process has a database to itself; with one there may be many."""

import asyncio
from contextlib import AsyncExitStack

import pytest
from server_process import hubbub
from serving import bearer, eventually, hubbub_serve

from hubbub import ConfigurationError
from hubbub.database import Database, tenure
from hubbub.database.tenure import Tenure

TASKS = "/api/v1/tasks/"


async def tries(url, *, shared):
    """Tell whether a process could use a database."""
    async with Database(url) as database:
        try:
            async with Tenure(database, shared=shared):
                return True
        except ConfigurationError as error:
            if "one process serves alone" not in str(error):
                raise
            return False


@pytest.mark.parametrize(
    ("mine", "others", "may"),
    [(False, False, False), (False, True, False), (True, False, False), (True, True, True)],
)
async def test_who_may_use_a_database_beside_whom(database_url, mine, others, may):
    async with Database(database_url) as database, Tenure(database, shared=mine):
        assert await tries(database_url, shared=others) is may
    assert await tries(database_url, shared=False)


async def test_it_is_taken_again_after_postgresql_was_away(postgres, monkeypatch):
    monkeypatch.setattr(tenure, "LOOK", 0.05)
    url = postgres.url()
    async with Database(url) as database, Tenure(database, shared=False) as mine:
        await postgres.kill()
        await postgres.start()

        async def is_taken_again():
            return not await tries(url, shared=True)

        await eventually(is_taken_again, within=20)
        assert mine.problem is None


async def test_whoever_comes_while_postgresql_is_away_has_it_and_that_is_told(postgres, monkeypatch, caplog):
    monkeypatch.setattr(tenure, "LOOK", 0.05)
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(Database(postgres.url()))
        mine = await stack.enter_async_context(Tenure(database, shared=False))
        await postgres.kill()
        mine._task.cancel()  # it is slow
        await postgres.start()
        other = await stack.enter_async_context(Database(postgres.url()))
        async with Tenure(other, shared=False):
            mine._task = asyncio.create_task(mine._keep())
            await eventually(lambda: mine.problem is not None, within=20)
            assert "one process serves alone" in caplog.text
        await eventually(lambda: mine.problem is None, within=20)


async def test_a_second_server_without_redis_refuses_the_database_until_the_first_is_gone(
    tmp_path, database_url
):
    settings = {"DATABASE_URL": database_url}
    code, _, errors = await hubbub(tmp_path, "migrate", **settings)
    assert code == 0, errors
    one, other = tmp_path / "one", tmp_path / "other"
    other.mkdir()
    with hubbub_serve(one, **settings) as first:
        code, _, errors = await hubbub(other, "serve", "--port", "0", DATA_DIR=str(other), **settings)
        assert code != 0
        assert "one process serves alone" in errors
        assert "Traceback" not in errors
        made = await first.request(
            "POST", TASKS, json={"kind": "demo", "params": {"steps": 2, "seconds": 2}}, headers=bearer("ada")
        )
        first.process.kill()
        first.process.wait(30)
    with hubbub_serve(other, **settings) as second:

        async def is_done():
            answer = await second.get(TASKS + made.json()["id"], headers=bearer("ada"))
            return answer.json()["status"] == "completed"

        # Nobody waits for the lease of one that cannot be there any more.
        await eventually(is_done, within=9)
