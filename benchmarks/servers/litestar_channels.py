"""Litestar's channels plugin with its memory backend: encoded once, a subscription and a task for each connection.

Run it with `uvicorn --app-dir benchmarks/servers litestar_channels:app`.
"""

from contextlib import AsyncExitStack

from litestar import Litestar, WebSocket, websocket
from litestar.channels import ChannelsPlugin
from litestar.channels.backends.memory import MemoryChannelsBackend
from litestar.exceptions import WebSocketDisconnect
from messages import joined, message, welcome


@websocket("/ws")
async def chat(socket: WebSocket, channels: ChannelsPlugin) -> None:
    await socket.accept()
    await socket.send_json(welcome("u"))
    async with AsyncExitStack() as stack:
        try:
            while True:
                command = await socket.receive_json()
                room_id = command["room_id"]
                if command["type"] == "join_room":
                    subscriber = await stack.enter_async_context(channels.start_subscription([room_id]))
                    await stack.enter_async_context(subscriber.run_in_background(socket.send_text))
                    await socket.send_json(joined(room_id))
                else:
                    channels.publish(message(room_id, "u", command["content"]), room_id)
        except WebSocketDisconnect:
            pass


app = Litestar(
    [chat], plugins=[ChannelsPlugin(backend=MemoryChannelsBackend(), arbitrary_channels_allowed=True)]
)
