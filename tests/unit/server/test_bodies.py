import asyncio

import httpx2
import pytest
from fastapi import FastAPI, Request

from hubbub.server.bodies import LIMIT, BodyLimit, body_limit
from hubbub.server.problems import add_problems

from .conftest import serving

PUBLISH = "/api/v1/channels/room:general/publish"


@pytest.mark.parametrize(
    ("sizes", "limit"), [([65_536], LIMIT), ([], LIMIT), ([0], LIMIT), ([65_536, 10_000_000], 60_000_000)]
)
def test_the_limit_leaves_room_for_the_largest_publication(sizes, limit):
    assert body_limit({"max_message_bytes": size} for size in sizes) == limit
    assert body_limit([{}]) == LIMIT


async def test_a_body_over_the_limit_is_refused_before_anybody_signs_in(client):
    response = await client.post("/api/v1/sign-in", json={"code": "x" * LIMIT})
    assert response.status_code == 413
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["detail"] == f"The body is larger than {LIMIT} bytes."


async def test_what_comes_in_pieces_is_counted(client, bearer):
    async def endless():
        while True:
            yield b" " * 65_536

    headers = {**bearer("x", "server"), "Content-Type": "application/json"}
    response = await client.post(PUBLISH, headers=headers, content=endless())
    assert response.status_code == 413


async def test_a_body_at_the_limit_is_read(client, bearer):
    headers = {**bearer("x", "server"), "Content-Type": "application/json"}
    body = b'{"event":"x"}'
    response = await client.post(PUBLISH, headers=headers, content=body + b" " * (LIMIT - len(body)))
    assert response.status_code == 200


async def test_a_body_that_does_not_come_is_not_waited_for():
    app = FastAPI()
    add_problems(app)
    app.add_middleware(BodyLimit, seconds=0.05)

    @app.post("/")
    async def read(request: Request) -> int:
        return len(await request.body())

    async def stalled():
        yield b"x"
        await asyncio.Event().wait()

    async with serving(app) as client:
        response = await client.post("/", content=stalled())
        assert (response.status_code, response.json()["detail"]) == (
            408,
            "The body did not come within 0.05 s.",
        )
        assert response.headers["connection"] == "close"
        assert (await client.post("/", content=b"xyz")).json() == 3


async def test_what_comes_behind_the_body_has_no_deadline():
    app = FastAPI()
    app.add_middleware(BodyLimit, seconds=0.02)

    @app.get("/")
    async def wait(request: Request) -> bool:
        await request.body()
        await asyncio.sleep(0.05)  # longer than a body may take
        return await request.is_disconnected()

    async with serving(app) as client:
        response: httpx2.Response = await client.get("/")
        assert response.json() is False
