"""Workers that kill themselves between claim, start, finish and store, a few dozen times; by lot, and the lot is told.

``HUBBUB_STRESS_KILLS`` has it do so more often, ``HUBBUB_STRESS_SEED`` as it was done before.
"""

import os
import random

import pytest
from job_processes import Nursery, Stage
from serving import eventually

from hubbub.jobs import Status

KILLS = int(os.environ.get("HUBBUB_STRESS_KILLS", "16"))
PROCESSES = 2
WITHIN = 20.0 + 3.0 * KILLS


@pytest.fixture
def nursery():
    nursery = Nursery()
    yield nursery
    nursery.end()


async def test_whatever_is_killed_each_job_completes_and_is_completed_once(database_url, tmp_path, nursery):
    seed = int(os.environ.get("HUBBUB_STRESS_SEED", random.randrange(10**6)))
    print(f"HUBBUB_STRESS_SEED={seed}")
    async with Stage(database_url, tmp_path, nursery) as stage:
        made = [await stage.enqueue("step", seconds=0.01 * (number % 3)) for number in range(100)]
        workers = [
            await stage.process(kills=KILLS // PROCESSES, seed=seed + number, is_awaited=False)
            for number in range(PROCESSES)
        ]

        async def is_over() -> bool:
            counts = await stage.jobs.counts()
            if sum(counts[status] for status in (Status.PENDING, Status.RUNNING)) < 20:
                made.extend([await stage.enqueue("step", seconds=0.01) for _ in range(50)])
            return all("kills done" in worker.said for worker in workers)

        await eventually(is_over, within=WITHIN, seen=lambda: "\n".join(worker.said for worker in workers))

        async def is_done() -> bool:
            return (await stage.jobs.counts())[Status.COMPLETED] == len(made)

        await eventually(is_done, within=60)
        lines = stage.ledger.lines()
        ended = {(job, attempt, pid) for word, job, attempt, pid in lines if word == "end"}
        begun = [job for word, job, _, _ in lines if word == "begin"]
        for job_id in made:
            job = await stage.jobs.get(job_id)
            pid, attempt = (int(part) for part in job.result.split())
            assert attempt == job.attempt, "only the latest attempt's result is stored"
            assert (job_id, attempt, pid) in ended
            assert 1 <= begun.count(job_id) <= job.attempt
        # What was repeated is what the dead ones held, and nothing else.
        assert len(begun) - len(made) <= KILLS * 10
