"""`hubbub worker`: a process that only runs jobs, beside a server that runs none, on one PostgreSQL and one Redis."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from members import connected
from server_process import environment, hubbub
from serving import SECRET, bearer, eventually, hubbub_serve

TASKS = "/api/v1/tasks/"


@dataclass
class Worker:
    """A `hubbub worker` that runs."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def said(self) -> str:
        return self.log.read_text(errors="replace")

    async def ready(self) -> "Worker":
        await eventually(lambda: "Running background jobs" in self.said, within=30, seen=lambda: self.said)
        return self

    async def stop(self) -> int:
        """Send SIGTERM; return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return await asyncio.to_thread(self.process.wait, 30)


@contextmanager
def worker(folder: Path, name: str, **settings: str) -> Iterator[Worker]:
    log = folder / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "hubbub", "worker", "--concurrency", "2"],
            cwd=folder,
            env={**environment(**settings), "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        yield Worker(process, log)
    finally:
        process.kill()
        process.wait(30)


@pytest.fixture
async def settings(shared_postgres, redis, tmp_path):
    """What a server and its workers share."""
    await shared_postgres.ready()
    shared = {"DATABASE_URL": await shared_postgres.new_database(), "REDIS_URL": redis.url}
    code, output, errors = await hubbub(tmp_path, "migrate", **shared)
    assert code == 0, output + errors
    return shared


@pytest.fixture
def server(settings, tmp_path):
    """A server that runs no jobs."""
    with hubbub_serve(tmp_path / "serve", SECRET_KEY=SECRET, JOBS_CONCURRENCY="0", **settings) as serving:
        yield serving


async def start(server, **params):
    response = await server.request(
        "POST", TASKS, headers=bearer("ada"), json={"kind": "demo", "params": params}
    )
    assert response.status_code == 202, response.text
    return response.json()["id"]


async def stored(server, job_id):
    return (await server.get(TASKS + job_id, headers=bearer("ada"))).json()


async def beginnings(server, job_id):
    """How often it was begun."""
    lines = (await server.get(f"{TASKS}{job_id}/logs", headers=bearer("ada"))).json()["lines"]
    return len(lines)


async def watching(ada, job_id):
    await ada.send({"type": "subscribe", "channel": f"job:{job_id}"})
    await ada.expect("subscribed")


async def job_that(ada, condition):
    """Return the first update that is so."""
    async with asyncio.timeout(30):
        while True:
            job = (await ada.expect("job", within=30))["data"]
            if condition(job):
                return job


async def test_a_worker_runs_what_a_server_was_asked_for_and_progress_arrives_there(
    server, settings, tmp_path
):
    async with connected(server, "ada") as ada:
        job_id = await start(server, steps=10, seconds=2)
        await watching(ada, job_id)
        assert (await stored(server, job_id))["status"] == "pending"
        with worker(tmp_path, "worker", **settings) as one:
            running = await job_that(ada, lambda job: job["progress"] > 0)
            assert (running["status"], running["attempt"]) == ("running", 1)
            done = await job_that(ada, lambda job: job["status"] != "running")
            assert (done["status"], done["progress"], done["result"]) == ("completed", 100, {"steps": 10})
            other = await start(server, steps=100, seconds=100)
            await eventually(lambda: status(server, other, "running"))
            await watching(ada, other)
            await server.request("POST", f"{TASKS}{other}/cancel", headers=bearer("ada"))
            cancelled = await job_that(ada, lambda job: job["status"] == "cancelled")
            assert cancelled["id"] == other
            assert await one.stop() == 0
            assert "Stopped." in one.said
            assert "Traceback" not in one.said
    assert server.complaints() == []


async def status(server, job_id, word):
    return (await stored(server, job_id))["status"] == word


async def test_sigterm_lets_a_job_finish_that_can(server, settings, tmp_path):
    async with connected(server, "ada") as ada:
        with worker(tmp_path, "worker", DRAIN_TIME="20s", **settings) as one:
            await one.ready()
            job_id = await start(server, steps=20, seconds=4)
            await watching(ada, job_id)
            await job_that(ada, lambda job: job["progress"] > 0)
            assert await one.stop() == 0
            await job_that(ada, lambda job: job["status"] == "completed")
    assert await beginnings(server, job_id) == 1


async def test_sigterm_hands_over_a_job_that_takes_longer(server, settings, tmp_path):
    async with connected(server, "ada") as ada:
        with (
            worker(tmp_path, "first", DRAIN_TIME="500ms", **settings) as first,
            worker(tmp_path, "second", DRAIN_TIME="500ms", **settings) as second,
        ):
            await first.ready()
            await second.ready()
            job_id = await start(server, steps=20, seconds=6)
            await watching(ada, job_id)
            await job_that(ada, lambda job: job["progress"] >= 10)
            # It runs in one of them, which is asked to end; the one that is left has to be the other.
            holder = await holder_of(first, second)
            await holder.stop()
            done = await job_that(ada, lambda job: job["status"] == "completed")
            assert (done["attempt"], done["result"]) == (1, {"steps": 20})
            assert "Traceback" not in first.said + second.said
    assert await beginnings(server, job_id) == 2


async def holder_of(*workers):
    """Which of them has begun a job; a task's lines stand in its log."""
    return await eventually(lambda: next((each for each in workers if "20 steps in 6 s" in each.said), None))


@pytest.mark.parametrize("database", ["", "sqlite:///jobs.db"])
async def test_without_redis_it_says_why_it_does_not_start(tmp_path, database):
    given = {"DATABASE_URL": database} if database else {}
    code, output, errors = await hubbub(tmp_path, "worker", **given)
    assert (code, output) == (2, "")
    assert "without Redis a server is one process" in errors
    assert "HUBBUB_REDIS_URL" in errors
    assert list(tmp_path.iterdir()) == []
