"""python-socketio with its own rooms, as an ASGI application under uvicorn, over WebSocket.

With `REDIS_URL` its processes share rooms by its Redis manager.

Run it with `uvicorn --app-dir benchmarks/servers python_socketio:app`.
"""

import os
from typing import Any

import socketio
from messages import message

redis_url = os.environ.get("REDIS_URL")
manager = socketio.AsyncRedisManager(redis_url) if redis_url else None
server = socketio.AsyncServer(async_mode="asgi", transports=["websocket"], client_manager=manager)
app = socketio.ASGIApp(server)


@server.on("join_room")
async def join_room(sid: str, data: dict[str, Any]) -> None:
    await server.enter_room(sid, data["room_id"])
    await server.emit("joined", {"room_id": data["room_id"]}, to=sid)


@server.on("message")
async def publish(sid: str, data: dict[str, Any]) -> None:
    room_id = data["room_id"]
    await server.emit("message", message(room_id, sid, data["content"]), room=room_id)
