"""The hub's handshakes pass everything else by; nothing else does."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import pytest
from application import authenticate
from fastapi import Depends, FastAPI, WebSocket

from hubbub import Channel, Hub, SocketsFirst
from hubbub.testing import Client, Closed, connect

Scope = Any


class Watch:
    """Middleware that notes what passes it."""

    def __init__(self, app: Any, seen: list[str]) -> None:
        self._app = app
        self._seen = seen

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            self._seen.append(f"{scope['type']} {scope['path']}")
        await self._app(scope, receive, send)


def make_hub() -> Hub:
    hub = Hub(authenticate=authenticate)
    hub.namespace("room", publish="subscriber", presence=True)
    hub.namespace("topic")
    return hub


class Application:
    """A hub, `SocketsFirst`, and behind that a middleware and a route of the application's own."""

    def __init__(self, prefix: str = "") -> None:
        self.seen: list[str] = []
        self.hub = make_hub()
        self.app = FastAPI()
        self.app.add_middleware(Watch, seen=self.seen)
        self.app.add_middleware(SocketsFirst, hub=self.hub)
        self.app.include_router(self.hub.router, prefix=prefix)

        @self.app.websocket("/own")
        async def own(websocket: WebSocket) -> None:
            await websocket.accept()
            await websocket.send_json({"type": "own"})
            await websocket.close()

    @asynccontextmanager
    async def client(self, path: str, app: Any = None) -> AsyncIterator[Client]:
        async with self.hub.lifespan(self.app), connect(app or self.app, path, token="ada") as client:
            yield client


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/ws", {"type": "welcome"}),
        ("/ws/general", {"type": "joined", "room_id": "general"}),
        ("/ws/a:b/c", {"type": "joined", "room_id": "a:b/c"}),
        ("/ws/notifications/orders", {"type": "subscribed", "channel": "topic:orders"}),
    ],
)
async def test_the_hubs_paths_are_served_before_everything_else(path, answer):
    application = Application()
    async with application.client(path) as ada:
        received = await ada.expect(answer["type"])
        assert answer.items() <= received.items()
    assert application.seen == []


async def test_another_path_is_the_applications():
    application = Application()
    async with application.client("/own") as ada:
        await ada.expect("own")
    assert application.seen == ["websocket /own"]


async def test_a_path_that_nobody_serves_is_refused_by_the_application():
    application = Application()
    with pytest.raises(Closed):
        async with application.client("/wss"):
            pass
    assert application.seen == ["websocket /wss"]


async def test_a_request_is_the_applications_whatever_its_path():
    application = Application()
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/ws",
        "raw_path": b"/ws",
        "root_path": "",
        "query_string": b"",
        "headers": [],
    }
    await application.app(scope, receive, send)
    assert sent[0]["status"] == 426
    assert application.seen == ["http /ws"]


async def test_under_a_prefix_the_application_serves_them():
    application = Application(prefix="/realtime")
    async with application.client("/realtime/ws/general") as ada:
        await ada.expect("joined")
    assert application.seen == ["websocket /realtime/ws/general"]


async def test_mounted_in_another_application():
    application = Application()
    outer = FastAPI()
    outer.mount("/inner", application.app)
    async with application.client("/inner/ws/general", outer) as ada:
        assert (await ada.expect("joined"))["room_id"] == "general"
    assert application.seen == []


async def test_hooks_have_their_dependencies():
    application = Application()
    closed: list[str] = []

    async def session() -> AsyncIterator[str]:
        yield "session"
        closed.append("session")

    @application.hub.namespace("club", publish="subscriber").authorize
    async def may_join(channel: Channel, db: Annotated[str, Depends(session)]) -> bool:
        return db == "session"

    async with application.client("/ws") as ada:
        await ada.expect("welcome")
        await ada.send({"type": "subscribe", "channel": "club:a"})
        await ada.expect("subscribed")
        assert closed == ["session"]
