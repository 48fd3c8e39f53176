"""Hubbub's background jobs, as docs/jobs.md shows them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from job_roles import PLACES, ROLE, RUNS_JOBS, STORE, begun, run
from sqlalchemy import text

from hubbub.database import Database, migrate
from hubbub.jobs import Jobs, Status

database = Database(STORE)
jobs = Jobs(database, concurrency=PLACES if RUNS_JOBS else 0)


@jobs.task()
async def trivial(number: int) -> None:
    begun(number)


class HubbubJobs:
    async def prepare(self) -> None:
        await migrate(STORE)
        async with database.transaction() as connection:
            await connection.execute(text("CREATE TABLE bare (number integer)"))

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[None]:
        async with database:
            if ROLE == "work":
                yield  # entered, the jobs run: that is `work` here
            else:
                async with jobs:
                    yield

    async def work(self) -> None:
        async with jobs:
            await asyncio.Event().wait()

    async def enqueue(self, number: int) -> object:
        return await trivial.enqueue(number)

    async def fill(self, count: int) -> None:
        async with database.transaction() as connection:
            for number in range(count):
                await trivial.using(transaction=connection).enqueue(number)

    async def unfinished(self) -> int:
        counts = await jobs.counts()
        return counts[Status.PENDING] + counts[Status.RUNNING]

    async def bare(self, number: int) -> None:
        async with database.transaction() as connection:
            await connection.execute(text("INSERT INTO bare VALUES (:number)"), {"number": number})


if __name__ == "__main__":
    run(HubbubJobs())
