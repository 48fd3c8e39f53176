"""Every error of the HTTP API has one shape."""

import httpx2
import pytest
from fastapi import FastAPI

from hubbub import ErrorCode, HubbubError, PublishError, PublishUncertain, TooLarge
from hubbub.database import DatabaseUnavailable
from hubbub.server.problems import STATUS, add_problems

PUBLISH = "/api/v1/channels/room:general/publish"


def check(response: httpx2.Response, status: int) -> dict:
    document = response.json()
    assert response.headers["content-type"] == "application/problem+json"
    assert (response.status_code, document["status"]) == (status, status)
    assert document.keys() >= {"type", "title", "status", "detail"}
    return document


async def test_no_such_path(client):
    document = check(await client.get("/nowhere"), 404)
    assert document["detail"] == "There is nothing at /nowhere; /docs lists what there is."
    assert (document["type"], document["title"]) == ("about:blank", "Not Found")


async def test_no_such_method(client):
    response = await client.delete("/api/v1/me")
    assert check(response, 405)["detail"] == "/api/v1/me does not take DELETE."
    assert response.headers["allow"] == "GET"


async def test_not_signed_in(client):
    response = await client.get("/api/v1/me")
    assert "Authorization: Bearer" in check(response, 401)["detail"]
    assert response.headers["www-authenticate"] == "Bearer"


async def test_a_bad_token(client):
    response = await client.get("/api/v1/me", headers={"Authorization": "Bearer x.y.z"})
    assert "x.y.z" not in check(response, 401)["detail"]


async def test_not_allowed(client, bearer):
    response = await client.post(PUBLISH, headers=bearer("ada"), json={"event": "x"})
    assert "`server` or `admin`" in check(response, 403)["detail"]


async def test_a_foreign_page(client, bearer):
    headers = {**bearer("ada", "admin"), "Origin": "https://evil.example"}
    check(await client.post(PUBLISH, headers=headers, json={"event": "x"}), 403)


async def test_an_unknown_channel(client, bearer):
    response = await client.post("/api/v1/publish/zoo:1", headers=bearer("x", "server"), json={"event": "x"})
    document = check(response, 404)
    assert (document["type"], document["title"]) == ("urn:hubbub:error:unknown_channel", "Unknown channel")
    assert "room:…" in document["detail"]


async def test_a_field_that_is_wrong_is_named(client, bearer):
    response = await client.post(PUBLISH, headers=bearer("x", "server"), json={"event": 5, "exclude": [1]})
    document = check(response, 422)
    assert document["errors"] == [
        {"field": "event", "message": "Input should be a valid string"},
        {"field": "exclude.0", "message": "Input should be a valid string"},
    ]
    assert document["detail"].startswith("event: Input should be a valid string; exclude.0: ")


async def test_a_parameter_that_is_wrong_is_named(client, bearer):
    response = await client.get("/api/v1/channels/room:x/history?limit=0", headers=bearer("x", "server"))
    [error] = check(response, 422)["errors"]
    assert error == {"field": "limit", "message": "Input should be greater than or equal to 1"}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"event":', "body: not JSON: Expecting value, at character 9"),
        (b"", "body: Field required"),
        (b"[]", "body: Input should be a valid dictionary or object to extract fields from"),
    ],
)
async def test_a_body_that_is_none_is_told(client, bearer, body, said):
    headers = {**bearer("x", "server"), "Content-Type": "application/json"}
    response = await client.post(PUBLISH, headers=headers, content=body)
    document = check(response, 422)
    assert document["detail"] == said
    assert document["errors"][0]["field"] == "body"


def raising(error: Exception) -> httpx2.AsyncClient:
    """Return a client of an application whose one route raises."""
    app = FastAPI()
    add_problems(app)

    @app.get("/")
    async def fail() -> None:
        raise error

    transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
    return httpx2.AsyncClient(transport=transport, base_url="http://hubbub.test")


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (PublishError("no room"), "unavailable"),
        (PublishUncertain("who knows"), "uncertain"),
        (DatabaseUnavailable("It is away."), "unavailable"),
    ],
)
async def test_what_was_not_taken_may_be_repeated(error, name):
    async with raising(error) as client:
        response = await client.get("/")
    assert check(response, 503)["type"] == f"urn:hubbub:error:{name}"
    assert response.headers["retry-after"] == "1"


async def test_a_refusal_keeps_its_words():
    async with raising(TooLarge("The data has 70000 bytes.")) as client:
        assert check(await client.get("/"), 413)["detail"] == "The data has 70000 bytes."


@pytest.mark.parametrize("error", [ZeroDivisionError("secret stuff"), HubbubError("secret stuff")])
async def test_a_fault_says_nothing_of_itself(error):
    async with raising(error) as client:
        document = check(await client.get("/"), 500)
    assert document["detail"] == "Something went wrong on the server; its log says what."


def test_every_code_has_a_status():
    assert set(STATUS) == set(ErrorCode)
