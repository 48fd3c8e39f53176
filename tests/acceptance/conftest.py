"""What the acceptance tests share: the server as a process of its own, and a real browser."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pytest
import pytest_asyncio
from browser_stage import STAGE
from pages import DESKTOP, enter
from playwright.async_api import Browser, async_playwright, expect

from hubbub import TokenIssuer
from hubbub.server.tokens import issue_code, sign_in_link

START_TIME = 30.0
HOUR = 3600.0
STOP_TIME = 30.0
CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class Credentials(NamedTuple):
    """What `hubbub token` prints."""

    token: str
    link: str


@dataclass(frozen=True)
class Server:
    """A running server."""

    url: str
    port: int
    environment: dict[str, str]
    process: subprocess.Popen[bytes]
    log: Path

    def credentials(self, user: str, *, admin: bool = False) -> Credentials:
        """Make what `hubbub token --user USER` prints, without the second that a process of its own takes."""
        secret = self.environment.get("HUBBUB_SECRET_KEY")
        kept = Path(self.environment["HUBBUB_DATA_DIR"]) / "secret"
        issuer = TokenIssuer(secret or kept.read_text().strip())
        scopes = frozenset({"admin"} if admin else ())
        code = issue_code(issuer, user, ttl=HOUR, scopes=scopes)
        link = sign_in_link(self.environment["HUBBUB_PUBLIC_URL"], code)
        return Credentials(issuer.issue(user, ttl=HOUR, scopes=scopes), link)


@contextmanager
def running_server(folder: Path, **settings: str) -> Iterator[Server]:
    """Start `hubbub serve` with these settings (without their prefix) and its data in `folder`."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("HUBBUB_")}
    own = {"DATA_DIR": str(folder / "data"), "PUBLIC_URL": url, **settings}
    environment = {**inherited, **{f"HUBBUB_{name}": value for name, value in own.items()}}
    log = folder / "server.log"
    command = [sys.executable, "-m", "hubbub", "serve", "--port", str(port)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=environment, cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    try:
        wait_until_ready(f"{url}/readyz", process, log)
        yield Server(url, port, environment, process, log)
    finally:
        process.terminate()
        try:
            process.wait(STOP_TIME)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Return when the server says that it is ready; fail with its log when it does not."""
    deadline = time.monotonic() + START_TIME
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except urllib.error.HTTPError as error:
            error.close()
        except OSError:
            pass
        time.sleep(0.05)
    pytest.fail(f"The server is not ready.\n{log.read_text()}")


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all the tests that take the defaults; they use rooms and users of their own."""
    with running_server(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """A factory of servers with settings: ``start_server(HEARTBEAT_INTERVAL="1")``."""
    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(running_server(tmp_path, **settings))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """A headless Chromium, the system's own."""
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        pytest.fail("The browser tests need Chromium: run scripts/install-chromium.")
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=path, args=CHROMIUM_ARGUMENTS)
        yield chromium
        await chromium.close()


@pytest_asyncio.fixture(loop_scope="session")
async def open_page(browser):
    """Open pages, each in a browser profile of its own; at the end none may have had a fault."""
    contexts, faults = [], []

    def watch(page):
        page.on("pageerror", lambda error: faults.append(f"{page.url}: {error}"))
        page.on("console", lambda said: faults.append(said.text) if "Security Policy" in said.text else None)

    async def open_(url, **options):
        context = await browser.new_context(**{"viewport": DESKTOP, "locale": "en-GB", **options})
        contexts.append(context)
        context.on("page", watch)
        page = await context.new_page()
        await page.goto(url)
        return page

    yield open_
    for context in contexts:
        await context.close()
    assert faults == []


@pytest.fixture
def sign_in(open_page):
    """Sign a user in by a link of `hubbub token`, and enter a room."""

    async def sign_in_(server, user, room=None, **options):
        page = await open_page(server.credentials(user).link, **options)
        await expect(page.get_by_test_id("connection")).to_have_text("Connected")
        if room is not None:
            await enter(page, room)
        return page

    return sign_in_


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def page(server, browser):
    """A page of the server that can import its client."""
    context = await browser.new_context()
    await context.add_init_script(STAGE)
    page = await context.new_page()
    await page.goto(server.url)
    yield page
    await context.close()


@pytest.fixture
def play(page):
    """Run the body of an async function with `s`, a stage of its own, and return its value."""

    async def run(body, options="{}", argument=None):
        return await page.evaluate(
            f"async (argument) => {{ const s = await stage({options}); {body} }}", argument
        )

    return run
