"""A FastAPI application with a hub, whose clock the test moves and whose clients are of this process."""

import asyncio
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self

import httpx2
from fastapi import FastAPI

from hubbub import Hub, Identity, Limits, TokenExpired
from hubbub.testing import Client, FakeClock, connect
from hubbub.types import UserId

DEADLINE = 5.0


async def authenticate(token: str) -> Identity | None:
    """Take any word for the user of that name; `bad` for none and `old` for one whose time is over."""
    if token == "old":
        raise TokenExpired("The token has expired.")
    return None if token == "bad" else Identity(UserId(token))


class Application:
    """An application that runs. An async context manager; clients that the test does not close are cut at its end."""

    def __init__(self, **options: Any) -> None:
        self.clock = FakeClock()
        self.hub = Hub(**{"authenticate": authenticate, "clock": self.clock, **options})
        self.app = FastAPI(lifespan=self.hub.lifespan)
        self.app.include_router(self.hub.router)
        self.app.include_router(self.hub.api, prefix="/api/v1")
        self._exit = AsyncExitStack()
        self._clients: dict[Client, AsyncExitStack] = {}

    @property
    def node(self) -> Any:
        return self.hub._running

    async def client(self, path: str = "/ws", token: str | None = None, **options: Any) -> Client:
        """Connect."""
        stack = AsyncExitStack()
        client = await stack.enter_async_context(connect(self.app, path, token=token, **options))
        self._clients[client] = stack
        return client

    async def member(self, user: str, room: str) -> Client:
        """Connect a user to a room, and pass over what comes first."""
        client = await self.client(f"/ws/{room}", token=user)
        await client.expect("joined")
        return client

    async def http(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """Make a request."""
        transport = httpx2.ASGITransport(app=self.app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://testserver") as client:
            return await client.request(method, path, **options)

    async def pass_time(self, seconds: float) -> None:
        """Let time pass, and everything happen that is due then."""
        self.clock.advance(seconds)
        self.node.wheel.turn()
        async with asyncio.timeout(DEADLINE):
            await self.node.background.settle()

    async def gone(self, *clients: Client) -> None:
        """Wait until the connections of these clients, or of all, have ended and were cleaned up; cut who is left."""
        for client in clients or tuple(self._clients):
            await self._clients.pop(client).aclose()
        async with asyncio.timeout(DEADLINE):
            await self.node.background.settle()

    async def __aenter__(self) -> Self:
        await self._exit.enter_async_context(self.hub.lifespan(self.app))
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            await self.hang_up()
        finally:
            await self._exit.__aexit__(exc_type, exc, traceback)

    async def hang_up(self) -> None:
        """Cut every client that is left, and wait until its connection has ended."""
        async with AsyncExitStack() as all_of_them:
            while self._clients:
                all_of_them.push_async_exit(self._clients.popitem()[1])


def rooms(application: Application, **policy: Any) -> Any:
    """Define rooms."""
    return application.hub.namespace("room", **{"publish": "subscriber", "presence": True, **policy})


UNLIMITED = Limits(message_rate=0)
