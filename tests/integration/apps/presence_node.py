"""A node of a cluster as a process of its own, with sessions that its parent asks for on standard input.

It answers each line with one on standard output: ``enter USER ROOM`` opens a connection in a room. What `FATAL` names is
the method of its presence store at whose end it is killed: the departures that were handed out there die with it.
"""

import asyncio
import os
import signal
import sys
from contextlib import AsyncExitStack
from typing import Any

from fastapi import FastAPI

from hubbub import Hub, Identity
from hubbub.brokers.redis import Address, RedisBroker, RedisPresence, Servers
from hubbub.testing import connect
from hubbub.types import UserId

fatal = os.environ.get("FATAL", "")


def say(line: str) -> None:
    os.write(1, f"{line}\n".encode())  # as one: hooks run in threads


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Mortal(RedisPresence):
    async def expire(self, *arguments: Any) -> Any:
        changes = await super().expire(*arguments)
        if changes and fatal == "expire":
            die()
        return changes

    async def told(self, *arguments: Any) -> None:
        if fatal == "told":
            die()
        await super().told(*arguments)


async def main() -> None:
    servers = Servers(Address.parse(os.environ["REDIS"]))
    hub = Hub(
        broker=RedisBroker(servers),
        presence=Mortal(servers, claim=2.5),
        authenticate=lambda token: Identity(UserId(token)),
        presence_lease=float(os.environ["LEASE"]),
        presence_grace=float(os.environ["GRACE"]),
    )
    hub.namespace("room", publish="subscriber", presence=True)

    @hub.on_offline
    def offline(user_id: str) -> None:
        say(f"offline {user_id}")

    app = FastAPI(lifespan=hub.lifespan)
    app.include_router(hub.router)
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(hub.lifespan(app))
        say("ready")
        while line := (await lines.readline()).decode():
            _, user, room = line.split()
            client = await stack.enter_async_context(connect(app, f"/ws/{room}", token=user))
            await client.expect("joined")
            say(f"entered {user} {room}")


asyncio.run(main())
