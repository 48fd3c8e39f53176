"""Workers under their supervisor: killed, rolled and stopped under traffic, and what clients notice of it."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest
from members import connected, fresh
from raw_socket import RawSocket
from redis_servers import RedisServer
from serving import FOLDER, SECRET, Serving, bearer, eventually, process

PROGRAM = FOLDER / "apps" / "supervised.py"
START = 20


Supervised = Callable[..., AbstractContextManager[Serving]]


@pytest.fixture
def supervised(redis: RedisServer) -> Supervised:
    """Run workers under a supervisor, on a Redis."""
    return partial(run_supervised, REDIS_URL=redis.url)


@contextmanager
def run_supervised(folder: Path, workers: int = 2, **settings: str) -> Iterator[Serving]:
    own = {"SECRET_KEY": SECRET, "DATA_DIR": str(folder / "data"), "DRAIN_TIME": "5s", **settings}
    environment = {f"HUBBUB_{name}": value for name, value in own.items()}
    command = [sys.executable, str(PROGRAM), "{port}", str(workers), str(START)]
    with process(command, folder, environment) as serving:
        yield serving


async def all_ready(serving: Serving, workers: int = 2) -> set[int]:
    await eventually(lambda: f"All {workers} workers are ready." in serving.said, within=START)
    return workers_of(serving)


def workers_of(serving: Serving) -> set[int]:
    """Return the processes of the workers."""
    pid = serving.process.pid
    return {int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


class Traffic:
    """Requests without a pause, some on connections that are kept, some on a new one each."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving
        self._over = False
        self.answered = 0
        self.connections = 0
        self.failures: list[str] = []

    async def on_kept_connections(self) -> None:
        async with httpx2.AsyncClient(base_url=self._serving.url, trust_env=False, timeout=10) as client:
            while not self._over:
                await self._request(client)
                await asyncio.sleep(0.01)  # a pace; nothing waits for it

    async def on_new_ones(self) -> None:
        while not self._over:
            async with httpx2.AsyncClient(base_url=self._serving.url, trust_env=False, timeout=10) as client:
                await self._request(client)

    async def slowly(self) -> None:
        """Publish, with a body that takes longer than it takes to answer: there is always one on its way."""

        async def body() -> AsyncIterator[bytes]:
            yield b'{"event":"message",'
            await asyncio.sleep(0.2)
            yield b'"data":{"content":"x"}}'

        headers = {**bearer(fresh("server"), scope="admin"), "Content-Type": "application/json"}
        async with httpx2.AsyncClient(base_url=self._serving.url, trust_env=False, timeout=10) as client:
            while not self._over:
                await self._request(
                    client, "POST", "/api/v1/channels/room:a/publish", content=body(), headers=headers
                )

    async def connecting_only(self) -> None:
        """Connect and hang up."""
        while not self._over:
            try:
                (await RawSocket.connect(self._serving.port)).close()
                self.connections += 1
            except OSError as error:
                self.failures.append(f"connect: {error!r}")
            await asyncio.sleep(0.005)

    async def _request(
        self, client: httpx2.AsyncClient, method: str = "GET", path: str = "/readyz", **options: Any
    ) -> None:
        try:
            response = await client.request(method, path, **options)
        except httpx2.HTTPError as error:
            self.failures.append(repr(error))
        else:
            self.answered += 1
            # A worker that drains answers so on a connection that it has; it is no failure, and no fresh one gets it.
            if response.status_code != 200 and response.headers.get("connection") != "close":
                self.failures.append(f"{response.status_code} {response.text}")

    def finish(self) -> None:
        self._over = True


@asynccontextmanager
async def traffic(serving: Serving, *kinds: str) -> AsyncIterator[Traffic]:
    running = Traffic(serving)
    tasks = [asyncio.create_task(getattr(running, kind)()) for kind in kinds]
    try:
        yield running
    finally:
        running.finish()
        async with asyncio.timeout(30):
            await asyncio.gather(*tasks)


