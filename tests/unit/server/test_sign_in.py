import time

import pytest

from hubbub import TokenIssuer
from hubbub.server.tokens import issue_code

from .conftest import SECRET

SIGN_IN = "/api/v1/sign-in"


@pytest.fixture
def code(issuer) -> str:
    return issue_code(issuer, "ada", ttl=900, scopes=frozenset({"admin"}))


async def test_a_code_is_exchanged_for_a_token_of_the_same_user_scopes_and_end(client, code):
    response = await client.post(SIGN_IN, json={"code": code})
    answer = response.json()
    assert response.status_code == 200
    assert response.headers["cache-control"] == "no-store"
    assert answer.keys() == {"access_token", "token_type", "expires_in", "user_id"}
    assert (answer["user_id"], answer["token_type"]) == ("ada", "bearer")
    assert 890 < answer["expires_in"] <= 900
    client.cookies.clear()
    me = await client.get("/api/v1/me", headers={"Authorization": f"Bearer {answer['access_token']}"})
    assert (me.json()["user_id"], me.json()["scopes"]) == ("ada", ["admin"])
    assert me.json()["expires_at"].endswith("Z")


async def test_a_code_works_once(client, code):
    assert (await client.post(SIGN_IN, json={"code": code})).status_code == 200
    response = await client.post(SIGN_IN, json={"code": code})
    assert response.status_code == 401
    assert response.json()["detail"] == "This sign-in link was used already: ask for a new one."


async def test_a_code_ends(client):
    class Yesterday:
        def monotonic(self) -> float:
            return time.monotonic()

        def time(self) -> float:
            return time.time() - 901

    old = issue_code(TokenIssuer(SECRET, clock=Yesterday()), "ada", ttl=900, scopes=frozenset())
    response = await client.post(SIGN_IN, json={"code": old})
    assert (response.status_code, response.json()["detail"]) == (
        401,
        "This sign-in link is too old: ask for a new one.",
    )


@pytest.mark.parametrize("kind", ["noise", "access token", "another server's", "another audience"])
async def test_anything_else_is_no_code(client, issuer, kind):
    other = {
        "noise": "xyz",
        "access token": issuer.issue("ada", ttl=60),
        "another server's": issue_code(TokenIssuer("x" * 32), "ada", ttl=60, scopes=frozenset()),
        "another audience": issuer.issue("ada", ttl=60, audience="elsewhere"),
    }[kind]
    response = await client.post(SIGN_IN, json={"code": other})
    assert response.status_code == 401
    assert response.json()["detail"] == "This is not a sign-in link of this server: ask for a new one."


async def test_a_code_opens_nothing_else(client, code):
    response = await client.get("/api/v1/me", headers={"Authorization": f"Bearer {code}"})
    assert response.status_code == 401


async def test_the_session_may_last_longer_than_the_link(client, issuer):
    code = issue_code(issuer, "admin", ttl=900, scopes=frozenset({"admin"}), session=86_400)
    answer = (await client.post(SIGN_IN, json={"code": code})).json()
    assert answer["expires_in"] == 86_400
    me = await client.get("/api/v1/me", headers={"Authorization": f"Bearer {answer['access_token']}"})
    assert me.status_code == 200


async def test_browsers_get_a_cookie_that_pages_cannot_read(client, code):
    response = await client.post(SIGN_IN, json={"code": code})
    cookie = response.headers["set-cookie"]
    assert cookie.startswith("hubbub_session=")
    parts = {part.strip().lower().partition("=")[0]: part.strip() for part in cookie.split(";")}
    assert parts["samesite"].lower() == "samesite=strict"
    assert parts["path"] == "Path=/"
    assert "httponly" in parts
    assert "max-age" in parts
    assert "secure" not in parts
    assert (await client.get("/api/v1/me")).json()["user_id"] == "ada"


async def test_the_cookie_stays_on_https_where_browsers_use_it(running, code):
    async with running(public_url="https://chat.example.com") as client:
        response = await client.post(SIGN_IN, json={"code": code})
        assert "; Secure" in response.headers["set-cookie"]


async def test_the_cookie_stays_on_https_where_the_request_came_by_it(client, code):
    response = await client.post(f"https://hubbub.test{SIGN_IN}", json={"code": code})
    assert "; Secure" in response.headers["set-cookie"]


async def test_a_foreign_page_cannot_use_the_cookie(client, code):
    await client.post(SIGN_IN, json={"code": code})
    response = await client.post("/api/v1/ws-ticket", headers={"Origin": "https://evil.example"})
    assert response.status_code == 403


async def test_signing_out_forgets_the_cookie(client, code):
    await client.post(SIGN_IN, json={"code": code})
    response = await client.post("/api/v1/sign-out")
    assert response.status_code == 204
    assert (await client.get("/api/v1/me")).status_code == 401


async def test_a_form_of_another_page_is_not_read(client, code):
    headers = {"Content-Type": "text/plain"}
    response = await client.post(SIGN_IN, headers=headers, content=f'{{"code":"{code}"}}')
    assert response.status_code == 422


@pytest.mark.parametrize("path", [SIGN_IN, "/api/v1/sign-out"])
async def test_a_foreign_page_signs_nobody_in_or_out(client, code, path):
    refused = await client.post(path, json={"code": code}, headers={"Origin": "http://evil.test"})
    assert refused.status_code == 403
    assert "set-cookie" not in refused.headers
    assert (await client.post(SIGN_IN, json={"code": code})).status_code == 200


async def test_who_fails_too_often_has_to_wait(client, code):
    for _ in range(30):
        assert (await client.post(SIGN_IN, json={"code": "wrong"})).status_code == 401
    response = await client.post(SIGN_IN, json={"code": code})
    assert response.status_code == 429
    assert 0 < int(response.headers["retry-after"]) <= 60


async def test_a_visitor_is_nobody(running):
    async with running(allow_anonymous=True) as client:
        response = await client.get("/api/v1/me")
        assert (response.status_code, response.json()["detail"]) == (401, "Nobody is signed in.")


async def test_the_previous_key_still_signs_in(running):
    code = issue_code(TokenIssuer("p" * 32), "ada", ttl=60, scopes=frozenset())
    async with running(secret_key_previous="p" * 32) as client:
        assert (await client.post(SIGN_IN, json={"code": code})).status_code == 200
