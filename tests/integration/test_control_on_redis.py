"""Two servers on one Redis: what is revoked, disconnected and asked on one of them holds on both."""

import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis_servers import RedisServer, redis_server
from serving import Serving, bearer, eventually, hubbub_serve
from websockets.asyncio.client import ClientConnection, connect
from websockets.protocol import State

API = "/api/v1"
PROGRAM = bearer("backend", scope="server")
ADMIN = bearer("root", scope="admin")


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[RedisServer]:
    async with redis_server(tmp_path / "redis") as server:
        yield server


class House:
    """Two servers, and the way into each."""

    def __init__(self, folder: Path, redis: RedisServer, left: Serving, right: Serving) -> None:
        self.folder = folder
        self.redis = redis
        self.left = left
        self.right = right

    async def knows_both(self) -> bool:
        """Whether each node hears of the other."""
        counts = [await server.counts() for server in (self.left, self.right)]
        return all(count("hubbub_nodes") == 2 for count in counts)

    async def left_is_ready(self) -> bool:
        return (await self.left.get("/readyz")).status_code == 200


@pytest.fixture
async def house(tmp_path: Path, redis: RedisServer) -> AsyncIterator[House]:
    with (
        hubbub_serve(tmp_path / "left", REDIS_URL=redis.url) as left,
        hubbub_serve(tmp_path / "right", REDIS_URL=redis.url) as right,
    ):
        house = House(tmp_path, redis, left, right)
        await eventually(house.knows_both)
        yield house
        assert left.complaints() == []
        assert right.complaints() == []


async def enter(server: Serving, headers: dict[str, str]) -> ClientConnection:
    """Connect, and be welcomed."""
    connection = await connect(
        f"ws://127.0.0.1:{server.port}/ws", additional_headers=headers, proxy=None, ping_interval=None
    )
    assert '"welcome"' in str(await connection.recv())
    return connection


async def is_refused(server: Serving, headers: dict[str, str]) -> bool:
    """Whether a handshake and a request are turned away."""
    async with connect(
        f"ws://127.0.0.1:{server.port}/ws", additional_headers=headers, proxy=None
    ) as connection:
        first = str(await connection.recv())
        if '"welcome"' in first:
            return False
        await connection.wait_closed()
        assert connection.close_code == 4010
    assert (await server.get(f"{API}/me", headers=headers)).status_code == 401
    return True


async def post(server: Serving, path: str, **body: object) -> dict:
    response = await server.request("POST", f"{API}{path}", headers=PROGRAM, json=body)
    assert response.status_code == 200, response.text
    return response.json()


async def test_twenty_connections_of_one_user_are_found_and_closed_from_either_node(house: House):
    ada = bearer("ada")
    connections = [await enter((house.left, house.right)[number % 2], ada) for number in range(20)]
    listed = (await house.left.get(f"{API}/admin/connections?user_id=ada", headers=ADMIN)).json()
    assert len(listed["connections"]) == 20
    assert (len({row["node"] for row in listed["connections"]}), listed["unanswered"]) == (2, [])
    stats = (await house.right.get(f"{API}/channels/user:ada/stats", headers=PROGRAM)).json()
    assert (stats["subscribers"], [node["subscribers"] for node in stats["nodes"]]) == (20, [10, 10])
    assert await post(house.right, "/users/ada/disconnect") == {"connections": 20}
    for connection in connections:
        await connection.wait_closed()
        assert connection.close_code == 4003


async def test_what_is_revoked_on_one_node_is_out_on_all_within_two_seconds(house: House):
    ada, bob = bearer("ada", jti="t-1", iat=int(time.time()) - 5), bearer("bob", jti="t-2")
    there = [await enter(house.right, headers) for headers in (ada, bob)]
    began = time.monotonic()
    await post(house.left, "/users/ada/revoke")
    await post(house.left, "/tokens/revoke", token_id="t-2")
    for connection in there:
        await connection.wait_closed()
        assert connection.close_code == 4010
    assert time.monotonic() - began < 2
    for server in (house.left, house.right):
        assert await is_refused(server, ada)
        assert await is_refused(server, bob)
    with hubbub_serve(house.folder / "later", REDIS_URL=house.redis.url) as later:
        assert await is_refused(later, ada)
        assert await is_refused(later, bob)


async def test_a_node_that_was_stopped_is_named_and_carries_it_out_when_it_goes_on(house: House):
    there = await enter(house.right, bearer("ada", jti="t-1"))
    house.right.process.send_signal(signal.SIGSTOP)
    try:
        await post(house.left, "/tokens/revoke", token_id="t-1")
        nodes = (await house.left.get(f"{API}/admin/nodes", headers=ADMIN)).json()
        assert len(nodes["nodes"]) == 1
        (missing,) = nodes["unanswered"]
        assert missing["name"].endswith(f":{house.right.process.pid}")
        closed = await post(house.left, "/users/ada/disconnect")
        assert closed == {"connections": 0, "unanswered": [missing]}
        assert there.state is State.OPEN
    finally:
        house.right.process.send_signal(signal.SIGCONT)
    await there.wait_closed()
    assert there.close_code in {4003, 4010}
    assert await is_refused(house.right, bearer("ada", jti="t-1"))


async def test_a_node_whose_connection_to_redis_broke_reads_what_it_missed(house: House):
    there = await enter(house.right, bearer("ada", jti="t-1"))
    house.right.process.send_signal(signal.SIGSTOP)
    try:
        assert int(await house.redis.cli("CLIENT", "KILL", "TYPE", "pubsub")) >= 2
        await eventually(house.left_is_ready)
        await post(house.left, "/tokens/revoke", token_id="t-1")
    finally:
        house.right.process.send_signal(signal.SIGCONT)
    await there.wait_closed()
    assert there.close_code == 4010
    assert (await house.right.counts())("hubbub_broker_interruptions_total", reason="connection") >= 1


async def test_a_redis_that_lost_everything_is_told_again(house: House):
    await post(house.left, "/tokens/revoke", token_id="t-1")
    await house.redis.cli("FLUSHALL")
    await post(house.right, "/tokens/revoke", token_id="t-2")

    async def both_are_back() -> bool:
        with hubbub_serve(house.folder / "later", REDIS_URL=house.redis.url) as later:
            return (await later.counts())("hubbub_revocations") == 2

    await eventually(both_are_back)