async def test_a_roll_under_traffic_fails_no_request(supervised, tmp_path):
    with supervised(tmp_path) as serving:
        before = await all_ready(serving)
        async with traffic(
            serving, "on_kept_connections", "on_new_ones", "slowly", "slowly", "slowly", "connecting_only"
        ) as requests:
            serving.process.send_signal(signal.SIGHUP)
            await eventually(lambda: "Rolled 2 workers." in serving.said, within=60)
        assert requests.failures == []
        assert requests.answered > 100
        assert workers_of(serving).isdisjoint(before)
        assert len(workers_of(serving)) == 2
        assert serving.complaints() == []


async def test_clients_of_a_rolled_worker_come_back_to_another(supervised, tmp_path):
    with supervised(tmp_path) as serving:
        await all_ready(serving)
        users = [fresh("member") for _ in range(20)]

        async def follow(user: str) -> float:
            """Do as the browser client does; return after how many seconds it was told to come back."""
            async with connected(serving, user) as member:
                await member.join("general")
                entered.append(user)
                after: float = (await member.expect("reconnect", within=60))["after"]
                await asyncio.sleep(after)  # what the server asks for
            async with connected(serving, user) as member:
                await member.join("general")
            return after

        entered: list[str] = []
        following = [asyncio.create_task(follow(user)) for user in users]
        await eventually(lambda: len(entered) == len(users))
        serving.process.send_signal(signal.SIGHUP)
        assert len(set(await asyncio.gather(*following))) > 1
        assert serving.complaints() == []


async def test_a_worker_that_is_killed_is_started_again_and_no_connection_refused(supervised, tmp_path):
    with supervised(tmp_path) as serving:
        before = await all_ready(serving)
        async with traffic(serving, "connecting_only") as connections:
            for killed in sorted(before):
                os.kill(killed, signal.SIGKILL)
                await eventually(lambda killed=killed: f"(process {killed}) ended with -9" in serving.said)
            await eventually(lambda: serving.said.count(") is ready.") == 2, within=START)
        assert connections.failures == []
        assert connections.connections > 20
        await serving.check_health()
        assert workers_of(serving).isdisjoint(before)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_drains_all_of_them_and_ends_with_0(supervised, tmp_path, number):
    with supervised(tmp_path) as serving:
        pids = await all_ready(serving)
        async with connected(serving, fresh("ada")) as ada, connected(serving, fresh("bob")) as bob:
            serving.process.send_signal(number)
            for member in (ada, bob):
                assert (await member.expect("reconnect"))["after"] > 0
                assert (await member.expect_close())[0] == 1012
            assert await asyncio.to_thread(serving.process.wait, 20) == 0
        assert not any(is_alive(pid) for pid in pids)
        assert serving.complaints() == []


async def test_workers_whose_supervisor_was_killed_drain_and_end(supervised, tmp_path):
    with supervised(tmp_path) as serving:
        pids = await all_ready(serving)
        async with connected(serving, fresh("ada")) as ada:
            serving.process.kill()
            await asyncio.to_thread(serving.process.wait, 10)
            assert (await ada.expect("reconnect"))["after"] > 0
            assert (await ada.expect_close())[0] == 1012
        await eventually(lambda: not any(is_alive(pid) for pid in pids), within=20)
        with pytest.raises(ConnectionRefusedError):
            await RawSocket.connect(serving.port)


async def test_a_roll_to_settings_that_cannot_work_keeps_the_old_workers(supervised, tmp_path):
    with supervised(tmp_path) as serving:
        before = await all_ready(serving)
        (tmp_path / "hubbub.toml").write_text("[namespaces.room]\nsubscribe = 7\n")
        serving.process.send_signal(signal.SIGHUP)
        await eventually(lambda: "the old one stays" in serving.said, within=START)
        assert "hubbub: " in serving.said
        assert workers_of(serving) == before
        await serving.check_health()
        (tmp_path / "hubbub.toml").write_text("[namespaces.room]\nhistory_size = 7\n")
        serving.process.send_signal(signal.SIGHUP)
        await eventually(lambda: "Rolled 2 workers." in serving.said, within=60)
        assert workers_of(serving).isdisjoint(before)


async def test_metrics_say_which_worker_they_are_of(supervised, tmp_path):
    with supervised(tmp_path) as serving:
        await all_ready(serving)
        text = (await serving.counts()).text
        assert 'hubbub_connections{worker="' in text
        assert 'process_cpu_seconds_total{worker="' in text
