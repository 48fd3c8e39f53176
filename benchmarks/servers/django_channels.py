"""Django Channels: a consumer for each connection, groups as rooms; with `REDIS_URL` its layer is channels_redis's.

The layer's capacity is raised from its default of 100 messages a channel, over which it drops them without a word.

Run it with `uvicorn --app-dir benchmarks/servers django_channels:app`.
"""

import os
from typing import Any

import django
from django.conf import settings

CAPACITY = 10_000
redis_url = os.environ.get("REDIS_URL")
layer = (
    {
        "BACKEND": "channels_redis.core.RedisChannelLayer",
        "CONFIG": {"hosts": [redis_url], "capacity": CAPACITY},
    }
    if redis_url
    else {"BACKEND": "channels.layers.InMemoryChannelLayer", "CONFIG": {"capacity": CAPACITY}}
)
settings.configure(ALLOWED_HOSTS=["*"], SECRET_KEY="for nothing", CHANNEL_LAYERS={"default": layer})
django.setup()

from channels.generic.websocket import AsyncJsonWebsocketConsumer  # noqa: E402 (needs the settings)
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from django.urls import path  # noqa: E402
from messages import joined, message, welcome  # noqa: E402


class Chat(AsyncJsonWebsocketConsumer):
    async def connect(self) -> None:
        self.rooms: set[str] = set()
        await self.accept()
        await self.send_json(welcome(self.channel_name))

    async def disconnect(self, code: int) -> None:
        for room_id in self.rooms:
            await self.channel_layer.group_discard(room_id, self.channel_name)

    async def receive_json(self, content: dict[str, Any]) -> None:
        room_id = content["room_id"]
        if content["type"] == "join_room":
            self.rooms.add(room_id)
            await self.channel_layer.group_add(room_id, self.channel_name)
            await self.send_json(joined(room_id))
        else:
            event = {
                "type": "chat.message",
                "message": message(room_id, self.channel_name, content["content"]),
            }
            await self.channel_layer.group_send(room_id, event)

    async def chat_message(self, event: dict[str, Any]) -> None:
        await self.send_json(event["message"])


app = ProtocolTypeRouter({"websocket": URLRouter([path("ws", Chat.as_asgi())])})
