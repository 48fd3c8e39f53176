"""What thousands of connections leave behind when they are cut: nothing."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from members import fresh
from raw_socket import RawSocket
from serving import Serving, application, bearer, eventually, hubbub_serve

CONNECTIONS = 2000
AT_ONCE = 200
ROUNDS = 3
SMALLEST_LEAK = 1.0
"""KiB that a connection could leak and be noticed; an idle one holds several times that."""


async def open_and_cut(serving: Serving) -> None:
    """Let so many clients in, batch by batch, each into a room of its own and a common one, and cut them."""
    for _ in range(CONNECTIONS // AT_ONCE):
        visitors = [await RawSocket.connect(serving.port) for _ in range(AT_ONCE)]
        for visitor in visitors:
            answer = await visitor.upgrade(serving.port, f"/ws/{fresh('leak')}", bearer(fresh("visitor")))
            assert answer.status == 101
        for number, visitor in enumerate(visitors):
            await visitor.expect("joined")
            await visitor.say({"type": "join_room", "room_id": "common"})
            await visitor.say({"type": "message", "room_id": "common", "content": "hello"})
            if number % 4 == 0:
                await visitor.say({"type": "leave_room", "room_id": "common"})
        for number, visitor in enumerate(visitors):
            if number % 2:
                await visitor.expect("joined")
            visitor.cut()


async def is_empty(serving: Serving) -> None:
    """Wait until nobody is connected and nothing is listened to."""

    async def empty() -> bool:
        counts = await serving.counts()
        return counts("hubbub_connections") == 0 and counts("hubbub_channels") == 0

    await eventually(empty, within=20)


async def nobody_is_present(serving: Serving) -> bool:
    path = "/api/v1/channels/room:common/presence"
    response = await serving.get(path, headers=bearer("root", scope="admin"))
    return response.json()["active_users"] == 0


async def test_a_server_is_empty_again_and_holds_no_more_memory_than_before(tmp_path):
    # A lease that was given up stands in the store's calendar until it would have ended.
    settings = {"PRESENCE_GRACE": "0.2s", "PRESENCE_LEASE": "2s"}
    with hubbub_serve(tmp_path, LOG_LEVEL="error", **settings) as serving:
        descriptors = serving.descriptors()
        held = []
        for _ in range(ROUNDS):
            await open_and_cut(serving)
            await is_empty(serving)
            held.append(serving.memory())
            await eventually(lambda: nobody_is_present(serving))
        # Pools and the stream of the common room fill up at first, in one round or another. A leak grows in each.
        assert min(after - before for before, after in pairwise(held)) < CONNECTIONS * SMALLEST_LEAK
        assert serving.descriptors() <= descriptors + 1
        assert (await serving.counts())("hubbub_connections_opened_total") == ROUNDS * CONNECTIONS
        assert serving.complaints() == []
        await serving.check_health()


async def test_no_object_of_a_connection_outlives_it(tmp_path):
    hub = '{"presence_grace": 0.2, "presence_lease": 1.0}'
    with application("rooms", tmp_path, "--log-level", "error", HUB=hub) as serving:
        await open_and_cut(serving)
        before = await settled(serving)
        await open_and_cut(serving)
        after = await settled(serving)
        more = {
            kind: (before["alive"].get(kind, 0), number)
            for kind, number in after["alive"].items()
            if number > before["alive"].get(kind, 0) + 5
        }
        assert more == {}
        assert after["tasks"] <= before["tasks"]
        assert after["total"] < before["total"] + CONNECTIONS // 4
        assert serving.complaints() == []


async def settled(serving: Serving) -> Mapping[str, Any]:
    """Count objects when nobody is connected and the last lease's time is over."""
    await is_empty(serving)
    counted: dict[str, Any] = {}

    async def without_leases() -> bool:
        counted.update((await serving.get("/objects")).json())
        # A few hooks at a time are told who went offline.
        return "hubbub.brokers.memory_presence.Members" not in counted["alive"] and counted["tasks"] < 10

    await eventually(without_leases, seen=lambda: counted["alive"])
    return counted
