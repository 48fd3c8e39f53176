"""A thousand sockets and five database connections: each is lent for one message, and no socket keeps one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from members import connected, fresh, gather
from raw_socket import RawSocket, raw
from serving import Serving, application, bearer, eventually

SOCKETS = 1000
POOL = 5


@pytest.fixture
def serving(tmp_path):
    with application("database", tmp_path, DATABASE=str(tmp_path / "lines.db")) as running:
        yield running


async def pool(serving: Serving) -> dict[str, int]:
    return (await serving.get("/pool")).json()


async def is_returned(serving: Serving) -> None:
    """Wait until no connection is lent; there were never more than the pool has."""

    async def returned() -> bool:
        state = await pool(serving)
        assert state["most"] <= state["size"] == POOL
        return state["out"] == state["checked_out"] == 0

    await eventually(returned)


@asynccontextmanager
async def sockets(serving: Serving, number: int) -> AsyncIterator[list[RawSocket]]:
    """Open so many connections, each in a room of its own."""
    async with AsyncExitStack() as stack:

        async def enter(index: int) -> RawSocket:
            path, headers = f"/ws/{fresh('room')}", bearer(f"user-{index}")
            socket = await stack.enter_async_context(raw(serving.port, path, headers=headers))
            await socket.expect("joined", 60)
            return socket

        yield await gather((enter(index) for index in range(number)), at_once=50)


async def test_a_thousand_sockets_publish_over_a_pool_of_five(serving):
    async with sockets(serving, SOCKETS) as everyone:
        # Each was let in by a hook that asked the database; idle, they hold nothing of it.
        await is_returned(serving)

        async def publish(index: int) -> None:
            await everyone[index].say({"type": "message", "content": f"line {index}", "ref": index})
            assert (await everyone[index].expect("ack", 60))["ref"] == index

        await asyncio.gather(*(publish(index) for index in range(SOCKETS)))
        state = await pool(serving)
        assert (state["most"], state["out"], state["checked_out"]) == (POOL, 0, 0)
        lines = (await serving.get("/lines")).json()["lines"]
        assert sorted(lines) == sorted([f"user-{index}", f"line {index}"] for index in range(SOCKETS))
    assert serving.complaints() == []


async def test_a_hook_that_fails_writes_nothing_and_returns_its_connection(serving):
    async with connected(serving, "ada", "/ws/room") as ada:
        await ada.expect("joined")
        for _ in range(3 * POOL):
            error = await ada.ask({"type": "message", "content": "fail"})
            assert (error["type"], error["code"]) == ("error", "internal")
            assert "wrote" not in error["message"]
        assert (await ada.ask({"type": "message", "content": "kept"}))["type"] == "ack"
        assert (await ada.ask({"type": "history", "channel": "room:room"}))["offset"] == 1
        await is_returned(serving)
        assert (await serving.get("/lines")).json()["lines"] == [["ada", "kept"]]
    async with connected(serving, "stranger") as stranger:
        for _ in range(3 * POOL):
            error = await stranger.ask({"type": "join_room", "room_id": "room"})
            assert (error["type"], error["code"]) == ("error", "forbidden")
        await is_returned(serving)


async def test_sockets_that_are_cut_in_the_middle_of_a_message_return_theirs(serving):
    for _ in range(5):
        async with sockets(serving, 50) as everyone:
            for socket in everyone:
                await socket.say({"type": "message", "content": "cut"})
            for socket in everyone:
                socket.cut()
    await is_returned(serving)
    async with connected(serving, "ada", "/ws/room") as ada:
        assert (await ada.ask({"type": "message", "content": "still here"}))["type"] == "ack"
    assert serving.complaints() == []
