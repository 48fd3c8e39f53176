"""procrastinate, with as many connections as SAQ's pool has."""

from contextlib import AbstractAsyncContextManager
from typing import Any

from job_roles import PLACES, STORE, begun, run
from procrastinate import App, PsycopgConnector

UNFINISHED = "SELECT count(*) AS number FROM procrastinate_jobs WHERE status IN ('todo', 'doing')"

app = App(connector=PsycopgConnector(conninfo=STORE, min_size=4, max_size=20))


@app.task(name="trivial")
async def trivial(number: int) -> None:
    begun(number)


class ProcrastinateJobs:
    async def prepare(self) -> None:
        async with app.open_async():
            await app.schema_manager.apply_schema_async()

    def connected(self) -> AbstractAsyncContextManager[Any]:
        return app.open_async()

    async def work(self) -> None:
        await app.run_worker_async(concurrency=PLACES)

    async def enqueue(self, number: int) -> object:
        return await trivial.defer_async(number=number)

    async def fill(self, count: int) -> None:
        await trivial.batch_defer_async(*({"number": number} for number in range(count)))

    async def unfinished(self) -> int:
        row = await app.connector.execute_query_one_async(UNFINISHED)
        return int(row["number"])


if __name__ == "__main__":
    run(ProcrastinateJobs())
