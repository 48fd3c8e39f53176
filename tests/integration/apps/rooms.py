"""A user's application with rooms, under plain uvicorn; its owner chose limits by the variable HUB."""

import asyncio
import gc
import json
import os
from collections import Counter
from typing import Any

from fastapi import FastAPI

from hubbub import ConnectionsPolicy, Hub, JWTAuthenticator, Limits
from hubbub.server.metrics import metrics_routes

chosen: dict[str, Any] = json.loads(os.environ.get("HUB", "{}"))
room: dict[str, Any] = json.loads(os.environ.get("ROOM", "{}"))
limits = chosen.pop("limits", {})
if "connections_policy" in limits:
    limits["connections_policy"] = ConnectionsPolicy(limits["connections_policy"])
leeway = chosen.get("leeway", 30.0)

hub = Hub(
    authenticate=JWTAuthenticator(os.environ["SECRET_KEY"], leeway=leeway), limits=Limits(**limits), **chosen
)
hub.namespace("room", publish="subscriber", presence=True, **room)
hub.namespace("topic")
gone: list[str] = []


@hub.on_offline
async def offline(user_id: str) -> None:
    gone.append(user_id)


app = FastAPI(lifespan=hub.lifespan)
app.include_router(hub.router)
app.include_router(hub.api, prefix="/api/v1")
app.include_router(metrics_routes(hub))


@app.get("/healthz")
@app.get("/readyz")
async def healthy() -> dict[str, str]:
    return {"status": "ok"}


@app.get("/objects")
async def objects() -> dict[str, Any]:
    """Count what is alive after a full collection."""
    gc.collect()
    alive = Counter(
        f"{type(each).__module__}.{type(each).__qualname__}"
        for each in gc.get_objects()
        if str(type(each).__module__).startswith(("hubbub", "uvicorn", "websockets"))
    )
    return {"total": len(gc.get_objects()), "tasks": len(asyncio.all_tasks()), "alive": alive}


@app.post("/publish/{channel}")
async def publish(channel: str, data: dict[str, Any]) -> dict[str, Any]:
    position = await hub.publish(channel, "event", data)
    return {"offset": position.offset}


@app.get("/offline")
async def who_went_offline() -> list[str]:
    return gone


@app.get("/online/{user_id}")
async def is_online(user_id: str) -> bool:
    return user_id in await hub.online({user_id})
