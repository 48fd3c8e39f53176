"""The chat in one file does what its docstring says."""

import importlib.util
from pathlib import Path

import httpx2
import pytest

from hubbub.testing import connect

EXAMPLE = Path(__file__).parents[3] / "examples" / "websocket_chat.py"


@pytest.fixture
def chat(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("SECRET_KEY", raising=False)
    spec = importlib.util.spec_from_file_location("websocket_chat", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


async def sign_in(chat, name: str) -> str:
    transport = httpx2.ASGITransport(app=chat.app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://testserver") as client:
        response = await client.post("/sign-in", json={"name": name})
        assert response.status_code == 200
        return response.json()["token"]


async def test_two_people_talk_and_one_comes_back(chat):
    async with chat.hub.lifespan(chat.app):
        ada, bob = await sign_in(chat, "ada"), await sign_in(chat, "bob")
        async with connect(chat.app, "/ws/general", token=ada) as a:
            await a.expect("joined")
            async with connect(chat.app, "/ws/general", token=bob) as b:
                place = await b.expect("joined")
                assert (await a.expect("user_joined"))["user_id"] == "bob"
                await a.send({"type": "message", "content": "  hi "})
                seen = await b.expect("message")
                assert (seen["user_id"], seen["content"]) == ("ada", "hi")
                await b.cut()
            await a.send({"type": "message", "content": "missed", "ref": 1})
            await a.expect("ack")
            async with connect(chat.app, "/ws", token=bob) as b:
                since = {"epoch": place["epoch"], "offset": seen["offset"], "id": seen["id"]}
                await b.send({"type": "join_room", "room_id": "general", "since": since})
                joined = await b.expect("joined")
                assert joined["recovered"] is True
                assert [message["content"] for message in joined["messages"]] == ["missed"]


async def test_empty_messages_and_other_events_are_refused(chat):
    async with (
        chat.hub.lifespan(chat.app),
        connect(chat.app, "/ws/general", token=await sign_in(chat, "ada")) as a,
    ):
        await a.expect("joined")
        await a.send({"type": "message", "content": "   ", "ref": 1})
        refused = await a.expect("error")
        assert (refused["code"], refused["message"], refused["ref"]) == ("forbidden", "Say something.", 1)
        await a.send({"type": "publish", "channel": "room:general", "event": "dance", "data": {}, "ref": 2})
        assert (await a.expect("error"))["code"] == "unknown_event"


async def test_the_page_is_there(chat):
    transport = httpx2.ASGITransport(app=chat.app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://testserver") as client:
        assert 'from "/hubbub.js"' in (await client.get("/")).text
        assert "HubbubClient" in (await client.get("/hubbub.js")).text
