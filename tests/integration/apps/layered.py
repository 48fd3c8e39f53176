"""A user's application with middleware in front of everything, and the hub under a prefix."""

import os
from collections.abc import Awaitable, Callable

from fastapi import FastAPI, Request, Response
from fastapi.middleware.cors import CORSMiddleware
from fastapi.middleware.gzip import GZipMiddleware
from starlette.middleware.base import BaseHTTPMiddleware

from hubbub import Hub, JWTAuthenticator

hub = Hub(
    authenticate=JWTAuthenticator(os.environ["SECRET_KEY"]), allowed_origins=["https://app.example.com"]
)
hub.namespace("room", publish="subscriber", presence=True)
hub.namespace("topic")


async def stamp(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    response = await call_next(request)
    response.headers["x-stamp"] = request.url.path
    return response


app = FastAPI(lifespan=hub.lifespan)
app.add_middleware(BaseHTTPMiddleware, dispatch=stamp)
app.add_middleware(GZipMiddleware, minimum_size=100)
app.add_middleware(
    CORSMiddleware,
    allow_origins=["https://app.example.com", "https://other.example.com"],
    allow_credentials=True,
    allow_methods=["*"],
    allow_headers=["*"],
)
app.include_router(hub.router, prefix="/realtime/v1")
app.include_router(hub.api, prefix="/api/v1")


@app.get("/readyz")
@app.get("/healthz")
async def healthy() -> dict[str, str]:
    return {"status": "ok"}


@app.get("/many")
async def many() -> dict[str, str]:
    return {"text": "hubbub " * 500}
