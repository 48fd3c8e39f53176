"""Who is looked at again, when, and when not."""

from dataclasses import replace

import pytest

from hubbub.exceptions import Unavailable
from hubbub.jobs import JobView, Status, UnknownJob
from hubbub.jobs.settling import Settling

JOB = JobView(
    "j-1", "demo", Status.PENDING, "ada", None, 0, {}, 0, 4, 0, None, None, None, False, 0, 7, None, None
)
RUNNING = replace(JOB, status=Status.RUNNING, attempt=1, started=1)
DONE = replace(RUNNING, status=Status.COMPLETED, finished=2)


class Jobs:
    """Holds one job, or an error."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = 0
        self.meanwhile = None

    async def get(self, job_id):
        self.asked += 1
        if self.meanwhile is not None:
            self.meanwhile()
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


class Stage:
    def __init__(self, *answers):
        self.jobs = Jobs(*answers)
        self.told = []
        self.settling = Settling(self.jobs, self.told.append)


@pytest.mark.parametrize("there", [DONE, replace(RUNNING, attempt=2), replace(RUNNING, is_cancelling=True)])
async def test_what_stands_otherwise_is_told_once(there):
    stage = Stage(there)
    stage.settling.told(RUNNING)
    await stage.settling.look(60.0)
    assert stage.jobs.asked == 0  # its time has not come
    await stage.settling.look(0.0)
    await stage.settling.look(0.0)
    assert (stage.told, stage.jobs.asked) == ([there], 1)


async def test_progress_is_not_told_again():
    stage = Stage(replace(RUNNING, progress=30))
    stage.settling.told(replace(RUNNING, progress=40))
    await stage.settling.look(0.0)
    assert stage.told == []


async def test_after_a_completion_there_is_nothing_to_look_at():
    stage = Stage()
    stage.settling.told(RUNNING)
    stage.settling.told(DONE)
    await stage.settling.look(0.0)
    assert stage.jobs.asked == 0


@pytest.mark.parametrize(("there", "told"), [(JOB, [JOB]), (RUNNING, []), (DONE, [])])
async def test_what_waits_is_told_of_if_it_still_does(there, told):
    stage = Stage(there)
    stage.settling.waits(JOB)
    await stage.settling.look(0.0)
    assert stage.told == told


async def test_while_the_jobs_are_away_they_are_asked_again():
    stage = Stage(Unavailable("away"), DONE)
    stage.settling.told(RUNNING)
    await stage.settling.look(0.0)
    await stage.settling.look(0.0)
    assert stage.told == [DONE]


async def test_a_job_that_was_deleted_is_forgotten():
    stage = Stage(UnknownJob("j-1"))
    stage.settling.told(RUNNING)
    await stage.settling.look(0.0)
    await stage.settling.look(0.0)
    assert stage.jobs.asked == 1


async def test_what_this_process_told_meanwhile_counts():
    stage = Stage(DONE, DONE)
    stage.settling.told(RUNNING)
    stage.jobs.meanwhile = lambda: stage.settling.told(replace(RUNNING, attempt=2))
    await stage.settling.look(0.0)
    assert stage.told == []
    stage.jobs.meanwhile = None
    await stage.settling.look(0.0)
    assert stage.told == [DONE]


async def test_there_is_a_bound(monkeypatch):
    monkeypatch.setattr("hubbub.jobs.settling.MOST", 2)
    stage = Stage(DONE, DONE)
    for number in range(3):
        stage.settling.told(replace(RUNNING, id=f"j-{number}"))
    await stage.settling.look(0.0)
    assert stage.jobs.asked == 2
