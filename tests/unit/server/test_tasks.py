"""Background jobs over HTTP, in one process on SQLite."""

import asyncio

import pytest

from hubbub.jobs import JobContext
from hubbub.server import tasks

TASKS = "/api/v1/tasks/"


@pytest.fixture
def ada(bearer):
    return bearer("ada")


async def start(client, headers, **params):
    response = await client.post(TASKS, headers=headers, json={"kind": "demo", "params": params})
    assert response.status_code == 202, response.text
    return response.json()


async def until(client, headers, job_id, *words):
    """Ask until a job has one of these statuses; return it."""
    async with asyncio.timeout(15):
        while True:
            job = (await client.get(TASKS + job_id, headers=headers)).json()
            if job["status"] in words:
                return job
            await asyncio.sleep(0.02)


async def test_a_task_is_started_runs_and_completes(client, ada):
    response = await client.post(
        TASKS, headers=ada, json={"kind": "demo", "params": {"steps": 3, "seconds": 0.1}}
    )
    assert response.status_code == 202
    made = response.json()
    assert (made["kind"], made["status"], made["progress"], made["result"]) == ("demo", "pending", 0, None)
    assert response.headers["location"] == TASKS + made["id"]
    done = await until(client, ada, made["id"], "completed")
    assert (done["progress"], done["result"], done["error"]) == (100, {"steps": 3}, None)
    assert made["created_at"] <= done["started_at"] <= done["finished_at"]
    lines = (await client.get(f"{TASKS}{made['id']}/logs", headers=ada)).json()["lines"]
    assert [(each["text"], each["level"], each["attempt"]) for each in lines] == [
        ("3 steps in 0.1 s", "info", 1)
    ]
    assert lines[0]["at"].endswith("Z")


async def test_the_address_works_without_its_slash(client, ada):
    response = await client.post(
        "/api/v1/tasks", headers=ada, json={"kind": "demo", "params": {"seconds": 0}}
    )
    assert (response.status_code, response.headers["location"]) == (202, TASKS + response.json()["id"])
    listed = (await client.get("/api/v1/tasks", headers=ada)).json()["tasks"]
    assert [job["id"] for job in listed] == [response.json()["id"]]


async def test_ones_own_jobs_are_listed_newest_first_page_by_page(running, ada, bearer):
    async with running(jobs_concurrency=0) as client:
        made = [(await start(client, ada))["id"] for _ in range(3)]
        await start(client, bearer("bob"))
        first = (await client.get(f"{TASKS}?limit=2", headers=ada)).json()
        rest = (await client.get(f"{TASKS}?limit=2&cursor={first['next_cursor']}", headers=ada)).json()
        assert [job["id"] for job in first["tasks"] + rest["tasks"]] == made[::-1]
        assert rest["next_cursor"] is None
        await client.post(f"{TASKS}{made[0]}/cancel", headers=ada)
        for query, count in (("status=pending", 2), ("status=cancelled", 1), ("kind=demo", 3), ("kind=x", 0)):
            answer = (await client.get(f"{TASKS}?{query}", headers=ada)).json()
            assert len(answer["tasks"]) == count, query


async def test_the_same_key_starts_one_job_of_each_user(running, ada, bearer):
    async with running(jobs_concurrency=0) as client:
        body = {"kind": "demo", "idempotency_key": "k"}
        ids = {
            (await client.post(TASKS, headers=headers, json=body)).json()["id"]
            for headers in (ada, ada, bearer("bob"), bearer("bob"))
        }
        assert len(ids) == 2


async def test_a_job_that_waits_is_cancelled_at_once_and_begins_anew(running, ada):
    async with running(jobs_concurrency=0) as client:
        job = await start(client, ada)
        cancelled = await client.post(f"{TASKS}{job['id']}/cancel", headers=ada)
        assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelled")
        again = await client.post(f"{TASKS}{job['id']}/cancel", headers=ada)
        assert (again.status_code, again.json()["type"]) == (409, "urn:hubbub:error:conflict")
        assert "cancelled already" in again.json()["detail"]
        retried = await client.post(f"{TASKS}{job['id']}/retry", headers=ada)
        assert (retried.status_code, retried.json()["status"]) == (200, "pending")
        refused = await client.post(f"{TASKS}{job['id']}/retry", headers=ada)
        assert refused.status_code == 409
        assert "this one is pending" in refused.json()["detail"]


