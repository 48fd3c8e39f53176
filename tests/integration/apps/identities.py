"""A user's application that asks for the identity on HTTP, WebSocket and SSE routes of its own."""

import os
from collections.abc import AsyncIterable
from typing import Annotated, Any

from fastapi import Depends, FastAPI, WebSocket
from fastapi.sse import EventSourceResponse

from hubbub import Hub, Identity, JWTAuthenticator

hub = Hub(
    authenticate=JWTAuthenticator(os.environ["SECRET_KEY"]),
    allowed_origins=["https://app.example.com"],
    session_cookie="session",
)
hub.namespace("room", publish="subscriber", presence=True)
Who = Annotated[Identity, Depends(hub.identity)]

app = FastAPI(lifespan=hub.lifespan)
app.include_router(hub.router)
app.include_router(hub.api, prefix="/api/v1")


def shown(who: Identity) -> dict[str, Any]:
    return {"user_id": who.user_id, "team": who.claims.get("team"), "scopes": sorted(who.scopes)}


@app.get("/readyz")
@app.get("/healthz")
async def healthy() -> dict[str, str]:
    return {"status": "ok"}


@app.get("/mine")
async def over_http(who: Who) -> dict[str, Any]:
    return shown(who)


@app.post("/mine")
async def change(who: Who) -> dict[str, Any]:
    return shown(who)


@app.websocket("/mine/ws")
async def over_websocket(websocket: WebSocket, who: Who) -> None:
    await websocket.accept(subprotocol="hubbub" if "hubbub" in websocket.scope["subprotocols"] else None)
    await websocket.send_json(shown(who))
    await websocket.close()


@app.get("/mine/events", response_class=EventSourceResponse)
async def over_sse(who: Who) -> AsyncIterable[dict[str, Any]]:
    yield shown(who)
