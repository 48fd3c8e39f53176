"""What is told of jobs, to whom, and what becomes of it when the broker is away."""

import asyncio
from dataclasses import replace

import pytest

from hubbub import PublishError, UnknownChannel
from hubbub.jobs import JobView, Status, UnknownJob
from hubbub.jobs.live import LiveJobs, is_beginning

JOB = JobView(
    "j-1", "demo", Status.PENDING, "ada", None, 0, {}, 0, 4, 0, None, None, None, False, 0, 7, None, None
)
RUNNING = replace(JOB, status=Status.RUNNING, attempt=1, started=1)


class Jobs:
    """Has its listener told by the test."""

    def listen(self, listener):
        """Nothing comes from here."""

    async def get(self, job_id):
        raise UnknownJob(job_id)


class Hub:
    """Keeps what is published; the first publications end as it is told."""

    def __init__(self, *errors):
        self.errors = list(errors)
        self.published = []
        self.some = asyncio.Event()

    async def publish(self, channel, event, data, *, idempotency_key=None):
        await asyncio.sleep(0)
        self.some.set()
        error = self.errors.pop(0) if self.errors else None
        if error is not None:
            raise error
        self.published.append((channel, data["status"], data["progress"], idempotency_key))
        self.last = data


async def test_a_beginning_is_told_to_the_owner_too():
    hub = Hub()
    async with LiveJobs(hub, Jobs()) as live:
        live.changed(JOB)
        await hub.some.wait()
        live.changed(replace(RUNNING, progress=50))
    assert hub.published == [
        ("user:ada", "pending", 0, "job:j-1:7"),
        ("job:j-1", "running", 50, None),
    ]


async def test_only_the_latest_counts():
    hub = Hub()
    async with LiveJobs(hub, Jobs()) as live:
        for progress in range(100):
            live.changed(replace(RUNNING, progress=progress + 1))
    assert hub.published == [("job:j-1", "running", 100, None)]


async def test_what_the_broker_did_not_take_is_told_again(monkeypatch):
    monkeypatch.setattr("hubbub.jobs.live.AGAIN", 0.0)
    hub = Hub(PublishError("away"), PublishError("away"))
    async with LiveJobs(hub, Jobs()) as live:
        live.changed(replace(RUNNING, progress=1, owner=None))
    assert hub.published == [("job:j-1", "running", 1, None)]


async def test_at_the_end_nobody_waits_forever(monkeypatch, caplog):
    monkeypatch.setattr("hubbub.jobs.live.FAREWELL", 0.01)
    hub = Hub(*[PublishError("away")] * 1000)
    async with LiveJobs(hub, Jobs()) as live:
        live.changed(RUNNING)
        await hub.some.wait()
    assert "could not be told" in caplog.text
    assert hub.published == []


async def test_a_large_result_is_left_out():
    hub = Hub()
    async with LiveJobs(hub, Jobs()) as live:
        live.changed(replace(RUNNING, status=Status.COMPLETED, result="x" * 100_000))
    assert hub.published == [("job:j-1", "completed", 0, None)]
    assert (hub.last["result"], hub.last["result_is_left_out"]) == (None, True)


async def test_an_owner_who_can_have_no_channel_holds_nothing_up(caplog):
    hub = Hub(None, UnknownChannel("no"))
    async with LiveJobs(hub, Jobs()) as live:
        live.changed(RUNNING)
    assert hub.published == [("job:j-1", "running", 0, None)]
    assert "Nobody is told" in caplog.text


async def test_what_fails_unexpectedly_is_logged_and_the_others_are_told(caplog):
    hub = Hub(ZeroDivisionError("a bug"))
    async with LiveJobs(hub, Jobs()) as live:
        live.changed(replace(RUNNING, progress=1, owner=None))
        await hub.some.wait()
        live.changed(replace(RUNNING, id="j-2", progress=2, owner=None))
    assert hub.published == [("job:j-2", "running", 2, None)]
    assert "could not be told of" in caplog.text


async def test_there_is_a_bound_on_what_waits(monkeypatch):
    monkeypatch.setattr("hubbub.jobs.live.MOST", 2)
    hub = Hub()
    live = LiveJobs(hub, Jobs())
    for number in range(3):
        live.changed(replace(RUNNING, id=f"j-{number}", progress=1))
    async with live:
        pass
    assert [channel for channel, *_ in hub.published] == ["job:j-1", "job:j-2"]


@pytest.mark.parametrize(
    ("job", "expected"),
    [
        (JOB, True),
        (RUNNING, True),
        (replace(RUNNING, progress=10), False),
        (replace(RUNNING, attempt=2), False),
        (replace(JOB, attempt=1), False),
        (replace(RUNNING, status=Status.COMPLETED), False),
    ],
)
def test_what_a_beginning_is(job, expected):
    assert is_beginning(job) is expected
