"""The better hand-made manager: encode once, a queue and a writer task for each connection.

No socket waits for another. The queues have no bound, as in most projects that do this: a member that stops
reading costs memory instead of time.

Run it with `uvicorn --app-dir benchmarks/servers queue_and_writer:app`.
"""

import asyncio
import json
from collections import defaultdict
from typing import Annotated, Any

from fastapi import Depends, FastAPI, WebSocket, WebSocketDisconnect
from messages import joined, message, welcome
from tokens import identify

app = FastAPI()

Queue = asyncio.Queue[str]


class ConnectionManager:
    def __init__(self) -> None:
        self.rooms: dict[str, set[Queue]] = defaultdict(set)

    def join(self, room_id: str, queue: Queue) -> int:
        self.rooms[room_id].add(queue)
        return len(self.rooms[room_id])

    def leave(self, queue: Queue) -> None:
        for queues in self.rooms.values():
            queues.discard(queue)

    def broadcast(self, room_id: str, data: dict[str, Any]) -> None:
        text = encode(data)
        for queue in self.rooms[room_id]:
            queue.put_nowait(text)


manager = ConnectionManager()


def encode(data: dict[str, Any]) -> str:
    return json.dumps(data, separators=(",", ":"))


async def write(socket: WebSocket, queue: Queue) -> None:
    while True:
        await socket.send_text(await queue.get())


@app.websocket("/ws")
async def chat(socket: WebSocket, user_id: Annotated[str, Depends(identify)]) -> None:
    await socket.accept()
    queue: Queue = asyncio.Queue()
    queue.put_nowait(encode(welcome(user_id)))
    writer = asyncio.create_task(write(socket, queue))
    try:
        while True:
            command = await socket.receive_json()
            room_id = command["room_id"]
            if command["type"] == "join_room":
                queue.put_nowait(encode(joined(room_id, manager.join(room_id, queue))))
            elif command["type"] == "message":
                manager.broadcast(room_id, message(room_id, user_id, command["content"]))
    except WebSocketDisconnect:
        pass
    finally:
        manager.leave(queue)
        writer.cancel()