async def test_a_job_that_runs_is_told_to_end(client, ada):
    job = await start(client, ada, steps=600, seconds=60)
    await until(client, ada, job["id"], "running")
    assert (await client.post(f"{TASKS}{job['id']}/cancel", headers=ada)).json()["cancelling"] is True
    await until(client, ada, job["id"], "cancelled")


async def test_a_job_that_failed_says_why(client, ada):
    job = await start(client, ada, steps=2, seconds=0, fail=True)
    failed = await until(client, ada, job["id"], "failed")
    assert (failed["error"], failed["progress"]) == ("It was asked to fail, and did in step 1 of 2.", 0)


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", ""), ("POST", ""), ("GET", "x"), ("POST", "x/cancel"), ("POST", "x/retry"), ("GET", "x/logs")],
)
async def test_nobody_else_may(client, ada, bearer, method, path):
    assert (await client.request(method, TASKS + path)).status_code == 401
    if "x" not in path:
        return
    job = await start(client, ada, seconds=0)
    for job_id in (job["id"], "there-is-none"):
        response = await client.request(method, TASKS + path.replace("x", job_id), headers=bearer("eve"))
        document = response.json()
        assert (response.status_code, document["type"]) == (404, "urn:hubbub:error:not_found")
        assert document["detail"] == f"There is no job {job_id!r}."


async def test_visitors_start_nothing(running):
    async with running(allow_anonymous=True) as client:
        assert (await client.post(TASKS, json={"kind": "demo"})).status_code == 401


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"kind": "nothing"}, 404, "There is no task 'nothing'"),
        ({"kind": "demo", "params": {"steps": 0}}, 422, "steps: Input should be greater than or equal to 1"),
        ({"kind": "demo", "params": {"seconds": 1e9}}, 422, "seconds"),
        ({"kind": "demo", "params": {"stairs": 1}}, 422, "stairs"),
        ({"kind": "demo", "params": []}, 422, "params"),
        ({"params": {}}, 422, "kind"),
        ({"kind": "demo", "parms": {}}, 422, "parms"),
    ],
)
async def test_what_cannot_be_started_is_said(client, ada, body, status, said):
    response = await client.post(TASKS, headers=ada, json=body)
    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json")
    assert said in response.json()["detail"]


async def test_there_is_a_bound_on_what_one_user_leaves_waiting(running, ada, bearer, monkeypatch):
    monkeypatch.setattr(tasks, "UNFINISHED", 2)
    async with running(jobs_concurrency=0) as client:
        for _ in range(2):
            await start(client, ada)
        refused = await client.post(TASKS, headers=ada, json={"kind": "demo"})
        assert (refused.status_code, refused.json()["type"]) == (429, "urn:hubbub:error:limit_exceeded")
        assert refused.json()["detail"] == "2 of your jobs are not finished yet: wait, or cancel some."
        await start(client, bearer("bob"))


async def test_whoever_retries_is_within_the_same_bound(running, ada, bearer, monkeypatch):
    monkeypatch.setattr(tasks, "UNFINISHED", 2)
    async with running(jobs_concurrency=0) as client:
        cancelled = await start(client, ada)
        await client.post(f"{TASKS}{cancelled['id']}/cancel", headers=ada)
        others = [await start(client, ada) for _ in range(2)]
        again = f"{TASKS}{cancelled['id']}/retry"
        refused = await client.post(again, headers=ada)
        assert (refused.status_code, refused.json()["type"]) == (429, "urn:hubbub:error:limit_exceeded")
        assert (await client.get(TASKS + cancelled["id"], headers=ada)).json()["status"] == "cancelled"
        await client.post(f"{TASKS}{others[0]['id']}/cancel", headers=ada)
        assert (await client.post(again, headers=ada)).status_code == 200
        # An administrator has no such jobs, and knows what they do.
        admin = bearer("root", "admin")
        assert (await client.post(f"{TASKS}{others[0]['id']}/retry", headers=admin)).status_code == 200


async def test_at_the_bound_a_key_still_finds_its_job(running, ada, bearer, monkeypatch):
    monkeypatch.setattr(tasks, "UNFINISHED", 2)
    body = {"kind": "demo", "idempotency_key": "k"}
    async with running(jobs_concurrency=0) as client:
        made = (await client.post(TASKS, headers=ada, json=body)).json()
        await start(client, ada)
        again = await client.post(TASKS, headers=ada, json=body)
        assert (again.status_code, again.json()["id"]) == (202, made["id"])
        assert again.headers["location"] == TASKS + made["id"]
        for refused in (body | {"idempotency_key": "l"}, body | {"kind": "other"}):
            assert (await client.post(TASKS, headers=ada, json=refused)).status_code == 429
        assert (await client.post(TASKS, headers=bearer("bob"), json=body)).json()["id"] != made["id"]


