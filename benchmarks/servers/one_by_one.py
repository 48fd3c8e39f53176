"""The connection manager of most FastAPI projects: it awaits each socket in turn.

Run it with `uvicorn --app-dir benchmarks/servers one_by_one:app`.
"""

from collections import defaultdict
from typing import Annotated, Any

from fastapi import Depends, FastAPI, WebSocket, WebSocketDisconnect
from messages import joined, message, welcome
from tokens import identify

app = FastAPI()


class ConnectionManager:
    def __init__(self) -> None:
        self.rooms: dict[str, list[WebSocket]] = defaultdict(list)

    def join(self, room_id: str, socket: WebSocket) -> int:
        self.rooms[room_id].append(socket)
        return len(self.rooms[room_id])

    def leave(self, socket: WebSocket) -> None:
        for sockets in self.rooms.values():
            if socket in sockets:
                sockets.remove(socket)

    async def broadcast(self, room_id: str, data: dict[str, Any]) -> None:
        for socket in list(self.rooms[room_id]):
            try:
                await socket.send_json(data)
            except (WebSocketDisconnect, RuntimeError):  # it has gone; its own endpoint removes it
                continue


manager = ConnectionManager()


@app.websocket("/ws")
async def chat(socket: WebSocket, user_id: Annotated[str, Depends(identify)]) -> None:
    await socket.accept()
    await socket.send_json(welcome(user_id))
    try:
        while True:
            command = await socket.receive_json()
            room_id = command["room_id"]
            if command["type"] == "join_room":
                await socket.send_json(joined(room_id, manager.join(room_id, socket)))
            elif command["type"] == "message":
                await manager.broadcast(room_id, message(room_id, user_id, command["content"]))
    except WebSocketDisconnect:
        manager.leave(socket)
