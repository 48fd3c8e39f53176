"""The board of tasks does what its docstring says: a task and what is heard of it are one transaction."""

import importlib.util
from pathlib import Path

import httpx2
import pytest

from hubbub.testing import connect

EXAMPLE = Path(__file__).parents[3] / "examples" / "task_board.py"


@pytest.fixture
def board(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    return load(monkeypatch, f"sqlite+aiosqlite:///{tmp_path}/tasks.db")


def load(monkeypatch: pytest.MonkeyPatch, url: str):
    """Import the example with this setting."""
    monkeypatch.setenv("DATABASE_URL", url)
    spec = importlib.util.spec_from_file_location("task_board", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("postgresql://ada:secret@db.example/board", "postgresql+asyncpg://ada:***@db.example/board"),
        ("postgresql+asyncpg://db.example/board", "postgresql+asyncpg://db.example/board"),
        ("sqlite:///x.db", "sqlite+aiosqlite:///x.db"),
        ("", "sqlite+aiosqlite:///tasks.db"),
    ],
)
def test_an_address_needs_no_driver(monkeypatch, given, used):
    assert load(monkeypatch, given).engine.url.render_as_string() == used


def http(board) -> httpx2.AsyncClient:
    transport = httpx2.ASGITransport(app=board.app, raise_app_exceptions=False)
    return httpx2.AsyncClient(transport=transport, base_url="http://testserver")


async def test_what_is_created_is_stored_and_heard_by_everybody(board):
    async with board.lifespan(board.app), http(board) as client:
        async with connect(board.app, "/ws/notifications/tasks") as ada:
            await ada.expect("subscribed")
            made = await client.post("/tasks", json={"title": "Water the plants", "description": "all"})
            assert (made.status_code, made.json()["title"]) == (201, "Water the plants")
            heard = await ada.expect("event")
            assert heard["data"] == made.json()
        assert (await client.get("/tasks")).json() == [made.json()]


async def test_a_request_that_fails_is_neither_stored_nor_heard(board, monkeypatch):
    async with board.lifespan(board.app), http(board) as client:
        publish = board.hub.publish

        async def fail(*arguments, **options):
            await publish(*arguments, **options)
            raise RuntimeError("after it was written")

        monkeypatch.setattr(board.hub, "publish", fail)
        assert (await client.post("/tasks", json={"title": "Never"})).status_code == 500
        monkeypatch.setattr(board.hub, "publish", publish)
        assert (await client.post("/tasks", json={"title": ""})).status_code == 422
        async with connect(board.app, "/ws/notifications/tasks") as ada:
            await ada.expect("subscribed")
            await client.post("/tasks", json={"title": "Then"})
            assert (await ada.expect("event"))["data"]["title"] == "Then"
        assert [task["title"] for task in (await client.get("/tasks")).json()] == ["Then"]
        assert len((await board.hub.history("topic:tasks")).publications) == 1
