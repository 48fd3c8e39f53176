"""SAQ, on PostgreSQL or Redis, with its own defaults."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from job_roles import PLACES, STORE, begun, in_flight, run
from saq import Queue, Worker

queue = Queue.from_url(STORE)


async def trivial(ctx: dict[str, Any], *, number: int) -> None:
    begun(number)


class SaqJobs:
    async def prepare(self) -> None:
        """Its queue makes its tables when it connects."""

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[None]:
        await queue.connect()
        yield
        await queue.disconnect()

    async def work(self) -> None:
        await Worker(queue, [trivial], concurrency=PLACES).start()

    async def enqueue(self, number: int) -> object:
        return await queue.enqueue("trivial", number=number)

    async def fill(self, count: int) -> None:
        await in_flight(self.enqueue, range(count))

    async def unfinished(self) -> int:
        return await queue.count("incomplete")


if __name__ == "__main__":
    run(SaqJobs())
