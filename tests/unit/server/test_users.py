import pytest


@pytest.fixture
def server(bearer):
    return bearer("backend", "server")


async def test_what_is_sent_to_a_user_is_kept_for_them(client, server):
    body = {"event": "notification", "data": {"title": "hi"}, "idempotency_key": "n-1"}
    first, again = [
        await client.post("/api/v1/users/ada/publish", headers=server, json=body) for _ in range(2)
    ]
    assert first.json() == again.json()
    assert first.json()["offset"] == 1
    history = (await client.get("/api/v1/channels/user:ada/history", headers=server)).json()
    assert [each["data"] for each in history["publications"]] == [{"title": "hi"}]


async def test_a_user_who_is_not_there_has_no_connections_to_close(client, server):
    response = await client.post("/api/v1/users/ada/disconnect", headers=server)
    assert (response.status_code, response.json()) == (200, {"connections": 0})


async def test_a_user_who_cannot_be_is_refused(client, server):
    response = await client.post(f"/api/v1/users/{'x' * 300}/publish", headers=server, json={"event": "x"})
    assert response.status_code == 404


@pytest.mark.parametrize("field", ["exclude", "idempotency-key"])
async def test_a_field_that_does_not_exist_is_an_error(client, server, field):
    response = await client.post("/api/v1/users/ada/publish", headers=server, json={"event": "x", field: "y"})
    assert (response.status_code, response.json()["errors"][0]["field"]) == (422, field)


async def test_who_of_them_is_connected(house, server):
    for user in ("ada", "bob"):
        await house.enter(user)
    asked = ["bob", "nobody", "ada", "bob"]
    answer = await house.http.post("/api/v1/users/online", headers=server, json={"users": asked})
    assert answer.json() == {"online": ["bob", "ada"]}
    crowd = [f"user-{number}" for number in range(999)] + ["ada"]
    answer = await house.http.post("/api/v1/users/online", headers=server, json={"users": crowd})
    assert answer.json() == {"online": ["ada"]}


@pytest.mark.parametrize("users", [["x"] * 1001, [""], ["x" * 256], "ada", None, [5]])
async def test_users_who_cannot_be_are_not_looked_for(client, server, users):
    response = await client.post("/api/v1/users/online", headers=server, json={"users": users})
    assert (response.status_code, response.headers["content-type"]) == (422, "application/problem+json")


async def test_every_connection_of_a_user_is_closed(house, server):
    clients = [await house.enter("a/da") for _ in range(2)]
    answer = await house.http.post("/api/v1/users/a%2Fda/disconnect", headers=server)
    assert answer.json() == {"connections": 2}
    for client in clients:
        assert (await client.expect_close()).code == 4003
    assert (await house.http.post("/api/v1/users/%1F/disconnect", headers=server)).status_code == 400
