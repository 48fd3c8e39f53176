import asyncio

import httpx2
from fastapi import FastAPI

from hubbub import Hub
from hubbub.server.farewell import Farewell


async def test_answers_say_that_the_connection_ends_from_the_beginning_of_a_drain_on():
    hub = Hub(allow_anonymous=True)
    app = FastAPI(lifespan=hub.lifespan)
    app.include_router(hub.router)
    transport = httpx2.ASGITransport(app=Farewell(app, hub))
    async with httpx2.AsyncClient(transport=transport, base_url="http://hubbub.test") as client:
        assert "connection" not in (await client.get("/hubbub.js")).headers
        async with hub.lifespan(app):
            assert "connection" not in (await client.get("/hubbub.js")).headers
            async with asyncio.timeout(5):
                await hub.drain()
            assert (await client.get("/hubbub.js")).headers["connection"] == "close"
            assert (await client.get("/missing")).headers["connection"] == "close"


async def test_what_is_no_request_passes():
    passed = []

    async def app(scope, receive, send) -> None:
        passed.append((scope, receive, send))

    async def receive() -> None: ...

    async def send(message) -> None: ...

    await Farewell(app, Hub(allow_anonymous=True))({"type": "lifespan"}, receive, send)
    assert passed == [({"type": "lifespan"}, receive, send)]
