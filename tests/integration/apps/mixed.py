"""A user's application with WebSocket routes of its own beside the hub's."""

import os
from typing import Any

from fastapi import FastAPI, WebSocket
from fastapi.responses import JSONResponse

from hubbub import Hub, JWTAuthenticator, SocketsFirst
from hubbub.server.health import health_routes

hub = Hub(authenticate=JWTAuthenticator(os.environ["SECRET_KEY"]))
hub.namespace("room", publish="subscriber", presence=True)
hub.namespace("topic")

app = FastAPI(lifespan=hub.lifespan)
if "SOCKETS_FIRST" in os.environ:
    app.add_middleware(SocketsFirst, hub=hub)
app.include_router(hub.router)
app.include_router(health_routes(hub))
ended: dict[str, Any] = {}


@app.websocket("/own/echo")
async def echo(websocket: WebSocket) -> None:
    protocols = websocket.scope["subprotocols"]
    await websocket.accept(protocols[0] if protocols else None, headers=[(b"x-own", b"yes")])
    while True:
        message = await websocket.receive()
        if message["type"] == "websocket.disconnect":
            ended[websocket.query_params.get("name", "")] = [message.get("code"), message.get("reason")]
            return
        await websocket.send({**message, "type": "websocket.send"})


@app.get("/own/ended/{name}")
async def who_ended(name: str) -> Any:
    return ended.get(name)


@app.websocket("/own/close")
async def close(websocket: WebSocket, code: int) -> None:
    await websocket.accept()
    await websocket.send_text("before")
    await websocket.close(code, "as you wished")


@app.websocket("/own/reject")
async def reject(websocket: WebSocket) -> None:
    await websocket.close(4003)


@app.websocket("/own/deny")
async def deny(websocket: WebSocket) -> None:
    await websocket.send_denial_response(JSONResponse({"why": "tea"}, 418, headers={"x-own": "yes"}))


@app.websocket("/own/silent")
async def silent(websocket: WebSocket) -> None:
    """Answer nothing."""


@app.websocket("/own/raises")
async def raises(websocket: WebSocket, late: bool = False) -> None:
    if late:
        await websocket.accept()
        await websocket.send_text("before")
    raise ValueError("of the application")


@app.websocket("/own/flood")
async def flood(websocket: WebSocket, messages: int) -> None:
    """Send without asking how the client is."""
    await websocket.accept()
    for _ in range(messages):
        await websocket.send_bytes(os.urandom(65536))
    await websocket.close()
