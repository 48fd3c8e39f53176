import json
import logging
from collections.abc import Iterator

import pytest

from hubbub.server.logs import configure_logs
from hubbub.server.settings import Settings


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers = handlers
    root.setLevel(level)


TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl"
ACCESS = '%s - "%s %s HTTP/%s" %d'


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_where_nobody_watches_each_line_is_an_object(capsys):
    configure_logs(Settings())
    logging.getLogger("some.library").warning("%s are é", 5)
    [line] = lines(capsys)
    assert line.pop("timestamp").endswith("Z")
    assert line == {"event": "5 are é", "level": "warning", "logger": "some.library"}


def test_a_request_has_fields(capsys):
    configure_logs(Settings(log_format="json"))
    logging.getLogger("uvicorn.access").info(ACCESS, "10.0.0.1:5", "GET", "/x?token=secret", "1.1", 200)
    [line] = lines(capsys)
    assert line["event"] == '10.0.0.1:5 - "GET /x?token=*** HTTP/1.1" 200'
    assert (line["client"], line["method"], line["path"], line["status"]) == (
        "10.0.0.1:5",
        "GET",
        "/x?token=***",
        200,
    )


@pytest.mark.parametrize("form", ["json", "console"])
def test_credentials_are_masked_in_every_form(capsys, form):
    configure_logs(Settings(log_format=form))
    logger = logging.getLogger("uvicorn.error")
    logger.info('%s - "WebSocket %s" [accepted]', "10.0.0.1:5", f"/ws?token={TOKEN}")
    logger.info("Authorization: Bearer abc.def")
    logger.info("Cookie: hubbub_session=opaque-value; theme=dark")
    logger.info("hubbub.bearer.opaque-value, #sign-in=opaque-value")
    said = capsys.readouterr().err
    for secret in (TOKEN, "abc.def", "opaque-value"):
        assert secret not in said
    assert "theme=dark" in said


@pytest.mark.parametrize("form", ["json", "console"])
def test_credentials_are_masked_in_tracebacks_too(capsys, form):
    configure_logs(Settings(log_format=form))
    try:
        raise ValueError(f'GET "/keys?token=opaque-value" with "{TOKEN}"')
    except ValueError:
        logging.getLogger("x").exception("It failed")
    said = capsys.readouterr().err
    assert "opaque-value" not in said
    assert TOKEN not in said
    assert "token=***" in said


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_traceback_shows_no_values_of_variables(capsys, form):
    configure_logs(Settings(log_format=form))

    def fail(password: str) -> None:
        raise ZeroDivisionError("oops")

    try:
        fail("hunter2" + "3")
    except ZeroDivisionError:
        logging.getLogger("x").exception("It failed")
    said = capsys.readouterr().err
    assert "ZeroDivisionError: oops" in said
    assert "It failed" in said
    assert "hunter23" not in said


def test_people_get_words(capsys):
    configure_logs(Settings(log_format="console"))
    logging.getLogger("uvicorn.access").info(ACCESS, "10.0.0.1:5", "GET", "/", "1.1", 200)
    said = capsys.readouterr().err
    assert '[info     ] 10.0.0.1:5 - "GET / HTTP/1.1" 200 [uvicorn.access]' in said
    assert "\x1b" not in said


def test_less_than_the_level_is_not_logged(capsys):
    configure_logs(Settings(log_level="warning"))
    logging.getLogger("x").info("chatter")
    logging.getLogger("x").warning("news")
    assert [line["event"] for line in lines(capsys)] == ["news"]


def test_configuring_twice_does_not_say_all_twice(capsys):
    configure_logs(Settings())
    configure_logs(Settings())
    logging.getLogger("x").warning("once")
    assert len(lines(capsys)) == 1
