"""Finding, ending and revoking connections of a real server over its HTTP API."""

import time

import httpx2
import pytest
from serving import bearer, eventually, hubbub_serve
from test_server_api import receive
from websockets.asyncio.client import connect

API = "/api/v1"


@pytest.fixture
async def client(server):
    async with httpx2.AsyncClient(base_url=server.url, trust_env=False, timeout=10) as client:
        yield client


@pytest.fixture
def program():
    return bearer("backend", scope="server")


@pytest.fixture
def admin():
    return bearer("root", scope="admin")


def joining(server, user, room, **claims):
    """Connect a user to a room."""
    address = f"ws://127.0.0.1:{server.port}/ws/{room}"
    headers = bearer(user, **claims)
    return connect(address, additional_headers=headers, proxy=None)


async def closed_with(connection) -> int:
    """Wait until the server has closed; return its code."""
    await connection.wait_closed()
    return connection.close_code


async def refused_with(server, headers) -> int:
    """Connect, and return the code that the server closes with."""
    async with connect(
        f"ws://127.0.0.1:{server.port}/ws", additional_headers=headers, proxy=None
    ) as connection:
        return await closed_with(connection)


async def test_a_revoked_user_is_out_and_a_new_token_lets_them_in(server, client, program):
    now = int(time.time())
    old, new = bearer("control-ada", iat=now - 5), bearer("control-ada", iat=now + 20)
    connections = [
        await connect(f"ws://127.0.0.1:{server.port}/ws", additional_headers=old, proxy=None)
        for _ in range(3)
    ]
    for connection in connections:
        await receive(connection, "welcome")
    assert (await client.get(f"{API}/me", headers=old)).status_code == 200
    answer = await client.post(f"{API}/users/control-ada/revoke", headers=program)
    assert (answer.status_code, answer.json().keys()) == (200, {"id", "at", "until"})
    assert [await closed_with(connection) for connection in connections] == [4010] * 3
    assert (await client.get(f"{API}/me", headers=old)).status_code == 401
    assert await refused_with(server, old) == 4010
    assert (await client.get(f"{API}/me", headers=new)).status_code == 200


async def test_a_token_is_revoked_by_its_id_and_for_as_long_as_is_asked(server, client, program):
    token = bearer("control-bob", jti="control-jti")
    async with joining(server, "control-bob", "control-a", jti="control-jti") as connection:
        await receive(connection, "joined")
        body = {"token_id": "control-jti", "until": "2030-01-01T00:00:00Z"}
        answer = await client.post(f"{API}/tokens/revoke", headers=program, json=body)
        assert answer.json()["until"] == "2030-01-01T00:00:00Z"
        assert await closed_with(connection) == 4010
    refused = await client.get(f"{API}/me", headers=token)
    assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")


async def test_the_own_devices_are_listed_and_ended(server, client):
    async with (
        joining(server, "control-eve", "control-b", jti="eve-phone") as phone,
        joining(server, "control-eve", "control-b", jti="eve-laptop") as laptop,
    ):
        for connection in (phone, laptop):
            await receive(connection, "joined")
        asking = bearer("control-eve", jti="eve-laptop")
        listed = (await client.get(f"{API}/me/sessions", headers=asking)).json()["sessions"]
        assert sorted(each["current"] for each in listed) == [False, True]
        (other,) = [each["id"] for each in listed if not each["current"]]
        stranger = bearer("control-dan")
        path = f"{API}/me/sessions/{other}"
        assert (await client.delete(path, headers=stranger)).status_code == 404
        assert (await client.delete(path, headers=asking)).status_code == 204
        assert await closed_with(phone) == 4010
        left = (await client.get(f"{API}/me/sessions", headers=asking)).json()["sessions"]
        assert [each["current"] for each in left] == [True]
        assert (await client.delete(f"{API}/me/sessions/{left[0]['id']}", headers=asking)).status_code == 204
        assert await closed_with(laptop) == 4010
        assert (await client.get(f"{API}/me/sessions", headers=asking)).status_code == 401


async def test_a_batch_reaches_its_channels_in_order(server, client, program):
    async with joining(server, "control-fay", "control-batch") as connection:
        await receive(connection, "joined")
        body = {
            "publications": [
                {"channel": "room:control-batch", "event": "message", "data": {"content": number}}
                for number in range(200)
            ]
        }
        answer = (await client.post(f"{API}/channels/batch", headers=program, json=body)).json()
        assert answer["failed"] == 0
        offsets = [result["place"]["offset"] for result in answer["results"]]
        messages = [await receive(connection, "message") for _ in range(200)]
        assert [message["content"] for message in messages] == list(range(200))
        assert [message["offset"] for message in messages] == offsets


async def test_administrators_see_who_is_connected_to_what(server, client, admin, program):
    async with joining(server, "control-gil", "control-stats") as connection:
        await receive(connection, "joined")
        nodes = (await client.get(f"{API}/admin/nodes", headers=admin)).json()
        (node,) = nodes["nodes"]
        assert node["name"].endswith(f":{server.process.pid}")
        query = {"user_id": "control-gil"}
        (row,) = (await client.get(f"{API}/admin/connections", headers=admin, params=query)).json()[
            "connections"
        ]
        assert (row["node"], row["transport"], row["channels"]) == (node["id"], "websocket", 2)
        channels = await client.get(f"{API}/admin/channels", headers=admin, params={"limit": 500})
        assert {"channel": "room:control-stats", "subscribers": 1, "nodes": 1} in channels.json()["channels"]
        stats = (await client.get(f"{API}/channels/room:control-stats/stats", headers=program)).json()
        assert (stats["users"], stats["subscribers"]) == (1, 1)
        online = {"users": ["control-gil", "control-nobody"]}
        answer = await client.post(f"{API}/users/online", headers=program, json=online)
        assert answer.json() == {"online": ["control-gil"]}
        assert (await client.get(f"{API}/admin/nodes", headers=program)).status_code == 403


async def test_connections_that_do_not_read_are_shown_as_slow(tmp_path, admin):
    (tmp_path / "hubbub.toml").write_text(
        '[namespaces.flood]\nsubscribe = "authenticated"\noverflow = "drop_oldest"\n'
    )
    with hubbub_serve(tmp_path) as server:
        address = f"ws://127.0.0.1:{server.port}/ws"
        async with (
            connect(address, additional_headers=bearer("ada"), proxy=None, max_queue=1) as connection,
            httpx2.AsyncClient(base_url=server.url, trust_env=False, timeout=10) as client,
        ):
            await receive(connection, "welcome")
            await connection.send('{"type":"subscribe","channel":"flood:a"}')
            await receive(connection, "subscribed")
            entry = {"channel": "flood:a", "event": "x", "data": "x" * 60_000}
            body = {"publications": [entry] * 60}

            async def slow():
                await client.post(f"{API}/channels/batch", headers=admin, json=body)
                return (await client.get(f"{API}/admin/slow", headers=admin)).json()["connections"]

            (row,) = await eventually(slow)
            assert (row["user_id"], row["slow"]) == ("ada", True)
            connection.transport.abort()
