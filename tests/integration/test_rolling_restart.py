"""`hubbub serve --workers 3` on Redis, rolled under load: nothing is lost, and no request fails."""

import asyncio
import json
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from members import connected, fresh
from redis_servers import redis_server
from serving import SECRET, Serving, bearer, eventually, process
from websockets.exceptions import ConnectionClosed

WORKERS = 3
MEMBERS = 60
LAST = "last"


@dataclass
class Reader:
    """A member of a room who goes where the server sends them, with their position."""

    serving: Serving
    room: str
    heard: list[str] = field(default_factory=list)
    since: dict[str, Any] | None = None
    connections: int = 0
    joined: asyncio.Event = field(default_factory=asyncio.Event)

    async def read(self) -> None:
        """Read until the last word."""
        user = fresh("reader")
        while LAST not in self.heard:
            try:
                await self._connection(user)
            except ConnectionClosed as closed:
                if closed.rcvd is None or closed.rcvd.code != 1012:  # it was lost
                    raise

    async def _connection(self, user: str) -> None:
        async with connected(self.serving, user) as member:
            joined = await member.join(self.room, **({} if self.since is None else {"since": self.since}))
            self.connections += 1
            if self.since is not None:
                assert joined["recovered"] is True
            for message in joined["messages"]:
                self._take(message, joined["epoch"])
            self.since = self.since or {"epoch": joined["epoch"], "offset": joined["offset"]}
            self.joined.set()
            leave_at: float | None = None
            while LAST not in self.heard:
                left = None if leave_at is None else leave_at - time.monotonic()
                try:
                    message = json.loads(await asyncio.wait_for(member.connection.recv(), left))
                except TimeoutError:
                    return
                if message["type"] == "reconnect":
                    leave_at = time.monotonic() + message["after"]
                elif message["type"] == "message":
                    self._take(message, joined["epoch"])
                else:
                    assert message["type"] in {"user_joined", "user_left", "ping"}, message

    def _take(self, message: dict[str, Any], epoch: str) -> None:
        self.heard.append(message["content"])
        self.since = {"epoch": epoch, "offset": message["offset"], "id": message["id"]}


@dataclass
class Publisher:
    """Publishes over HTTP, without a pause, until it is told to end."""

    serving: Serving
    room: str
    said: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    over: bool = False

    async def publish(self) -> None:
        headers = bearer("root", scope="admin")
        async with httpx2.AsyncClient(
            base_url=self.serving.url, headers=headers, trust_env=False, timeout=10
        ) as client:
            while not self.over:
                await self._say(client, str(len(self.said)))
                await asyncio.sleep(0.02)  # a pace; nothing waits for it
            await self._say(client, LAST)

    async def _say(self, client: httpx2.AsyncClient, content: str) -> None:
        body = {"event": "message", "data": {"content": content}}
        try:
            response = await client.post(f"/api/v1/channels/room:{self.room}/publish", json=body)
        except httpx2.HTTPError as error:
            self.failures.append(repr(error))
        else:
            if response.status_code == 200:
                self.said.append(content)
            else:
                self.failures.append(f"{response.status_code} {response.text}")


async def test_a_rolling_restart_loses_nothing(tmp_path: Path):
    room = fresh("room")
    command = [sys.executable, "-m", "hubbub", "serve", "--port", "{port}", "--workers", str(WORKERS)]
    async with redis_server(tmp_path) as redis:
        settings = {"REDIS_URL": redis.url, "SECRET_KEY": SECRET, "DATA_DIR": str(tmp_path / "data")}
        environment = {f"HUBBUB_{name}": value for name, value in settings.items()}
        with process(command, tmp_path, environment) as serving:
            await eventually(lambda: "is ready: " in serving.said, within=30)
            readers = [Reader(serving, room) for _ in range(MEMBERS)]
            reading = [asyncio.create_task(reader.read()) for reader in readers]
            await asyncio.gather(*(reader.joined.wait() for reader in readers))
            publisher = Publisher(serving, room)
            publishing = asyncio.create_task(publisher.publish())
            serving.process.send_signal(signal.SIGHUP)
            await eventually(
                lambda: f"Rolled {WORKERS} workers." in serving.said,
                within=60,
                seen=lambda: [task.exception() for task in reading if task.done()],
            )
            publisher.over = True
            async with asyncio.timeout(20):
                await publishing
                await asyncio.gather(*reading)
            assert serving.complaints() == []
            serving.process.terminate()
            assert await asyncio.to_thread(serving.process.wait, 20) == 0
    assert publisher.failures == []
    assert len(publisher.said) > 50
    for reader in readers:
        assert reader.heard == publisher.said
        assert reader.connections > 1
