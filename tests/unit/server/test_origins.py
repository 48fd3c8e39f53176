"""CORS, from the list that handshakes are checked by."""

import pytest

ME = "/api/v1/me"


def preflight(origin: str, method: str = "POST") -> dict[str, str]:
    return {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "authorization, content-type",
    }


@pytest.mark.parametrize(
    "origin", ["https://app.example.com", "https://a.b.example.org", "https://x.test:8443"]
)
async def test_pages_that_are_listed_may_use_the_api(running, bearer, origin):
    allowed = ["https://app.example.com:443", "https://*.example.org", "https://x.test:8443"]
    async with running(allowed_origins=allowed) as client:
        answer = await client.options(ME, headers=preflight(origin))
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == origin
        assert answer.headers["access-control-allow-credentials"] == "true"
        assert "authorization" in answer.headers["access-control-allow-headers"].lower()
        answer = await client.get(ME, headers={"Origin": origin, **bearer("ada")})
        assert answer.headers["access-control-allow-origin"] == origin
        assert "Origin" in answer.headers["vary"]


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "https://example.org", "http://app.example.com", "null", "é"]
)
async def test_others_may_not(running, bearer, origin):
    async with running(allowed_origins=["https://app.example.com", "https://*.example.org"]) as client:
        raw = origin.encode("latin-1")
        answer = await client.options(ME, headers={**preflight("x"), b"Origin": raw})
        assert answer.status_code == 400
        assert "access-control-allow-origin" not in answer.headers
        answer = await client.get(ME, headers={b"Origin": raw, **bearer("ada")})
        assert "access-control-allow-origin" not in answer.headers


async def test_errors_can_be_read_by_pages_that_are_listed(running):
    async with running(allowed_origins=["https://app.example.com"]) as client:
        for path in (ME, "/nowhere"):
            answer = await client.get(path, headers={"Origin": "https://app.example.com"})
            assert answer.headers["access-control-allow-origin"] == "https://app.example.com"


async def test_where_every_page_may_cookies_stay_at_home(running):
    async with running(allowed_origins=["*"]) as client:
        answer = await client.options(ME, headers=preflight("https://anywhere.example"))
        assert answer.headers["access-control-allow-origin"] == "https://anywhere.example"
        assert "access-control-allow-credentials" not in answer.headers


async def test_without_a_list_there_is_no_cors(client):
    answer = await client.get("/healthz", headers={"Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in answer.headers
    assert (await client.options(ME, headers=preflight("https://evil.example"))).status_code == 405
