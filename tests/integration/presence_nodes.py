"""Nodes of one cluster: in the test's own process, with somebody who listens, or in processes that can be killed."""

import asyncio
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from serving import eventually

from hubbub import Hub, Identity
from hubbub.brokers.redis import Address, RedisBroker, RedisPresence, Servers
from hubbub.hub.presence import Change
from hubbub.testing import Client, connect
from hubbub.types import UserId

PROGRAM = Path(__file__).parent / "apps" / "presence_node.py"
ROOM = "room:a"
DEADLINE = 20.0


class Presence(RedisPresence):
    """One that ends nothing while the test wants another node to."""

    sweeps = True

    async def expire(self, *arguments: Any) -> list[Change]:
        return await super().expire(*arguments) if self.sweeps else []


class HubNode:
    """A hub in this process."""

    def __init__(self, url: str, *, lease: float, grace: float, claim: float = 2.5) -> None:
        self.servers = Servers(Address.parse(url))
        self.presence = Presence(self.servers, claim=claim)
        self.hub = Hub(
            broker=RedisBroker(self.servers),
            presence=self.presence,
            authenticate=lambda token: Identity(UserId(token)),
            presence_lease=lease,
            presence_grace=grace,
        )
        self.hub.namespace("room", publish="subscriber", presence=True)
        self.offline: list[str] = []
        self.hub.on_offline(self._gone)
        self.app = FastAPI(lifespan=self.hub.lifespan)
        self.app.include_router(self.hub.router)
        self._clients: dict[Client, AsyncExitStack] = {}
        self.listener: Client | None = None
        self.heard: list[tuple[str, str, int]] = []
        self._markers = 0

    def _gone(self, user_id: str) -> None:
        self.offline.append(user_id)

    @property
    def attendance(self) -> Any:
        return self.hub._running.attendance

    async def client(self, user: str, room: str = "a") -> Client:
        """Connect a user to a room."""
        stack = AsyncExitStack()
        client = await stack.enter_async_context(connect(self.app, f"/ws/{room}", token=user))
        self._clients[client] = stack
        await client.expect("joined")
        return client

    async def leave(self, client: Client) -> None:
        """Say goodbye."""
        await client.close()
        await self._clients.pop(client).aclose()

    async def cut(self, client: Client) -> None:
        """Vanish."""
        await self._clients.pop(client).aclose()

    async def listen(self, user: str) -> None:
        """Have somebody in the room who hears who comes and goes."""
        self.listener = await self.client(user)

    def news(self) -> list[tuple[str, str, int]]:
        """Return all that the listener has heard of comings and goings until now."""
        assert self.listener is not None
        for message in self.listener.waiting():
            if message["type"] in {"user_joined", "user_left"}:
                kind = message["type"].removeprefix("user_")
                self.heard.append((kind, message["user_id"], message["active_users"]))
        return self.heard

    def count(self) -> Counter[tuple[str, str]]:
        """Return how often each coming and going was heard."""
        return Counter((kind, user) for kind, user, _ in self.news())

    async def quiet(self) -> None:
        """Return when this node has nothing left to tell, or to do."""
        attendance, background = self.attendance, self.hub._running.background

        def is_quiet() -> bool:
            if background:
                return False
            waiting = (attendance._announcer, attendance._news, attendance._offline, attendance._receipts)
            return not any(map(len, waiting))

        await eventually(is_quiet, within=DEADLINE, every=0.01)

    async def users(self, room: str = ROOM) -> set[str]:
        return set((await self.hub.presence(room)).users)

    async def close(self) -> None:
        for stack in self._clients.values():
            await stack.aclose()


@asynccontextmanager
async def hubs(url: str, count: int = 2, **options: Any) -> AsyncIterator[list[HubNode]]:
    """Run some, each with a listener: zoe0, zoe1 …, who know of each other."""
    nodes = [HubNode(url, **{"lease": 30.0, "grace": 5.0, **options}) for _ in range(count)]
    async with AsyncExitStack() as stack:
        for node in nodes:
            await stack.enter_async_context(node.hub.lifespan(node.app))
            stack.push_async_callback(node.close)
        for number, node in enumerate(nodes):
            await node.listen(f"zoe{number}")
        for node in nodes:
            await node.quiet()
        await all_heard(nodes)
        for node in nodes:
            node.heard.clear()
        yield nodes


async def all_heard(nodes: list[HubNode]) -> None:
    """Return when everything that was told until now has reached every listener."""
    for node in nodes:
        await node.quiet()
    for number, node in enumerate(nodes):
        await node.hub.publish(ROOM, "marker", number)
    for node in nodes:
        node._markers += len(nodes)
        reader = node.listener
        assert reader is not None
        seen = 0
        async with asyncio.timeout(DEADLINE):
            while seen < len(nodes):
                message = await reader.receive(DEADLINE)
                if message["type"] in {"user_joined", "user_left"}:
                    kind = message["type"].removeprefix("user_")
                    node.heard.append((kind, message["user_id"], message["active_users"]))
                elif message["type"] == "event" and message["event"] == "marker":
                    seen += 1


@dataclass
class NodeProcess:
    """A node that can be killed, stopped and let go on."""

    child: asyncio.subprocess.Process
    said: list[str] = field(default_factory=list)

    async def enter(self, user: str, room: str = "a") -> None:
        """Connect a user to a room."""
        assert self.child.stdin is not None
        self.child.stdin.write(f"enter {user} {room}\n".encode())
        await self.wait_for(f"entered {user} {room}")

    async def wait_for(self, line: str) -> None:
        await eventually(lambda: line in self.said, within=DEADLINE, every=0.01, seen=lambda: self.said)

    async def kill(self) -> None:
        self.child.kill()
        await self.child.wait()

    def pause(self) -> None:
        os.kill(self.child.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, self.child.pid, os.WSTOPPED)

    def resume(self) -> None:
        os.kill(self.child.pid, signal.SIGCONT)


@asynccontextmanager
async def node_process(
    url: str, *, lease: float, grace: float = 0.5, fatal: str = ""
) -> AsyncIterator[NodeProcess]:
    """Run one until the block is left."""
    own = {"REDIS": url, "LEASE": str(lease), "GRACE": str(grace), "FATAL": fatal, "PYTHONUNBUFFERED": "1"}
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        str(PROGRAM),
        env={**os.environ, **own},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    node = NodeProcess(child)

    async def read() -> None:
        assert child.stdout is not None
        while line := await child.stdout.readline():
            node.said.append(line.decode().strip())

    reading = asyncio.create_task(read())
    try:
        await node.wait_for("ready")
        yield node
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()
        await reading
