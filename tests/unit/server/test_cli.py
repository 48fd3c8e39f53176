import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from hubbub import ConfigurationError, JWTAuthenticator, __version__
from hubbub.server.cli import app, main
from hubbub.server.data_dir import announce, only_server
from hubbub.server.tokens import SIGN_IN


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def secret() -> str:
    return Path("hubbub-data/secret").read_text().strip()


async def read(token: str, **options):
    return await JWTAuthenticator(secret(), **options)(token)


def test_the_version_is_printed():
    assert run("--version").stdout == f"hubbub {__version__}\n"


def test_the_commands_are_those_that_work():
    result = run("--help")
    assert result.exit_code == 0
    commands = result.stdout.partition("Commands:")[2]
    assert re.findall(r"^  (\w+) ", commands, re.MULTILINE) == [
        "serve",
        "worker",
        "token",
        "check",
        "migrate",
        "openapi",
        "bench",
    ]


@pytest.mark.parametrize("arguments", ["--version", "--help", "bench --help", "token --user ada"])
def test_what_needs_no_server_and_no_database_imports_neither(arguments):
    program = (
        "import sys; from hubbub.server.cli import app; app(standalone_mode=False); "
        "print('IMPORTED', *{name.partition('.')[0] for name in sys.modules}, *sys.modules)"
    )
    command = [sys.executable, "-c", program, *arguments.split()]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    imported = set(result.stdout.partition("IMPORTED")[2].split())
    assert "typer" in imported
    heavy = {"sqlalchemy", "alembic", "uvicorn", "prometheus_client", "structlog", "croniter"}
    settings = set() if "token" in arguments else {"pydantic_settings", "hubbub.bench"}
    assert imported & (heavy | settings | {"hubbub.server.app"}) == set()


async def test_a_token_and_a_link_are_printed(folder):
    result = run("token", "--user", "ada")
    token, link = result.stdout.splitlines()
    identity = await read(token)
    assert (identity.user_id, identity.scopes) == ("ada", frozenset())
    address, code = link.split("/#sign-in=")
    assert address == "http://127.0.0.1:8000"
    identity = await read(code, audience=SIGN_IN)
    assert (identity.user_id, identity.scopes) == ("ada", frozenset())


async def test_an_administrators_token_says_so_and_ends_when_asked():
    token, link = run("token", "--user", "root", "--admin", "--ttl", "5m").stdout.splitlines()
    access = await read(token)
    code = await read(link.partition("=")[2], audience=SIGN_IN)
    assert access.is_admin
    assert code.is_admin
    assert abs(access.expires_at - code.expires_at) <= 1


def test_the_link_leads_where_browsers_find_the_server(folder, monkeypatch):
    with only_server(folder / "hubbub-data") as lock:
        announce(lock, "http://127.0.0.1:9000")
        assert (
            run("token", "--user", "ada").stdout.splitlines()[1].startswith("http://127.0.0.1:9000/#sign-in=")
        )
        monkeypatch.setenv("HUBBUB_PUBLIC_URL", "https://chat.example.com")
        assert (
            run("token", "--user", "ada")
            .stdout.splitlines()[1]
            .startswith("https://chat.example.com/#sign-in=")
        )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--user", "ada", "--ttl", "soon"), "expected a time such as 25, 250ms, 25s, 5m, 24h or 1d"),
        (("--user", "ada", "--ttl", "0"), "The ttl must be a number of seconds above zero"),
        (("--user", ""), "The user id is empty"),
        (("--user", "a\nb"), "The user id has control characters"),
        ((), "Missing option '--user'"),
    ],
)
def test_a_token_that_cannot_be_is_refused(arguments, said):
    result = run("token", *arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(("file", "code"), [("", 0), ("[namespaces.room]\nx = 1\n", 1)])
def test_check_says_by_its_exit_code_whether_all_is_well(folder, file, code):
    (folder / "hubbub.toml").write_text(file)
    result = run("check")
    assert result.exit_code == code
    assert ("WRONG" in result.stdout) == bool(code)


def test_the_document_is_printed_and_nothing_is_made(folder):
    document = json.loads(run("openapi").stdout)
    assert document["info"]["version"] == __version__
    assert "/api/v1/me" in document["paths"]
    assert list(folder.iterdir()) == []


def test_more_than_one_process_is_refused():
    result = run("serve", "--workers", "2")
    assert isinstance(result.exception, ConfigurationError)
    assert "--workers 2: without Redis a server is one process" in str(result.exception)


def test_what_cannot_work_is_a_line_for_each_and_exit_code_2(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["hubbub", "token", "--user", "ada"])
    monkeypatch.setenv("HUBBUB_A_TYPO", "1")
    monkeypatch.setenv("HUBBUB_DRAIN_TIME", "x")
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("hubbub: HUBBUB_A_TYPO is not a setting")
    assert second.startswith("hubbub: HUBBUB_DRAIN_TIME=x: expected a time")
