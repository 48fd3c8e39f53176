import pytest
from fastapi import FastAPI

from hubbub import Hub
from hubbub.server.app import create_app
from hubbub.server.health import health_routes
from hubbub.server.settings import Settings

from .conftest import SECRET, serving

pytestmark = pytest.mark.usefixtures("server_folder")


async def test_a_server_that_runs_lives_and_is_ready(client):
    assert (await client.get("/healthz")).json() == {"status": "alive"}
    response = await client.get("/readyz")
    assert response.status_code == 200
    assert response.json() == {
        "status": "ready",
        "parts": {"broker": "ok", "database": "ok"},
        "outlet": "unknown until somebody connects",
    }


async def test_load_balancers_may_ask_without_a_body(client):
    for path in ("/healthz", "/readyz"):
        assert (await client.head(path)).status_code == 200


async def test_a_server_that_drains_lives_and_is_not_ready():
    app = create_app(Settings(secret_key=SECRET))
    async with serving(app) as client:
        await app.state.hub.drain()
        assert (await client.get("/healthz")).status_code == 200
        response = await client.get("/readyz")
        assert "hubbub_draining 1.0" in (await client.get("/metrics")).text
    assert (response.status_code, response.json()["status"]) == (503, "draining")
    assert response.headers["connection"] == "close"


async def test_a_server_whose_hub_does_not_run_lives_and_is_not_ready():
    app = FastAPI()
    app.include_router(health_routes(Hub(allow_anonymous=True)))
    async with serving(app) as client:
        assert (await client.get("/healthz")).status_code == 200
        response = await client.get("/readyz")
    assert response.status_code == 503
    assert response.json()["status"] == "not ready"
    assert response.json()["parts"] == {"broker": "not running"}
