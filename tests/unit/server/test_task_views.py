from hubbub.jobs import JobView, LogLine, Status
from hubbub.jobs.job import Page
from hubbub.server.task_views import line, log, owned_page, page, shown

JOB = JobView(
    "j", "demo", Status.RUNNING, None, None, 0, {}, 1, 4, 40, "On it", None, None, True, 0, 0, 1500, None
)


def test_a_job():
    assert shown(JOB).model_dump(mode="json") == {
        "id": "j",
        "kind": "demo",
        "status": "running",
        "progress": 40,
        "message": "On it",
        "result": None,
        "error": None,
        "cancelling": True,
        "attempt": 1,
        "attempts": 4,
        "created_at": "1970-01-01T00:00:00.000Z",
        "started_at": "1970-01-01T00:00:01.500Z",
        "finished_at": None,
    }


def test_pages():
    assert page(Page((JOB,), "c")).next_cursor == "c"
    everybody = owned_page(Page((JOB,), None), dict.fromkeys(Status, 2)).model_dump(mode="json")
    assert everybody["tasks"][0]["owner"] is None
    assert everybody["counts"]["failed"] == 2


def test_a_line():
    assert line(LogLine(2, 61_500, "info", "x")).model_dump() == {
        "attempt": 2,
        "at": "1970-01-01T00:01:01.500Z",
        "level": "info",
        "text": "x",
    }


def test_a_log_without_lines():
    assert log([], 100).model_dump() == {"lines": [], "omitted": 0}
