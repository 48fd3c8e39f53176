import os

import pytest

from hubbub import Connected, Listing, NodeState, __version__
from hubbub.server.admin import page

PATHS = [f"/api/v1/admin/{name}" for name in ("nodes", "connections", "channels", "slow")]


@pytest.fixture
def admin(bearer):
    return bearer("root", "admin")


@pytest.mark.parametrize("path", PATHS)
async def test_only_administrators_may(client, bearer, path):
    assert (await client.get(path)).status_code == 401
    for scopes in ((), ("server",)):
        response = await client.get(path, headers=bearer("ada", *scopes))
        assert (response.status_code, response.json()["type"]) == (403, "urn:hubbub:error:forbidden")


async def test_the_one_node_there_is(house, admin):
    await house.enter("ada")
    answer = (await house.http.get("/api/v1/admin/nodes", headers=admin)).json()
    (node,) = answer["nodes"]
    assert (node["version"], node["connections"], node["draining"]) == (__version__, 1, False)
    assert node["name"].endswith(f":{os.getpid()}")
    assert (answer["asked"], answer["unanswered"]) == (node["id"], [])


async def test_connections_are_listed_page_by_page(house, admin):
    clients = [await house.enter(user, "/ws/a") for user in ("ada", "bob", "ada")]
    first = (await house.http.get("/api/v1/admin/connections?limit=2", headers=admin)).json()
    cursor = first["next_cursor"]
    rest = (await house.http.get(f"/api/v1/admin/connections?cursor={cursor}", headers=admin)).json()
    rows = first["connections"] + rest["connections"]
    assert sorted(row["session_id"] for row in rows) == sorted(
        client.welcome["session_id"] for client in clients
    )
    assert rest["next_cursor"] is None
    assert {(row["transport"], row["channels"], row["slow"], row["behind"]) for row in rows} == {
        ("websocket", 2, False, 0)
    }
    assert all(row["token_id"] for row in rows)
    of_ada = (await house.http.get("/api/v1/admin/connections?user_id=ada", headers=admin)).json()
    assert [row["user_id"] for row in of_ada["connections"]] == ["ada", "ada"]


async def test_channels_are_listed_with_how_many_read_them(house, admin):
    for user in ("ada", "bob"):
        await house.enter(user, "/ws/a")
    answer = (await house.http.get("/api/v1/admin/channels?limit=2", headers=admin)).json()
    assert answer["channels"] == [
        {"channel": "room:a", "subscribers": 2, "nodes": 1},
        {"channel": "user:ada", "subscribers": 1, "nodes": 1},
    ]
    rest = (
        await house.http.get(f"/api/v1/admin/channels?cursor={answer['next_cursor']}", headers=admin)
    ).json()
    assert ([row["channel"] for row in rest["channels"]], rest["next_cursor"]) == (["user:bob"], None)


async def test_nobody_is_slow_where_everybody_keeps_up(house, admin):
    await house.enter("ada")
    answer = (await house.http.get("/api/v1/admin/slow", headers=admin)).json()
    assert answer == {"connections": [], "next_cursor": None, "unanswered": []}


@pytest.mark.parametrize("query", ["limit=0", "limit=501", "limit=x", "cursor=", f"cursor={'x' * 256}"])
@pytest.mark.parametrize("path", PATHS[1:])
async def test_pages_that_cannot_be_are_refused(client, admin, path, query):
    response = await client.get(f"{path}?{query}", headers=admin)
    assert (response.status_code, response.headers["content-type"]) == (422, "application/problem+json")


def test_a_page_says_what_is_missing():
    row = Connected("s-1", "ada", "n-1", 0.0, "websocket", 2, True, 512)
    shown = page(Listing((row,), "s-1", (NodeState("n-2", "host:8"),))).model_dump(mode="json")
    assert shown["connections"][0]["since"] == "1970-01-01T00:00:00Z"
    assert (shown["connections"][0]["behind"], shown["connections"][0]["slow"]) == (512, True)
    assert (shown["next_cursor"], shown["unanswered"]) == ("s-1", [{"id": "n-2", "name": "host:8"}])
