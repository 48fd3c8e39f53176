"""Starting `hubbub serve`: what it prints, makes, and refuses."""

import json
import socket
import stat

import httpx2
import pytest
from server_process import hubbub, operated


async def test_it_prints_its_address_and_a_link_that_signs_an_administrator_in_once(tmp_path):
    async with operated(tmp_path) as server:
        assert server.welcome[0] == f"Hubbub is ready: {server.url}/\n"
        assert server.welcome[1].startswith("Sign in as admin (once, within 15m): ")
        assert f"{server.url}/#sign-in=" in server.welcome[1]
        async with httpx2.AsyncClient(base_url=server.url, trust_env=False) as client:
            assert (await client.get("/")).text.startswith("<!doctype html>")
            answer = await client.post("/api/v1/sign-in", json={"code": server.code})
            assert answer.status_code == 200, answer.text
            me = (await client.get("/api/v1/me")).json()
            assert (me["user_id"], me["scopes"]) == ("admin", ["admin"])
            again = await client.post("/api/v1/sign-in", json={"code": server.code})
            assert again.status_code == 401
            assert again.headers["content-type"] == "application/problem+json"


async def test_the_page_may_have_another_address(tmp_path):
    async with operated(tmp_path, PUBLIC_URL="https://chat.example.com/") as server:
        assert server.welcome[0] == "Hubbub is ready: https://chat.example.com/\n"
        assert " https://chat.example.com/#sign-in=" in server.welcome[1]


async def test_it_makes_a_secret_for_its_owner_alone_and_keeps_it(tmp_path):
    async with operated(tmp_path):
        pass
    path = tmp_path / "hubbub-data" / "secret"
    secret = path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    async with operated(tmp_path):
        assert path.read_text() == secret


async def test_a_token_made_beside_it_is_accepted_and_its_link_leads_there(tmp_path):
    async with operated(tmp_path) as server:
        code, output, _ = await hubbub(tmp_path, "token", "--user", "ada")
        token, link = output.splitlines()
        assert code == 0
        assert link.startswith(f"{server.url}/#sign-in=")
        async with httpx2.AsyncClient(base_url=server.url, trust_env=False) as client:
            me = await client.get("/api/v1/me", headers={"Authorization": f"Bearer {token}"})
            assert me.json()["user_id"] == "ada"


async def test_a_port_that_is_taken_is_one_line_that_says_what_to_do(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        code, output, errors = await hubbub(tmp_path, "serve", "--port", str(port))
    assert (code, output) == (2, "")
    assert errors == (
        f"hubbub: Port {port} on 127.0.0.1 is taken by another program: "
        f"choose one with `hubbub serve --port {port + 1}`.\n"
    )


async def test_a_second_server_on_the_same_folder_is_refused_and_the_first_goes_on(tmp_path):
    async with operated(tmp_path) as server:
        code, _, errors = await hubbub(tmp_path, "serve", "--port", "0")
        assert code == 2
        assert errors.startswith(
            f"hubbub: Another server (at {server.url}) runs on {tmp_path / 'hubbub-data'}: "
        )
        assert len(errors.splitlines()) == 1
        async with httpx2.AsyncClient(base_url=server.url, trust_env=False) as client:
            assert (await client.get("/readyz")).status_code == 200
    async with operated(tmp_path):  # the lock went with its process, which was killed
        pass


async def test_several_processes_are_refused(tmp_path):
    code, _, errors = await hubbub(tmp_path, "serve", "--workers", "2")
    assert code == 2
    assert errors.startswith("hubbub: --workers 2: without Redis a server is one process")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"HEARTBEAT": "5"}, "HUBBUB_HEARTBEAT is not a setting: did you mean HUBBUB_HEARTBEAT_INTERVAL?"),
        ({"REDIS_URL": "memcached://ada:secret@x"}, "A Redis address begins with redis://, "),
        ({"REDIS_URL": "redis://127.0.0.1:1"}, "redis://127.0.0.1:1/0 cannot be used: Redis at 127.0.0.1:1"),
        (
            {"REDIS_URL": "rediss://localhost?tls_ca=none.pem"},
            "tls_ca=none.pem of the Redis address is no file.",
        ),
        ({"SECRET_KEY": "short"}, "HUBBUB_SECRET_KEY has 5 bytes, and 32 are needed at least"),
        (
            {"ALLOWED_ORIGINS": "a.example"},
            "The allowed origin 'a.example' has no scheme: write 'https://a.example'",
        ),
        (
            {"DATA_DIR": "/dev/null/x"},
            "HUBBUB_DATA_DIR: the folder /dev/null/x cannot be made: Not a directory.",
        ),
        ({"CONFIG": "none.toml"}, "none.toml cannot be read"),
    ],
)
async def test_wrong_settings_are_one_line_and_no_traceback(tmp_path, settings, said):
    code, output, errors = await hubbub(tmp_path, "serve", "--port", "0", **settings)
    assert (code, output) == (2, "")
    assert errors.startswith(f"hubbub: {said}")
    assert len(errors.splitlines()) == 1


async def test_a_wrong_line_in_the_file_is_named_by_serve_and_by_check(tmp_path):
    (tmp_path / "hubbub.toml").write_text('[namespaces.room]\n\npublish = "everybody"\n')
    code, _, errors = await hubbub(tmp_path, "serve", "--port", "0")
    assert code == 2
    assert errors.startswith('hubbub: hubbub.toml, line 3: publish = "everybody": expected one of "nobody"')
    code, output, _ = await hubbub(tmp_path, "check")
    assert code == 1
    assert 'WRONG namespaces: hubbub.toml, line 3: publish = "everybody"' in output


async def test_a_dotenv_and_a_file_of_namespaces_in_the_working_directory_are_read(tmp_path):
    (tmp_path / ".env").write_text("HUBBUB_DATA_DIR=elsewhere\nHUBBUB_LOG_FORMAT=json\n")
    (tmp_path / "hubbub.toml").write_text('[namespaces.board]\nsubscribe = "anyone"\n')
    async with operated(tmp_path) as server:
        assert (tmp_path / "elsewhere" / "secret").exists()
        code, output, _ = await hubbub(tmp_path, "token", "--user", "x", "--admin")
        headers = {"Authorization": f"Bearer {output.splitlines()[0]}"}
        async with httpx2.AsyncClient(base_url=server.url, trust_env=False) as client:
            assert (await client.get("/api/v1/channels/board:1/history", headers=headers)).status_code == 200
    assert code == 0
    assert all(json.loads(line) for line in server.log.splitlines())


async def test_check_is_content_with_a_new_folder(tmp_path):
    code, output, _ = await hubbub(tmp_path, "check")
    assert code == 0
    assert "WRONG" not in output


async def test_visitors_on_every_address_are_warned_of(tmp_path):
    settings = {"ALLOW_ANONYMOUS": "true", "LOG_FORMAT": "console"}
    async with operated(tmp_path, "--host", "0.0.0.0", **settings) as server:
        assert server.url.startswith("http://127.0.0.1:")
        await server.stop()
    assert "HUBBUB_ALLOW_ANONYMOUS lets anybody who reaches 0.0.0.0 connect" in server.log
