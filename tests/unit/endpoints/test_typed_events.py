"""What a client publishes to a namespace with event types is published as the type has it."""

from fastapi import FastAPI

from hubbub import ChatMessage, Hub, Identity
from hubbub.testing import connect
from hubbub.types import UserId


def authenticate(token: str) -> Identity:
    return Identity(UserId(token))


async def test_fields_that_the_type_does_not_know_go_to_nobody():
    hub = Hub(authenticate=authenticate)
    hub.namespace("room", publish="subscriber", events=[ChatMessage])
    app = FastAPI(lifespan=hub.lifespan)
    app.include_router(hub.router)
    async with hub.lifespan(app), connect(app, "/ws/general", token="ada") as ada:
        await ada.expect("joined")
        data = {"content": "hi", "admin": True}
        await ada.send({"type": "publish", "channel": "room:general", "event": "message", "data": data})
        message = await ada.expect("message")
        assert message["content"] == "hi"
        assert "admin" not in message
