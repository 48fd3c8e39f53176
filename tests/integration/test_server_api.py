"""The HTTP API and the WebSocket of one server, together."""

import json

import httpx2
import pytest
from serving import bearer, hubbub_serve, token
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus


@pytest.fixture
async def client(server):
    async with httpx2.AsyncClient(base_url=server.url, trust_env=False, timeout=10) as client:
        yield client


@pytest.fixture
def program():
    return bearer("backend", scope="server")


async def receive(connection, kind: str) -> dict:
    """Return the next message of a type."""
    while True:
        message = json.loads(await connection.recv())
        if message["type"] == kind:
            return message


async def test_what_a_program_publishes_reaches_the_subscribers(server, client, program):
    address = f"ws://127.0.0.1:{server.port}/ws/notifications/api-orders"
    async with connect(address, additional_headers=bearer("api-ada"), proxy=None) as connection:
        assert (await receive(connection, "subscribed"))["channel"] == "topic:api-orders"
        body = {"event": "created", "data": {"id": 7}}
        position = (await client.post("/api/v1/publish/topic:api-orders", headers=program, json=body)).json()
        event = await receive(connection, "event")
        assert (event["event"], event["data"], event["offset"]) == ("created", {"id": 7}, position["offset"])


async def test_programs_see_who_is_present_reach_and_disconnect_them(server, client, program):
    address = f"ws://127.0.0.1:{server.port}/ws/api-room"
    async with connect(address, additional_headers=bearer("api-bob"), proxy=None) as connection:
        await receive(connection, "joined")
        roster = (await client.get("/api/v1/channels/room:api-room/presence", headers=program)).json()
        assert roster == {"members": ["api-bob"], "active_users": 1, "next_cursor": None}
        body = {"event": "notification", "data": {"title": "hi"}}
        await client.post("/api/v1/users/api-bob/publish", headers=program, json=body)
        assert (await receive(connection, "notification"))["data"] == {"title": "hi"}
        await client.post("/api/v1/broadcast", headers=program, json={"event": "maintenance", "data": 5})
        assert (await receive(connection, "broadcast"))["data"] == 5
        answer = await client.post("/api/v1/users/api-bob/disconnect", headers=program)
        assert answer.json() == {"connections": 1}
        await connection.wait_closed()
        assert connection.close_code == 4003


async def test_who_is_present_is_listed_page_by_page(server, client, program):
    address = f"ws://127.0.0.1:{server.port}/ws/api-pages"
    users = [f"api-user-{number}" for number in range(3)]
    connections = [await connect(address, additional_headers=bearer(user), proxy=None) for user in users]
    for connection in connections:
        await receive(connection, "joined")
    path = "/api/v1/channels/room:api-pages/presence"
    first = (await client.get(path, params={"limit": 2}, headers=program)).json()
    assert (first["members"], first["active_users"]) == (users[:2], 3)
    rest = (
        await client.get(path, params={"limit": 2, "cursor": first["next_cursor"]}, headers=program)
    ).json()
    assert (rest["members"], rest["next_cursor"]) == (users[2:], None)
    for connection in connections:
        await connection.close()


async def test_a_handshake_where_there_is_no_socket_is_refused_without_a_complaint(server):
    for path in ("/nowhere", "/console/console.js", "/api/v1/me"):
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"ws://127.0.0.1:{server.port}{path}", proxy=None)
        assert refused.value.response.status_code == 403


async def test_a_subscription_token_opens_its_channel_and_nothing_else(tmp_path):
    (tmp_path / "hubbub.toml").write_text('[namespaces.board]\nsubscribe = "token"\n')
    with hubbub_serve(tmp_path) as server:
        lent = token("ada", channel="board:1")
        response = await server.get("/api/v1/me", headers={"Authorization": f"Bearer {lent}"})
        assert response.status_code == 401
        address = f"ws://127.0.0.1:{server.port}/ws"
        async with connect(address, additional_headers=bearer("ada"), proxy=None) as connection:
            await receive(connection, "welcome")
            for channel in ("board:2", "board:1"):
                await connection.send(json.dumps({"type": "subscribe", "channel": channel, "token": lent}))
            assert (await receive(connection, "error"))["code"] == "forbidden"
            assert (await receive(connection, "subscribed"))["channel"] == "board:1"
