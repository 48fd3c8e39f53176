"""A foreign page opens no event stream with somebody's credentials; other reads are the browser's to hold back."""

from typing import Annotated

import httpx2
import pytest
from fastapi import Depends, FastAPI

from hubbub import Hub, Identity
from hubbub.types import UserId

STREAM = "text/event-stream"


def authenticate(token: str) -> Identity:
    return Identity(UserId(token))


@pytest.mark.parametrize(
    ("origin", "accept", "status"),
    [
        ("http://evil.test", STREAM, 403),
        ("http://testserver", STREAM, 200),
        ("https://app.example.com", STREAM, 200),
        (None, STREAM, 200),
        ("http://evil.test", "*/*", 200),
    ],
)
async def test_the_origin_of_an_event_stream_is_checked(origin, accept, status):
    hub = Hub(
        authenticate=authenticate, session_cookie="session", allowed_origins=["https://app.example.com"]
    )
    app = FastAPI(lifespan=hub.lifespan)

    @app.get("/who")
    async def who(identity: Annotated[Identity, Depends(hub.identity)]) -> str:
        return identity.user_id

    headers = {"Accept": accept, "Cookie": "session=ada"} | ({"Origin": origin} if origin else {})
    transport = httpx2.ASGITransport(app=app)
    async with (
        hub.lifespan(app),
        httpx2.AsyncClient(transport=transport, base_url="http://testserver") as client,
    ):
        assert (await client.get("/who", headers=headers)).status_code == status
