import re
from pathlib import Path

import httpx2
import pytest

from hubbub import ConfigurationError
from hubbub.server.app import create_app
from hubbub.server.settings import Settings
from hubbub.server.signing_keys import SigningKeys

from .conftest import SECRET


def test_nothing_is_made_on_disk_where_the_keys_are_given(folder):
    create_app(Settings(), SigningKeys(SECRET))
    assert list(folder.iterdir()) == []


def test_without_keys_the_settings_decide(folder):
    create_app(Settings())
    assert (folder / "hubbub-data" / "secret").exists()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"allowed_origins": ["app.example.com"]}, "The allowed origin 'app.example.com' has no scheme"),
        ({"jwks_url": "ftp://keys"}, "must be an https:// URL"),
        ({"jwks_url": "https://keys.test", "jwt_algorithms": ["HS256"]}, "algorithms for a provider's keys"),
        ({"config": "missing.toml"}, "missing.toml cannot be read"),
    ],
)
def test_what_cannot_work_is_an_error_before_anything_runs(settings, said):
    with pytest.raises(ConfigurationError, match=said):
        create_app(Settings(secret_key=SECRET, **settings))


async def test_the_document_describes_errors_and_who_may(client: httpx2.AsyncClient):
    document = (await client.get("/openapi.json")).json()
    publish = document["paths"]["/api/v1/channels/{channel}/publish"]["post"]
    assert publish["security"] == [{"HTTPBearer": []}]
    content = publish["responses"]["default"]["content"]
    assert content == {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    assert {"Problem", "FieldProblem"} <= set(document["components"]["schemas"])
    assert "security" not in document["paths"]["/api/v1/sign-in"]["post"]
    assert "/" not in document["paths"]


async def test_every_reference_of_the_document_leads_somewhere(client):
    response = await client.get("/openapi.json")
    document = response.json()
    references = set(_references(document))
    assert references
    for reference in references:
        target = document
        for part in reference.removeprefix("#/").split("/"):
            target = target[part]


def _references(node):
    if isinstance(node, dict):
        yield from ([node["$ref"]] if isinstance(node.get("$ref"), str) else [])
        node = list(node.values())
    if isinstance(node, list):
        for each in node:
            yield from _references(each)


async def test_the_api_can_be_tried_in_a_browser(client):
    response = await client.get("/docs")
    assert response.status_code == 200
    assert "content-security-policy" not in response.headers


async def test_the_librarys_routes_are_there(client, bearer):
    assert (await client.get("/hubbub.js")).headers["content-type"].startswith("text/javascript")
    response = await client.post("/api/v1/ws-ticket", headers=bearer("ada"))
    assert response.json()["expires_in"] == 30


async def test_namespaces_of_the_file_are_there(folder, running, bearer):
    (folder / "hubbub.toml").write_text("[namespaces.board]\n")
    async with running() as client:
        for channel, status in (("board:1", 200), ("wall:1", 404)):
            response = await client.get(f"/api/v1/channels/{channel}/history", headers=bearer("x", "server"))
            assert response.status_code == status


async def test_every_route_is_in_the_page_on_the_api(client):
    page = (Path(__file__).parents[3] / "docs" / "http-api.md").read_text()
    document = (await client.get("/openapi.json")).json()
    routes = [
        f"{method.upper()} {path.removeprefix('/api/v1')}"
        for path, methods in document["paths"].items()
        if path.startswith("/api/v1")
        for method in methods
    ]
    assert [route for route in routes if not re.search(rf"`{re.escape(route)}[`?]", page)] == []