async def test_what_clients_may_not_start_is_not_told_from_what_is_not_there(running, ada, monkeypatch):
    def add_secret(jobs):
        @jobs.task(name="secret")
        async def secret() -> None: ...

    monkeypatch.setattr("hubbub.server.jobs.add_demo", add_secret)
    async with running(jobs_concurrency=0) as client:
        answers = [
            await client.post(TASKS, headers=ada, json={"kind": kind, "params": {"x": 1}})
            for kind in ("secret", "public")
        ]
        assert [answer.status_code for answer in answers] == [404, 404]
        said, expected = (answer.text.replace("secret", "public") for answer in answers)
        assert said == expected


async def test_a_log_is_answered_from_its_end(running, ada, monkeypatch):
    def add_talker(jobs):
        @jobs.task(name="talk", public=True)
        async def talk(ctx: JobContext) -> None:
            for number in range(7):
                ctx.log(number)

    monkeypatch.setattr("hubbub.server.jobs.add_demo", add_talker)
    async with running() as client:
        made = (await client.post(TASKS, headers=ada, json={"kind": "talk"})).json()
        await until(client, ada, made["id"], "completed")
        for query, texts, omitted in (("", "0123456", 0), ("?limit=7", "0123456", 0), ("?limit=2", "56", 5)):
            answer = (await client.get(f"{TASKS}{made['id']}/logs{query}", headers=ada)).json()
            assert ("".join(line["text"] for line in answer["lines"]), answer["omitted"]) == (texts, omitted)
        assert (await client.get(f"{TASKS}{made['id']}/logs?limit=501", headers=ada)).status_code == 422


async def test_administrators_see_everybodys(running, ada, bearer):
    root = bearer("root", "admin")
    async with running(jobs_concurrency=0) as client:
        job = await start(client, ada)
        await start(client, bearer("bob"))
        for headers, status in (({}, 401), (ada, 403)):
            assert (await client.get("/api/v1/admin/tasks", headers=headers)).status_code == status
        answer = (await client.get("/api/v1/admin/tasks", headers=root)).json()
        assert [each["owner"] for each in answer["tasks"]] == ["bob", "ada"]
        assert answer["counts"] == {"pending": 2, "running": 0, "completed": 0, "failed": 0, "cancelled": 0}
        answer = (await client.get("/api/v1/admin/tasks?owner=ada&status=pending", headers=root)).json()
        assert ([each["id"] for each in answer["tasks"]], answer["counts"]["pending"]) == ([job["id"]], 1)
        assert (await client.get(TASKS + job["id"], headers=root)).json()["id"] == job["id"]
        assert (await client.post(f"{TASKS}{job['id']}/cancel", headers=root)).status_code == 200


async def test_progress_arrives_at_the_owner_and_at_nobody_else(house, bearer):
    ada, eve = await house.enter("ada"), await house.enter("eve")
    made = await house.http.post(
        "/api/v1/tasks/", headers=bearer("ada"), json={"kind": "demo", "params": {"steps": 4, "seconds": 1}}
    )
    job_id = made.json()["id"]
    begun = await ada.expect("event")
    assert (begun["channel"], begun["event"], begun["data"]["id"]) == ("user:ada", "job", job_id)
    await eve.send({"type": "subscribe", "channel": f"job:{job_id}", "ref": 1})
    assert (await eve.expect("error"))["code"] == "forbidden"
    await eve.send({"type": "subscribe", "channel": "job:there-is-none", "ref": 2})
    assert (await eve.expect("error"))["code"] == "forbidden"
    await ada.send({"type": "subscribe", "channel": f"job:{job_id}", "ref": 1})
    await ada.expect("subscribed")
    seen = []
    while not seen or seen[-1]["status"] != "completed":
        seen.append((await ada.expect("job"))["data"])
    assert [job["progress"] for job in seen] == sorted(job["progress"] for job in seen)
    assert (seen[-1]["progress"], seen[-1]["result"]) == (100, {"steps": 4})
