"""Two applications in one process, each with a hub, tokens and rooms of its own."""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from fastapi import FastAPI

from hubbub import Hub, JWTAuthenticator


def shop(name: str) -> tuple[FastAPI, Hub]:
    hub = Hub(authenticate=JWTAuthenticator(os.environ["SECRET_KEY"], audience=name))
    hub.namespace("room", publish="subscriber", presence=True)
    application = FastAPI()
    application.include_router(hub.router)

    @application.get("/state")
    async def state() -> dict[str, Any]:
        return {"connections": hub.connections, "channels": hub.channels}

    return application, hub


tea, tea_hub = shop("tea")
coffee, coffee_hub = shop("coffee")


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(tea_hub.lifespan(tea))
        await stack.enter_async_context(coffee_hub.lifespan(coffee))
        yield


app = FastAPI(lifespan=lifespan)
app.mount("/tea", tea)
app.mount("/coffee", coffee)


@app.get("/readyz")
@app.get("/healthz")
async def healthy() -> dict[str, str]:
    return {"status": "ok"}
