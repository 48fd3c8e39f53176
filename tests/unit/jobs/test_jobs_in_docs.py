"""The applications of docs/jobs.md run as they stand there."""

import re
from pathlib import Path
from typing import Any

import httpx2
import pytest
from serving import eventually

PAGE = (Path(__file__).parents[3] / "docs" / "jobs.md").read_text()
BLOCKS = [block for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if "FastAPI(" in block]


@pytest.fixture
def application(request, tmp_path, monkeypatch) -> dict[str, Any]:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"SECRET": "0" * 64}
    exec(compile(BLOCKS[request.param], "docs/jobs.md", "exec"), names)
    return names


@pytest.mark.parametrize("application", [0], indirect=True)
async def test_the_first_example_runs_its_jobs(application):
    app = application["app"]
    transport = httpx2.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://testserver") as client,
    ):
        job_id = (await client.post("/uploads/u-7/small")).json()["job"]

        async def is_completed():
            job = (await client.get(f"/jobs/{job_id}")).json()
            return job if job["status"] == "completed" else None

        job = await eventually(is_completed)
        assert (job["result"], job["message"]) == ({"width": 100}, "resizing")
        assert (await client.get("/jobs/none")).status_code == 404


@pytest.mark.parametrize("application", [1], indirect=True)
async def test_the_live_example_begins(application):
    async with application["app"].router.lifespan_context(application["app"]):
        assert await application["jobs"].unfinished("ada") == 0
