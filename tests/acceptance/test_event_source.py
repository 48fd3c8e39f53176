"""A browser's own EventSource against real servers: what it reads, how it comes back, and when it stays away."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Self

import pytest
import pytest_asyncio
from serving import Serving, application, hubbub_serve, token

pytestmark = pytest.mark.asyncio(loop_scope="session")

COLLECT = """(url) => {
  const source = new EventSource(url, { withCredentials: true });
  window.got = []; window.named = []; window.opened = 0; window.failed = 0;
  window.source = source;
  source.onopen = () => window.opened++;
  source.onerror = () => window.failed++;
  source.onmessage = ({ data }) => window.got.push(JSON.parse(data));
  for (const name of ["welcome", "subscribed", "gap", "close"])
    source.addEventListener(name, ({ data, lastEventId }) => window.named.push([name, JSON.parse(data), lastEventId]));
}"""
CLOSED = 2


class Proxy:
    """Stands between the browser and a server, and cuts its connections when it is told to."""

    def __init__(self, port: int) -> None:
        self._server_port = port
        self._writers: set[asyncio.StreamWriter] = set()
        self.asked: list[bytes] = []
        self.answered: list[bytes] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}"

    async def __aenter__(self) -> Self:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.cut()
        self.server.close()
        await self.server.wait_closed()

    def cut(self) -> None:
        """End every connection with a reset."""
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, onward = await asyncio.open_connection("127.0.0.1", self._server_port)
        self._writers |= {writer, onward}
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._pump(reader, onward, self.asked))
                tasks.create_task(self._pump(there, writer, self.answered))
        finally:
            self._writers -= {writer, onward}

    async def _pump(self, reader, writer, seen) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                seen.append(data)
                writer.write(data)
                await writer.drain()
        writer.transport.abort()


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def pages(tmp_path_factory) -> AsyncIterator[Serving]:
    """The library in somebody's application, under plain uvicorn."""
    with application("pages", tmp_path_factory.mktemp("pages")) as serving:
        yield serving
        assert serving.complaints() == []


@asynccontextmanager
async def signed_in(browser, serving: Serving, user: str, path: str, base: str | None = None):
    """Open a page with a session cookie, in a profile of its own."""
    context = await browser.new_context()
    try:
        await context.add_cookies([{"name": "session", "value": user, "url": serving.url}])
        page = await context.new_page()
        await page.goto(f"{base or serving.url}{path}")
        yield page
    finally:
        await context.close()


async def say(serving: Serving, topic: str, *texts: object) -> None:
    for text in texts:
        await serving.request("POST", f"/say/{topic}", params={"text": str(text)})


async def texts(page) -> list[str]:
    return await page.evaluate("window.got.filter(({ type }) => type === 'event').map(({ data }) => data)")


async def until(page, expression: str) -> None:
    await page.wait_for_function(expression, timeout=20_000)


async def test_nothing_falls_between_a_page_and_its_stream(browser, pages):
    await say(pages, "render", "before")
    async with signed_in(browser, pages, "ada", "/page/render") as page:
        # The page has what there was when it was rendered; then time passes before its script runs.
        await say(pages, "render", "between 1", "between 2")
        url = await page.evaluate("document.querySelector('ul').dataset.events")
        await page.evaluate(COLLECT, url)
        await until(page, "window.named.some(([name]) => name === 'subscribed')")
        await say(pages, "render", "after")
        await until(page, "window.got.length >= 3")
        assert await page.locator("li").all_inner_texts() == ["before"]
        assert await texts(page) == ["between 1", "between 2", "after"]
        recovered = await page.evaluate("window.named.find(([name]) => name === 'subscribed')[1].recovered")
        assert recovered is True
    link = (await pages.get("/page/render")).headers["Link"]
    assert link.startswith("</sse?channel=topic%3Arender&last_event_id=")


async def test_it_comes_back_by_itself_and_misses_nothing(browser, pages):
    topics = ("one", "two", "three")
    query = "&".join(f"channel=topic%3A{topic}" for topic in topics)
    async with Proxy(pages.port) as proxy, signed_in(browser, pages, "ada", "/page/x", proxy.url) as page:
        await page.evaluate(COLLECT, f"/sse?{query}")
        await until(page, "window.named.filter(([name]) => name === 'subscribed').length === 3")
        for topic in topics:
            await say(pages, topic, f"{topic} 1")
        await until(page, "window.got.length === 3")
        for cut in range(2, 4):
            proxy.cut()
            for topic in topics:
                await say(pages, topic, f"{topic} {cut}.1", f"{topic} {cut}.2")
            await until(page, f"window.opened === {cut}")
            for topic in topics:
                await say(pages, topic, f"{topic} {cut}.3")
            await until(page, f"window.got.length >= {3 + 9 * (cut - 1)}")
        got = await texts(page)
        for topic in topics:
            expected = [f"{topic} 1", *(f"{topic} {cut}.{number}" for cut in (2, 3) for number in (1, 2, 3))]
            assert [text for text in got if text.startswith(f"{topic} ")] == expected
        assert len(got) == 21
        answers = await page.evaluate(
            "window.named.filter(([name]) => name === 'subscribed').map(([, data]) => data.recovered ?? null)"
        )
        assert answers == [None] * 3 + [True] * 6


