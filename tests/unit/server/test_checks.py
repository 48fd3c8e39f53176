import socket

import pytest

from hubbub.server.checks import run_checks
from hubbub.server.data_dir import announce, only_server


def said() -> dict[str, str]:
    """What each check printed, by its part."""
    return {result.part: str(result) for result in run_checks()}


def test_a_new_folder_is_well(folder):
    lines = said()
    assert all(line.startswith("ok    ") for line in lines.values())
    assert lines["data folder"] == f"ok    data folder: {folder / 'hubbub-data'}"
    assert lines["secret"] == "ok    secret: generated, in hubbub-data/secret"
    assert lines["namespaces"] == "ok    namespaces: export, job, room, topic, user"
    assert lines["identity provider"] == "ok    identity provider: none configured"
    assert lines["application"] == "ok    application: can be built"


def test_wrong_settings_are_a_line_each_and_nothing_else_is_tried(folder, monkeypatch):
    monkeypatch.setenv("HUBBUB_DRAIN_TIM", "5")
    monkeypatch.setenv("HUBBUB_MAX_CONNECTIONS", "x")
    results = list(run_checks())
    assert [result.part for result in results] == ["settings", "settings"]
    assert not any(result.ok for result in results)
    assert list(folder.iterdir()) == []


def test_a_wrong_file_is_told_with_its_line_and_the_others_are_checked(folder):
    (folder / "hubbub.toml").write_text("[namespaces.room]\npresense = true\n")
    lines = said()
    assert lines["namespaces"].startswith("WRONG namespaces: hubbub.toml, line 2: 'presense' is unknown")
    assert lines["secret"].startswith("ok ")
    assert "application" not in lines


def test_a_secret_that_others_can_read_is_wrong(folder):
    said()
    path = folder / "hubbub-data" / "secret"
    path.chmod(0o640)
    assert said()["secret"] == (
        "WRONG secret: hubbub-data/secret can be read by other users of this machine: chmod 600 hubbub-data/secret"
    )


def test_a_secret_of_the_settings_is_checked(monkeypatch):
    monkeypatch.setenv("HUBBUB_SECRET_KEY", "k" * 32)
    assert said()["secret"] == "ok    secret: from HUBBUB_SECRET_KEY"
    monkeypatch.setenv("HUBBUB_SECRET_KEY", "short")
    assert said()["secret"].startswith("WRONG secret: HUBBUB_SECRET_KEY has 5 bytes")


def test_a_server_that_runs_is_mentioned(folder):
    with only_server(folder / "hubbub-data") as lock:
        announce(lock, "http://127.0.0.1:8000")
        assert said()["data folder"].endswith(", in use by the server at http://127.0.0.1:8000")


def test_a_provider_that_cannot_be_reached_is_wrong(monkeypatch):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setenv("HUBBUB_JWKS_URL", f"http://127.0.0.1:{closed.getsockname()[1]}/keys?access=key")
        line = said()["identity provider"]
    assert line.startswith("WRONG identity provider: The identity provider's keys at http://127.0.0.1:")
    assert "access=key" not in line


@pytest.mark.parametrize(
    ("name", "value"), [("ALLOWED_ORIGINS", "app.example.com"), ("JWKS_URL", "ftp://keys.example.com")]
)
def test_what_the_library_refuses_is_wrong(monkeypatch, name, value):
    monkeypatch.setenv(f"HUBBUB_{name}", value)
    assert [line for line in said().values() if line.startswith("WRONG")] != []
