import logging
import time
from decimal import Decimal
from types import MappingProxyType

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from uvicorn.logging import AccessFormatter

from hubbub.authentication.redaction import MASK, RedactingFilter, redact

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhZGEifQ.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/ws?token=abc", "/ws?token=***"),
        ("/ws?x=1&token=abc&y=2", "/ws?x=1&token=***&y=2"),
        ("/ws?TOKEN=abc", "/ws?TOKEN=***"),
        ("/ws?ticket=abc#x", "/ws?ticket=***#x"),
        ("GET /ws?token=abc HTTP/1.1", "GET /ws?token=*** HTTP/1.1"),
        ("/ws?token=a%26b%20c&y", "/ws?token=***&y"),
        (
            "/cb?access_token=abc&id_token=def&refresh_token=g",
            "/cb?access_token=***&id_token=***&refresh_token=***",
        ),
        ("/cb?code=abc&state=x", "/cb?code=***&state=x"),
        ("/cb?state=x&code=abc", "/cb?state=x&code=***"),
        ("/reset?hubbub-reset-token=abc", "/reset?hubbub-reset-token=***"),
        ("http://127.0.0.1:8000/#sign-in=abc", "http://127.0.0.1:8000/#sign-in=***"),
        ("/login?next=%2Fws%3Ftoken%3Dabc%26x%3D1&y=2", "/login?next=%2Fws%3Ftoken%3D***%26x%3D1&y=2"),
        ("/login?next=%2Fcb%3fcode%3dabc", "/login?next=%2Fcb%3fcode%3d***"),
        ("?n=%3Fx%26code%3Dabc%23end", "?n=%3Fx%26code%3D***%23end"),
        ("?n=%253Ftoken%253Dab%252Bc%2526x%253D1", "?n=%253Ftoken%253D***%2526x%253D1"),
        ("?n=%3Ftoken%3Dab%2526c%26x", "?n=%3Ftoken%3D***%26x"),
        ("?n=%2523sign-in%253Dabc", "?n=%2523sign-in%253D***"),
        ("token=abc", "token=***"),
        ("token='abc', user='ada'", "token='***', user='ada'"),
        ('{"type":"auth","token":"abc"}', '{"type":"auth","token":"***"}'),
        (r'"{\"token\": \"abc\"}"', r'"{\"token\": \"***\"}"'),
        ("{'ticket': 'abc', 'expires_in': 30}", "{'ticket': '***', 'expires_in': 30}"),
        ("[('token', 'abc')]", "[('token', '***')]"),
        (
            "Sec-WebSocket-Protocol: hubbub, hubbub.bearer.abc",
            "Sec-WebSocket-Protocol: hubbub, hubbub.bearer.***",
        ),
        ("['hubbub', 'hubbub.bearer.abc']", "['hubbub', 'hubbub.bearer.***']"),
        ("Authorization: Bearer abc", "Authorization: Bearer ***"),
        ("(b'authorization', b'bearer abc')", "(b'authorization', b'bearer ***')"),
        ("authorization=Bearer%20abc", "authorization=Bearer%20***"),
        (f"the credential {JWT} was used", "the credential *** was used"),
        (f"x={JWT}&y", "x=***&y"),
        ("?token=***", "?token=***"),
    ],
)
def test_masked(text, expected):
    assert redact(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "GET /rooms/general HTTP/1.1",
        "closed code=4001 reason=Invalid token",
        '{"type":"error","code":"unauthorized","message":"The token has no `exp`"}',
        "The token's signature does not match",
        "status_code=200 postcode=12345",
        "tokens=5 ticketing=x",
        "token=",
        "?token=&x=1",
        "the bearer.",
        "eyJ is how they begin",
    ],
)
def test_left_alone(text):
    assert redact(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Cookie: theme=dark; sid=abc; x=1", "Cookie: theme=dark; sid=***; x=1"),
        ("Set-Cookie: sid=abc; HttpOnly", "Set-Cookie: sid=***; HttpOnly"),
        ('sid="abc"', 'sid="***"'),
        ("{'sid': 'abc', 'theme': 'dark'}", "{'sid': '***', 'theme': 'dark'}"),
        ("[(b'cookie', b'sid=abc')]", "[(b'cookie', b'sid=***')]"),
        ("my-sid=abc aside=b sid.x=c", "my-sid=abc aside=b sid.x=c"),
        ("a.b=secret", "a.b=***"),
        ("axb=public", "axb=public"),
    ],
)
def test_cookies_by_name(text, expected):
    assert redact(text, cookies=["sid", "a.b"]) == expected


TOKENS = st.text("ABCabc0189-_.~", min_size=12, max_size=60).map(lambda text: f"Q{text}Q")
PLACES = st.sampled_from(
    [
        "/ws?token={}",
        "/ws?a=b&ticket={}&c=d",
        "https://host/#sign-in={}",
        "/x?next=%2Fws%3Ftoken%3D{}%26a",
        "?code={}",
        "hubbub, hubbub.bearer.{}",
        "Bearer {}",
        '{{"token": "{}"}}',
    ]
)
SURROUNDINGS = st.text("abc ?&=%23F/\"'{},token", max_size=20)


@settings(deadline=None)
@given(TOKENS, PLACES, SURROUNDINGS, SURROUNDINGS)
def test_no_token_survives(token, place, before, after):
    text = f"{before} {place.format(token)} {after}"
    masked = redact(text)
    assert token not in masked
    assert redact(masked) == masked


