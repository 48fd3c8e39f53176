import pytest

from hubbub.hub.publishing import MAX_DEPTH

CHANNEL = "/api/v1/channels/room:general"


@pytest.fixture
def server(bearer):
    return bearer("backend", "server")


@pytest.mark.parametrize("path", [f"{CHANNEL}/publish", "/api/v1/publish/room:general"])
async def test_a_program_publishes_and_is_told_where_it_stands(client, server, path):
    first = await client.post(path, headers=server, json={"event": "created", "data": {"id": 7}})
    second = await client.post(path, headers=server, json={"event": "created"})
    assert first.status_code == second.status_code == 200
    assert first.json().keys() == {"id", "epoch", "offset"}
    assert (first.json()["offset"], second.json()["offset"]) == (1, 2)
    assert first.json()["epoch"] == second.json()["epoch"]


async def test_the_same_key_again_publishes_nothing_new(client, server):
    body = {"event": "created", "data": 1, "idempotency_key": "order-7"}
    first, again = [await client.post(f"{CHANNEL}/publish", headers=server, json=body) for _ in range(2)]
    assert first.json() == again.json()


async def test_an_administrator_may_publish_too(client, bearer):
    response = await client.post(f"{CHANNEL}/publish", headers=bearer("root", "admin"), json={"event": "x"})
    assert response.status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", f"{CHANNEL}/publish"),
        ("POST", "/api/v1/publish/room:general"),
        ("POST", "/api/v1/broadcast"),
        ("GET", f"{CHANNEL}/presence"),
        ("GET", f"{CHANNEL}/history"),
        ("GET", f"{CHANNEL}/stats"),
        ("POST", "/api/v1/users/ada/publish"),
        ("POST", "/api/v1/users/ada/disconnect"),
        ("POST", "/api/v1/users/online"),
    ],
)
async def test_users_may_not(client, bearer, method, path):
    json = {"event": "x"} if method == "POST" else None
    assert (await client.request(method, path, json=json)).status_code == 401
    assert (await client.request(method, path, json=json, headers=bearer("ada", "chat"))).status_code == 403


async def test_history_is_read_page_by_page(client, server):
    for number in range(5):
        body = {"event": "counted", "data": {"n": number}, "exclude": ["bob"]}
        await client.post(f"{CHANNEL}/publish", headers=server, json=body)
    newest = (await client.get(f"{CHANNEL}/history?limit=2", headers=server)).json()
    assert newest["offset"] == 5
    assert [(each["offset"], each["data"]) for each in newest["publications"]] == [
        (4, {"n": 3}),
        (5, {"n": 4}),
    ]
    before = (await client.get(f"{CHANNEL}/history?limit=2&before=4", headers=server)).json()
    assert [each["offset"] for each in before["publications"]] == [2, 3]
    first = before["publications"][0]
    assert first.keys() == {"id", "offset", "event", "data", "user_id", "timestamp"}
    assert first["event"] == "counted"
    assert first["user_id"] is None
    assert first["timestamp"].endswith("Z")


async def test_nobody_is_present_where_nobody_is(client, server):
    response = await client.get(f"{CHANNEL}/presence", headers=server)
    assert response.json() == {"members": [], "active_users": 0, "next_cursor": None}


async def test_a_broadcast_has_no_answer(client, server):
    response = await client.post(
        "/api/v1/broadcast", headers=server, json={"event": "maintenance", "data": 5}
    )
    assert (response.status_code, response.content) == (204, b"")


async def test_a_channels_name_may_have_slashes_and_colons(client, server):
    path = "/api/v1/channels/room:a/b:c%2Fd"
    assert (await client.post(f"{path}/publish", headers=server, json={"event": "x"})).status_code == 200
    for same in (path, "/api/v1/channels/room:a%2Fb:c/d"):
        assert (await client.get(f"{same}/history", headers=server)).json()["offset"] == 1


async def test_data_over_the_namespaces_size_is_refused(client, server):
    body = {"event": "x", "data": "x" * 65_535}
    response = await client.post(f"{CHANNEL}/publish", headers=server, json=body)
    assert (response.status_code, response.json()["type"]) == (413, "urn:hubbub:error:too_large")


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("data", '"\\ud800"', "data: text with half a surrogate pair is not UTF-8"),
        ("data", '{"a":["\\ud800"]}', "data: text with half a surrogate pair is not UTF-8"),
        ("data", "NaN", "data: NaN and Infinity are not JSON"),
        ("data", "[-Infinity]", "data: NaN and Infinity are not JSON"),
        ("exclude", '["\\ud800"]', "exclude.0: Input should be a valid string"),
        ("event", '"\\ud800"', "event: Input should be a valid string"),
        ("exclud", '["bob"]', "exclud: Extra inputs are not permitted"),
        ("event", '""', "event: String should have at least 1 character"),
    ],
)
async def test_what_receivers_could_not_read_is_refused(client, server, field, value, said):
    fields = {"event": '"x"', field: value}
    body = "{" + ",".join(f'"{name}":{text}' for name, text in fields.items()) + "}"
    headers = {**server, "Content-Type": "application/json"}
    response = await client.post(f"{CHANNEL}/publish", headers=headers, content=body)
    assert response.status_code == 422
    assert response.json()["detail"].startswith(said)


async def test_json_that_is_nested_without_end_is_refused(client, server):
    headers = {**server, "Content-Type": "application/json"}
    body = b'{"event":"x","data":' + b"[" * 100_000 + b"}"
    response = await client.post(f"{CHANNEL}/publish", headers=headers, content=body)
    assert response.status_code == 400
    assert response.headers["content-type"] == "application/problem+json"


async def test_what_is_nested_as_deep_as_it_may_be_can_be_read_again(client, server):
    headers = {**server, "Content-Type": "application/json"}
    for depth, status in ((MAX_DEPTH, 200), (MAX_DEPTH + 1, 400)):
        body = b'{"event":"x","data":' + b"[" * depth + b"]" * depth + b"}"
        response = await client.post(f"{CHANNEL}/publish", headers=headers, content=body)
        assert response.status_code == status
    response = await client.get(f"{CHANNEL}/history", headers=server)
    assert response.status_code == 200
    assert b"[" * MAX_DEPTH + b"]" * MAX_DEPTH in response.content
