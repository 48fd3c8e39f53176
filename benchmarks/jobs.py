"""How fast background jobs are: how soon one begins, and how many trivial ones are done in a second.

python benchmarks/jobs.py                                     SQLite, in a folder of its own
python benchmarks/jobs.py postgresql://user@127.0.0.1/empty   PostgreSQL, with one and four processes; the database is filled
"""

import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from sqlalchemy import delete, text

from hubbub.database import Database
from hubbub.database.schema import migrate
from hubbub.hub.ids import SecretIds
from hubbub.jobs import Jobs, Status
from hubbub.jobs.job import Draft
from hubbub.jobs.sql.tables import jobs as table

JOBS = 6000
SAMPLES = 300
CONCURRENCY = 20


def application(database: Database, concurrency: int, begun: "asyncio.Queue[float] | None" = None) -> Jobs:
    jobs = Jobs(database, concurrency=concurrency)

    @jobs.task(name="trivial")
    async def trivial(number: int) -> int:
        if begun is not None:
            begun.put_nowait(time.perf_counter())
        return number

    return jobs


def shown(what: str, times: list[float]) -> None:
    times.sort()
    p50, p99 = (times[int(len(times) * part)] * 1000 for part in (0.5, 0.99))
    print(f"{what}: p50 {p50:.1f} ms, p99 {p99:.1f} ms", flush=True)


async def bare_commits(database: Database) -> None:
    async with database.transaction() as connection:
        await connection.execute(text("CREATE TABLE IF NOT EXISTS bare (number integer)"))
    times = []
    for number in range(SAMPLES):
        began = time.perf_counter()
        async with database.transaction() as connection:
            await connection.execute(text("INSERT INTO bare VALUES (:number)"), {"number": number})
        times.append(time.perf_counter() - began)
    shown("a bare commit", times)


async def pick_up(url: str) -> None:
    begun: asyncio.Queue[float] = asyncio.Queue()
    async with Database(url) as database:
        jobs = application(database, CONCURRENCY, begun)
        async with jobs:
            task = jobs.tasks["trivial"]
            called, returned = [], []
            for number in range(SAMPLES):
                await asyncio.sleep(0.01)
                before = time.perf_counter()
                await task.enqueue(number)
                after = time.perf_counter()
                at = await begun.get()
                called.append(at - before)
                returned.append(max(0.0, at - after))
            shown("from calling enqueue to the first line of the task", called)
            shown("from its commit to the first line of the task", returned)


async def fill(database: Database, number: int) -> None:
    jobs = application(database, 0)
    ids = SecretIds()
    async with database.transaction() as connection:
        await connection.execute(delete(table))
    drafts = [Draft(ids.new(), "trivial", f'{{"number":{each}}}') for each in range(number)]
    async with jobs:
        await jobs.engine.enqueue(drafts)


async def enqueue_rate(url: str) -> None:
    async with Database(url) as database:
        jobs = application(database, 0)
        task = jobs.tasks["trivial"]
        async with jobs:
            began = time.perf_counter()
            for start in range(0, 2000, 50):
                await asyncio.gather(*(task.enqueue(start + number) for number in range(50)))
            print(
                f"enqueued one by one, 50 at once: {2000 / (time.perf_counter() - began):.0f}/s", flush=True
            )


async def throughput(url: str, processes: int) -> float:
    """Return how many jobs are done in a second, from the first beginning to the last end."""
    async with Database(url) as database:
        await fill(database, JOBS)
        with ExitStack() as stack:
            for _ in range(processes):
                child = subprocess.Popen([sys.executable, __file__, "--work", url])  # noqa: ASYNC220
                stack.callback(child.wait)
                stack.callback(child.terminate)
            watching = application(database, 0)
            async with watching:
                while (await watching.counts())[Status.COMPLETED] < JOBS:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            async with database.reading() as connection:
                first, last = (
                    await connection.execute(text("SELECT min(started), max(finished) FROM hubbub_jobs"))
                ).one()
    rate = JOBS / ((last - first) / 1000)
    print(f"{JOBS} trivial jobs in {processes} process(es): {rate:.0f}/s", flush=True)
    return rate


async def work(url: str) -> None:
    async with Database(url) as database, application(database, CONCURRENCY):
        await asyncio.Event().wait()


async def measure(url: str, processes: tuple[int, ...]) -> None:
    print(url.partition(":")[0])
    async with Database(url) as database:
        await migrate(database)
        await bare_commits(database)
    await pick_up(url)
    await enqueue_rate(url)
    for number in processes:
        rates = [await throughput(url, number) for _ in range(3)]
        print(f"median with {number} process(es): {statistics.median(rates):.0f}/s", flush=True)


def main() -> None:
    match sys.argv[1:]:
        case ["--work", url]:
            asyncio.run(work(url))
        case [url]:
            asyncio.run(measure(url, (1, 4)))
        case _:
            with tempfile.TemporaryDirectory() as folder:
                asyncio.run(measure(f"sqlite:///{Path(folder) / 'jobs.db'}", (1,)))


if __name__ == "__main__":
    main()
