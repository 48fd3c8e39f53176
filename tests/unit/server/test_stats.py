import pytest

CHANNEL = "/api/v1/channels/room:general"


@pytest.fixture
def server(bearer):
    return bearer("backend", "server")


async def test_statistics_of_a_channel(house, server):
    for user in ("ada", "ada", "bob"):
        await house.enter(user, "/ws/general")
    await house.http.post(f"{CHANNEL}/publish", headers=server, json={"event": "x"})
    stats = (await house.http.get(f"{CHANNEL}/stats", headers=server)).json()
    (node,) = stats["nodes"]
    assert (stats["channel"], stats["offset"], stats["users"], stats["subscribers"]) == (
        "room:general",
        1,
        2,
        3,
    )
    assert (node["subscribers"], node["users"], stats["unanswered"]) == (3, 2, [])


async def test_statistics_where_nobody_is(client, server):
    stats = (await client.get("/api/v1/channels/topic:quiet/stats", headers=server)).json()
    assert (stats["offset"], stats["users"], stats["subscribers"], stats["nodes"]) == (0, None, 0, [])
    assert (await client.get("/api/v1/channels/nowhere:x/stats", headers=server)).status_code == 404