@pytest.mark.parametrize("code", [1000, 4003, 4010])
async def test_one_that_is_turned_out_stays_away(browser, pages, code):
    user = f"user{code}"
    async with Proxy(pages.port) as proxy, signed_in(browser, pages, user, "/page/x", proxy.url) as page:
        await page.evaluate(COLLECT, "/sse")
        await until(page, "window.named.length === 1")
        await pages.request("POST", f"/disconnect/{user}", params={"code": code})
        await until(page, f"window.source.readyState === {CLOSED}")
        close = await page.evaluate("window.named.at(-1)")
        assert (close[0], close[1]["code"], close[1]["reconnect"]) == ("close", code, False)
        asked = [head for head in proxy.asked if head.startswith(b"GET /sse")]
        assert len(asked) == 2
        assert f"last-event-id: closed.{code}".encode() in asked[1].lower()


async def test_one_that_may_come_back_does(browser, pages):
    async with signed_in(browser, pages, "restarted", "/page/x") as page:
        await page.evaluate(COLLECT, "/sse?channel=topic%3Aback")
        await until(page, "window.named.length === 2")
        await pages.request("POST", "/disconnect/restarted", params={"code": 1012})
        await say(pages, "back", "meanwhile")
        await until(page, "window.got.length === 1")
        assert await texts(page) == ["meanwhile"]
        assert await page.evaluate("window.opened") == 2


async def test_a_token_that_expires_ends_it(browser, pages):
    await pages.get("/as/brief", params={"ttl": 3})
    async with signed_in(browser, pages, "brief", "/page/x") as page:
        await page.evaluate(COLLECT, "/sse")
        await until(page, "window.named.some(([name]) => name === 'close')")
        close = await page.evaluate("window.named.at(-1)")
        assert (close[1]["code"], close[1]["reconnect"]) == (4002, True)
        # It comes back with the same cookie, and is refused, which ends it for good.
        await until(page, f"window.source.readyState === {CLOSED}")


async def test_a_foreign_page_gets_nothing_with_somebodys_cookie(browser, pages):
    """Cookies know no ports: the browser sends them along from another origin of the same host."""
    async with (
        Proxy(pages.port) as foreign,
        Proxy(pages.port) as own,
        signed_in(browser, pages, "ada", "/page/x", foreign.url) as page,
    ):
        url = f"{own.url}/sse?channel=topic%3Asecret"
        await page.evaluate(COLLECT, url)
        await until(page, f"window.source.readyState === {CLOSED}")
        # As a script or a picture it would be asked for without an Origin.
        await page.evaluate(
            "(url) => fetch(url, { mode: 'no-cors', credentials: 'include' }).then(() => null)", url
        )
        assert len(own.asked) == 2
        assert all(b"session=ada" in head for head in own.asked)
        assert [b"Origin: " in head for head in own.asked] == [True, False]
        assert [head[:12] for head in own.answered if head.startswith(b"HTTP")] == [b"HTTP/1.1 403"] * 2
        assert await page.evaluate("[window.opened, window.got, window.named]") == [0, [], []]


async def test_the_servers_own_pages_and_those_that_are_allowed(browser, tmp_path):
    with hubbub_serve(tmp_path) as own:
        async with Proxy(own.port) as elsewhere:
            with hubbub_serve(tmp_path / "b", ALLOWED_ORIGINS=elsewhere.url) as serving:
                async with signed_in(browser, serving, "nobody", "/healthz", elsewhere.url) as page:
                    url = f"{serving.url}/sse?channel=room%3Ageneral&token={token('ada')}"
                    await page.evaluate(COLLECT, url)
                    await until(page, "window.named.length === 2")
                    assert await page.evaluate("window.named.map(([name]) => name)") == [
                        "welcome",
                        "subscribed",
                    ]
                assert token("ada").split(".")[1] not in serving.said
        async with signed_in(browser, own, "nobody", "/healthz") as page:
            await page.evaluate(COLLECT, f"/sse?channel=room%3Ageneral&token={token('ada')}")
            await until(page, "window.named.length === 2")
