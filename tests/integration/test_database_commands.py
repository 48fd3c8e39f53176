"""`hubbub migrate`, `check` and `serve` on a database: what each does, and says where it cannot."""

import os
import sqlite3
import subprocess
import sys

import pytest
import sqlalchemy
from ports import steady_port

from hubbub.database import Database
from hubbub.database.metadata import PREFIX
from hubbub.database.schema import VERSION_TABLE
from hubbub.server.schema import FILE


@pytest.fixture
def hubbub(tmp_path):
    """Run a command to its end."""

    def run(*arguments, **settings):
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("HUBBUB_")}
        environment = {**inherited, **{f"HUBBUB_{name}": value for name, value in settings.items()}}
        return subprocess.run(
            [sys.executable, "-m", "hubbub", *arguments],
            env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    return run


@pytest.fixture
async def url(shared_postgres):
    await shared_postgres.ready()
    return await shared_postgres.new_database()


async def set_revision(url, revision):
    async with Database(url) as database, database.transaction() as connection:
        statement = sqlalchemy.text(f"UPDATE {VERSION_TABLE} SET version_num = '{revision}'")
        await connection.execute(statement)


def test_sqlite_is_made_and_told_of(hubbub, tmp_path):
    assert "which `hubbub serve` makes" in hubbub("check").stdout
    made, again = hubbub("migrate"), hubbub("migrate")
    assert (made.returncode, again.returncode) == (0, 0)
    assert made.stdout.endswith("hubbub.db: tables made.\n")
    assert again.stdout.endswith("up to date already.\n")
    assert (made.stderr, again.stderr) == ("", "")
    assert "hubbub.db, up to date" in hubbub("check").stdout
    with sqlite3.connect(tmp_path / "hubbub-data" / FILE) as connection:
        names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type='table'")}
    connection.close()
    assert f"{PREFIX}processes" in names


async def test_postgresql_is_migrated_by_hand_before_anything_is_served(hubbub, url):
    for arguments in (("check",), ("serve", "--port", str(steady_port()))):
        refused = hubbub(*arguments, DATABASE_URL=url)
        assert refused.returncode in {1, 2}
        assert "run `hubbub migrate`" in refused.stdout + refused.stderr
        assert "Traceback" not in refused.stderr
    assert "tables made" in hubbub("migrate", DATABASE_URL=url).stdout
    assert "up to date" in hubbub("check", DATABASE_URL=url).stdout
    await set_revision(url, "9999")
    assert "migrated by a later version" in hubbub("check", DATABASE_URL=url).stdout
    assert "later version already" in hubbub("migrate", DATABASE_URL=url).stdout


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("mysql://db/hub", "HUBBUB_DATABASE_URL: Hubbub has no database 'mysql'"),
        (
            "postgresql://ada:hunter2@127.0.0.1:1/hub",
            "The database postgresql://ada:***@127.0.0.1:1/hub cannot be used",
        ),
        ("sqlite:////proc/nowhere/hubbub.db", "cannot be"),
    ],
)
def test_what_cannot_be_used_is_one_line(hubbub, address, said):
    for command in ("migrate", "serve"):
        refused = hubbub(command, DATABASE_URL=address)
        assert refused.returncode == 2
        assert said in refused.stderr
        assert len(refused.stderr.splitlines()) == 1
        assert "hunter2" not in refused.stderr
    assert said in hubbub("check", DATABASE_URL=address).stdout


def test_a_database_that_is_missing_is_named(hubbub, url):
    refused = hubbub("migrate", DATABASE_URL=url.rpartition("/")[0] + "/nowhere")
    assert refused.returncode == 2
    assert 'database "nowhere" does not exist' in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