@settings(deadline=None)
@given(st.text())
def test_any_text(text):
    masked = redact(text, cookies=["sid"])
    assert redact(masked, cookies=["sid"]) == masked


@pytest.mark.parametrize(
    "text",
    [
        "eyJ" * 50_000,
        "eyJ." * 50_000,
        "token" * 30_000,
        "token%25" * 30_000,
        "a-" * 50_000 + "token",
        "bearer " + " " * 100_000,
        '"token"' + " " * 100_000,
        "\\" * 100_000 + "token",
        "token" + "\\" * 100_000,
        "?token=" + "%26" * 50_000,
        "25" * 50_000 + "code",
    ],
)
def test_time_is_linear(text):
    begun = time.perf_counter()
    redact(text)
    assert time.perf_counter() - begun < 2


def record(message: object, *args: object) -> logging.LogRecord:
    return logging.LogRecord("uvicorn.access", logging.INFO, __file__, 1, message, args, None)


def filtered(message: object, *args: object, cookies=()) -> logging.LogRecord:
    found = record(message, *args)
    assert RedactingFilter(cookies=cookies).filter(found) is True
    return found


ACCESS = '%s - "%s %s HTTP/%s" %d'


def test_access_log_of_uvicorn_keeps_its_arguments():
    found = filtered(ACCESS, "127.0.0.1:5", "GET", "/ws?token=abc&x=1", "1.1", 101)
    assert found.msg == ACCESS
    assert found.args == ("127.0.0.1:5", "GET", "/ws?token=***&x=1", "1.1", 101)
    formatter = AccessFormatter("%(client_addr)s %(request_line)s %(status_code)s", use_colors=False)
    assert formatter.format(found) == "127.0.0.1:5 GET /ws?token=***&x=1 HTTP/1.1 101 Switching Protocols"


def test_record_without_a_credential_is_not_touched():
    args = ("127.0.0.1:5", "GET", "/rooms", "1.1", 200)
    found = record(ACCESS, *args)
    before = found.args
    RedactingFilter().filter(found)
    assert found.args is before


def test_message_without_arguments():
    assert filtered("GET /ws?token=abc 100%").getMessage() == "GET /ws?token=*** 100%"


def test_credential_in_the_format_itself():
    assert filtered("Bearer abc for %s at %d%%", "ada", 5).getMessage() == "Bearer *** for ada at 5%"


def test_credential_over_several_arguments():
    assert filtered("token=%s", "abc").getMessage() == "token=***"
    assert filtered("%s %s", "Bearer", "abc").getMessage() == "Bearer ***"


def test_mapping_as_argument():
    found = filtered("%(path)s %(token)s %(status)d", {"path": "/ws?ticket=abc", "token": "abc", "status": 5})
    assert found.getMessage() == "/ws?ticket=*** *** 5"


def test_nested_arguments():
    headers = [(b"host", b"x"), (b"authorization", b"Bearer abc"), (b"cookie", b"sid=abc")]
    found = filtered(
        "%s %s", {"headers": headers, "token": "abc", "n": 1}, ["a", ("?token=abc",)], cookies=["sid"]
    )
    assert found.args == (
        {
            "headers": [(b"host", b"x"), (b"authorization", b"Bearer ***"), (b"cookie", b"sid=***")],
            "token": MASK,
            "n": 1,
        },
        ["a", ("?token=***",)],
    )


def test_structured_message():
    found = filtered(
        MappingProxyType({"event": "opened", "url": "/ws?token=abc", "Authorization": "Basic abc"})
    )
    assert found.msg == {"event": "opened", "url": "/ws?token=***", "Authorization": MASK}


def test_objects_are_masked_as_they_are_written():
    assert filtered("HTTP Request: %s", httpx2.URL("https://x.example/?token=abc")).getMessage() == (
        "HTTP Request: https://x.example/?token=***"
    )
    assert filtered(ValueError("bad: Bearer abc")).getMessage() == "bad: Bearer ***"
    assert filtered("%r", ValueError("bad: Bearer abc")).getMessage() != ""
    assert "abc" not in filtered("%r", ValueError("bad: Bearer abc")).getMessage()


def test_numbers_stay_numbers():
    found = filtered("token=%s %d %.1f %s", "abc", 5, Decimal("0.5"), None)
    assert found.getMessage() == "token=*** 5 0.5 None"


def test_deep_and_endless_arguments():
    endless: list = ["?token=abc"]
    endless.append(endless)
    assert "abc" not in filtered("%s", endless).getMessage()


def test_arguments_that_do_not_fit_are_masked_all_the_same():
    found = filtered("%s %s", "?token=abc")
    assert found.args == ("?token=***",)
    with pytest.raises(TypeError):
        found.getMessage()


def test_object_that_cannot_be_written_is_left_to_logging():
    class Broken:
        def __str__(self) -> str:
            raise RuntimeError

    broken = Broken()
    assert filtered("%s", broken).args == (broken,)
    assert filtered(broken).msg is broken


def test_twice_is_once():
    found = filtered(ACCESS, "127.0.0.1:5", "GET", "/ws?token=abc", "1.1", 101)
    args = found.args
    RedactingFilter().filter(found)
    assert found.args is args
