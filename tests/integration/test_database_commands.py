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
        ("sqlite:////proc/nowhere/hubbub.db", "HUBBUB_DATABASE_URL: the folder /proc/nowhere cannot be made"),
        ("sqlite://ada:hunter2@host/hubbub.db", "HUBBUB_DATABASE_URL: SQLite has no host"),
        ("postgresql://ada:hunter2@127.0.0.1:99999/hub", "HUBBUB_DATABASE_URL: There is no port 99999"),
        (
            "postgresql://127.0.0.1:1/hub?user=ada&password=hunter2",
            "HUBBUB_DATABASE_URL: user stands before the host",
        ),
        ("postgresql://127.0.0.1:1/hub?foo=hunter2", "HUBBUB_DATABASE_URL: 'foo' is no option"),
        ("postgresql://127.0.0.1:1/hub?sslmode=bogus", "HUBBUB_DATABASE_URL: sslmode is one of"),
        ("postgresql://127.0.0.1:1/hub?target_session_attrs=bogus", "cannot be used: target_session_attrs"),
        (f"postgresql://{'x' * 64}.example/hub", "cannot be used: "),
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


OPTIONS = (
    "sslmode=prefer&channel_binding=prefer&connect_timeout=5&application_name=x&options=-c%20work_mem%3D5MB"
)


async def test_what_libpq_is_told_in_a_url_is_understood(hubbub, url):
    made = hubbub("migrate", DATABASE_URL=f"{url}?{OPTIONS}")
    assert (made.returncode, made.stderr) == (0, "")
    assert made.stdout == f"{url}: tables made.\n"
    assert "up to date" in hubbub("check", DATABASE_URL=f"{url}?{OPTIONS}").stdout
    async with Database(f"{url}?{OPTIONS}") as database, database.reading() as connection:
        for name, value in (("application_name", "x"), ("work_mem", "5MB")):
            assert await connection.scalar(sqlalchemy.text(f"SHOW {name}")) == value


async def test_what_was_removed_by_hand_is_told(hubbub, database_url):
    assert hubbub("migrate", DATABASE_URL=database_url).returncode == 0
    async with Database(database_url) as database, database.transaction() as connection:
        await connection.execute(sqlalchemy.text("DROP TABLE hubbub_job_logs"))
    for arguments in (("check",), ("migrate",), ("serve", "--port", str(steady_port()))):
        refused = hubbub(*arguments, DATABASE_URL=database_url)
        assert refused.returncode in {1, 2}
        said = refused.stdout + refused.stderr
        assert "has no hubbub_job_logs, though it was migrated" in said
        assert "Restore it from a backup" in said
        assert "Traceback" not in said


async def test_a_role_without_rights_is_told_which_it_needs(hubbub, shared_postgres, url):
    name = url.rpartition("/")[2]
    role = f"stranger_{name}"
    await shared_postgres.execute(f'CREATE ROLE "{role}" LOGIN')
    theirs = url.replace("hubbub@", f"{role}@")
    refused = hubbub("migrate", DATABASE_URL=theirs)
    assert refused.returncode == 2
    assert "permission denied for schema public" in refused.stderr
    assert f'GRANT USAGE, CREATE ON SCHEMA public TO "{role}"' in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert hubbub("migrate", DATABASE_URL=url).returncode == 0
    refused = hubbub("check", DATABASE_URL=theirs)
    assert "permission denied for table" in refused.stdout
    assert f'GRANT ALL ON ALL TABLES IN SCHEMA public TO "{role}"' in refused.stdout
    assert "Traceback" not in refused.stderr
    await shared_postgres.execute(f'GRANT USAGE, CREATE ON SCHEMA public TO "{role}"', name)
    await shared_postgres.execute(f'GRANT ALL ON ALL TABLES IN SCHEMA public TO "{role}"', name)
    assert "up to date" in hubbub("check", DATABASE_URL=theirs).stdout


async def test_a_server_that_does_not_answer_is_told_of(hubbub, postgres):
    postgres.pause()
    try:
        refused = hubbub("migrate", DATABASE_URL=postgres.url())
    finally:
        postgres.resume()
    assert refused.returncode == 2
    assert refused.stderr.endswith("cannot be used: it did not answer in time.\n")


def test_a_file_that_is_no_database_is_told_of(hubbub, tmp_path):
    path = tmp_path / "notes.db"
    path.write_bytes(b"notes" * 1000)
    for arguments in (("check",), ("migrate",), ("serve", "--port", str(steady_port()))):
        refused = hubbub(*arguments, DATABASE_URL=f"sqlite:///{path}")
        assert "cannot be used: file is not a database" in refused.stdout + refused.stderr
        assert "Traceback" not in refused.stderr
