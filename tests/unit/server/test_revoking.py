from datetime import UTC, datetime, timedelta

import pytest

from hubbub.testing import connect

PATHS = ["/api/v1/users/ada/revoke", "/api/v1/sessions/s-1/revoke", "/api/v1/tokens/revoke"]


@pytest.fixture
def server(bearer):
    return bearer("backend", "server")


def header(token):
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize("path", PATHS)
async def test_users_may_not(client, bearer, path):
    json = {"token_id": "t"} if "tokens" in path else None
    assert (await client.post(path, json=json)).status_code == 401
    assert (await client.post(path, json=json, headers=bearer("ada", "chat"))).status_code == 403


@pytest.mark.parametrize("path", PATHS)
async def test_it_says_until_when_it_holds(client, server, path):
    ends = datetime.now(UTC) + timedelta(hours=1)
    body = {"token_id": "t"} if "tokens" in path else {}
    answer = (await client.post(path, headers=server, json={**body, "until": ends.isoformat()})).json()
    assert answer.keys() == {"id", "at", "until"}
    assert datetime.fromisoformat(answer["until"]) == ends
    longer = (await client.post(path, headers=server, json=body or None)).json()
    kept = datetime.fromisoformat(longer["until"]) - datetime.fromisoformat(longer["at"])
    assert kept == timedelta(days=30)


async def test_a_users_connections_are_closed_and_their_tokens_refused(house, server):
    token = house.token("ada")
    ada, bob = await house.enter("ada", token=token), await house.enter("bob")
    assert (await house.http.post("/api/v1/users/ada/revoke", headers=server)).status_code == 200
    assert (await ada.expect_close()).code == 4010
    assert (await house.http.get("/api/v1/me", headers=header(token))).status_code == 401
    refused = await house.stack.enter_async_context(connect(house.app, "/ws", token=token))
    error = await refused.expect("error")
    assert (error["code"], error["message"]) == ("unauthorized", "The token was revoked.")
    assert (await refused.expect_close()).code == 4010
    await bob.send({"type": "ping"})
    await bob.expect("pong")


async def test_a_ticket_of_a_revoked_token_opens_nothing(house, server):
    token = house.token("ada")
    ticket = (await house.http.post("/api/v1/ws-ticket", headers=header(token))).json()["ticket"]
    await house.http.post("/api/v1/users/ada/revoke", headers=server)
    refused = await house.stack.enter_async_context(connect(house.app, f"/ws?ticket={ticket}"))
    assert (await refused.expect_close()).code == 4010


async def test_a_connection_is_closed_and_its_token_refused(house, server):
    token = house.token("ada")
    ada = await house.enter("ada", token=token)
    path = f"/api/v1/sessions/{ada.welcome['session_id']}/revoke"
    assert (await house.http.post(path, headers=server)).status_code == 200
    assert (await ada.expect_close()).code == 4010
    assert (await house.http.get("/api/v1/me", headers=header(token))).status_code == 401


async def test_a_token_is_revoked_by_its_id(house, server, bearer):
    token, other = house.token("ada"), house.token("ada")
    ada = await house.enter("ada", token=token)
    listed = await house.http.get("/api/v1/admin/connections", headers=bearer("root", "admin"))
    token_id = listed.json()["connections"][0]["token_id"]
    answer = await house.http.post("/api/v1/tokens/revoke", headers=server, json={"token_id": token_id})
    assert answer.status_code == 200
    assert (await ada.expect_close()).code == 4010
    assert (await house.http.get("/api/v1/me", headers=header(other))).status_code == 200


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        (PATHS[0], {"until": "2001-01-01T00:00:00Z"}, 400, "`until` is a time in the future"),
        (PATHS[0], {"until": "9999-12-31T23:59:59-12:00"}, 400, "`until` is a time in the future"),
        (PATHS[0], {"until": "2031-01-01T00:00:00"}, 422, "until: Input should have timezone info"),
        (PATHS[0], {"untill": None}, 422, "untill: Extra inputs"),
        (PATHS[2], {}, 422, "token_id: Field required"),
        (PATHS[2], {"token_id": ""}, 422, "token_id: String should have at least 1"),
        (PATHS[2], {"token_id": "x" * 1025}, 422, "token_id: String should have at most 1024"),
        (PATHS[2], None, 422, "body: Field required"),
        (f"/api/v1/users/{'x' * 256}/revoke", None, 400, "The user id is longer than 255 bytes"),
        ("/api/v1/users/%00/revoke", None, 400, "The user id has control characters"),
        (f"/api/v1/sessions/{'x' * 1025}/revoke", None, 400, "An id has 1 to 1024 characters"),
    ],
)
async def test_what_cannot_be_revoked_is_refused(client, server, path, body, status, said):
    response = await client.post(path, headers=server, json=body)
    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json")
    assert response.json()["detail"].startswith(said)


async def test_a_users_id_may_have_a_slash(house, server):
    ada = await house.enter("a/da")
    assert (await house.http.post("/api/v1/users/a%2Fda/revoke", headers=server)).status_code == 200
    assert (await ada.expect_close()).code == 4010
