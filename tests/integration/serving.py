"""Servers as processes of their own: `hubbub serve`, or a user's application under plain uvicorn.

Each is started on a free port of the loopback interface, its output goes to a file, and it is ended by the id it was
started with.
"""

import asyncio
import itertools
import os
import re
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any

import httpx2
import jwt
import pytest

FOLDER = Path(__file__).parent
SECRET = "5e" * 32
START_TIME = 30.0
STOP_TIME = 30.0
DEADLINE = 10.0
UNWANTED = r'Traceback|"level": "(error|critical)"|was never (retrieved|awaited)|ResourceWarning'
INVALID_TEXT = re.compile(
    r"^.*Invalid UTF-8 sequence received.*\n(?:Traceback(?:.*\n)*?UnicodeDecodeError.*\n)?", re.MULTILINE
)
"""What uvicorn says about a frame that is not UTF-8."""


_starts = itertools.count(1)


@dataclass(frozen=True)
class Serving:
    """A running server."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path
    tls: ssl.SSLContext | None = None
    """What its clients trust, where it has a certificate."""

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def said(self) -> str:
        """Everything it printed."""
        return self.log.read_text(errors="replace")

    @property
    def is_alive(self) -> bool:
        return self.process.poll() is None

    async def request(self, method: str, path: str, **options: Any) -> httpx2.Response:
        async with httpx2.AsyncClient(
            base_url=self.url, timeout=DEADLINE, trust_env=False, verify=self.tls or True
        ) as client:
            return await client.request(method, path, **options)

    async def get(self, path: str, **options: Any) -> httpx2.Response:
        return await self.request("GET", path, **options)

    async def counts(self) -> "Counts":
        """What `/metrics` shows."""
        response = await self.get("/metrics")
        assert response.status_code == 200, response.text
        return Counts(response.text)

    def memory(self) -> int:
        """The memory that the process holds, in KiB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0])

    def descriptors(self) -> int:
        """How many files and sockets the process has open."""
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    async def check_health(self) -> None:
        """Fail unless the process runs and answers."""
        assert self.is_alive, f"it ended with {self.process.returncode}\n{self.said}"
        response = await self.get("/healthz")
        assert response.status_code == 200, response.text

    def complaints(self) -> list[str]:
        """What its log has that no client should be able to cause."""
        lines = INVALID_TEXT.sub("", self.said).splitlines()
        return [line for line in lines if re.search(UNWANTED, line) and '"level": "debug"' not in line]

    async def terminate(self) -> float:
        """Send SIGTERM and wait for the end; return how many seconds it took."""
        begun = time.monotonic()
        self.process.terminate()
        await asyncio.to_thread(self.process.wait, STOP_TIME)
        return time.monotonic() - begun


class Counts:
    """The samples of a page of metrics, by name and labels: ``counts("name", label="value")``."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __call__(self, name: str, **labels: str) -> float:
        """Return the sum of all samples of this name that have these labels; 0 where there are none."""
        total = 0.0
        for line in self.text.splitlines():
            match = re.fullmatch(r"(\w+)(?:\{(.*)\})? (\S+)", line)
            if match and match[1] == name:
                held = dict(re.findall(r'(\w+)="([^"]*)"', match[2] or ""))
                if labels.items() <= held.items():
                    total += float(match[3])
        return total


def token(user: str, ttl: float = 3600.0, *, secret: str = SECRET, **claims: Any) -> str:
    """Sign a token as an application of one's own would."""
    return jwt.encode({"sub": user, "exp": time.time() + ttl, **claims}, secret, "HS256")


def bearer(user: str, **claims: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {token(user, **claims)}"}


@contextmanager
def hubbub_serve(folder: Path, port: int = 0, **settings: str) -> Iterator[Serving]:
    """Run `hubbub serve` with these settings (without their prefix) and its data in `folder`.

    Args:
        folder: where it works; the same one again is the same server, restarted.
        port: where it listens; 0 takes a free one.
        settings: by name, without ``HUBBUB_``.
    """
    own = {"SECRET_KEY": SECRET, "DATA_DIR": str(folder / "data"), "DRAIN_TIME": "1s", **settings}
    command = [sys.executable, "-m", "hubbub", "serve", "--port", "{port}"]
    environment = {f"HUBBUB_{name}": value for name, value in own.items()}
    with process(command, folder, environment, port) as running:
        yield running


@contextmanager
def application(
    name: str, folder: Path, *options: str, tls: ssl.SSLContext | None = None, **environment: str
) -> Iterator[Serving]:
    """Run an application of `apps/` as its owner would: ``uvicorn NAME:app``."""
    command = [sys.executable, "-m", "uvicorn", f"{name}:app", "--port", "{port}", *options]
    command += ["--app-dir", str(FOLDER / "apps")]
    with process(command, folder, {"SECRET_KEY": SECRET, **environment}, tls=tls) as running:
        yield running


@contextmanager
def process(
    command: list[str],
    folder: Path,
    environment: Mapping[str, str],
    port: int = 0,
    *,
    tls: ssl.SSLContext | None = None,
) -> Iterator[Serving]:
    """Run a server until it is left; `{port}` in its command is the port, by default a free one."""
    port = port or free_port()
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("HUBBUB_")}
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / f"{port}-{next(_starts)}.log"
    with log.open("wb") as output:
        child = subprocess.Popen(
            [part.format(port=port) for part in command],
            env={**inherited, "PYTHONUNBUFFERED": "1", **environment},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    running = Serving(child, port, log, tls)
    try:
        wait_until_ready(running)
        yield running
    finally:
        # What a graceful stop does has tests of its own.
        child.kill()
        child.wait(STOP_TIME)


def wait_until_ready(running: Serving) -> None:
    """Return when the server answers; fail with what it printed when it does not."""
    end = time.monotonic() + START_TIME
    while running.is_alive and time.monotonic() < end:
        connection = (
            HTTPSConnection("127.0.0.1", running.port, timeout=5, context=running.tls)
            if running.tls
            else HTTPConnection("127.0.0.1", running.port, timeout=5)
        )
        try:
            connection.request("GET", "/readyz")
            if connection.getresponse().status == 200:
                return
        except (OSError, HTTPException):
            pass
        finally:
            connection.close()
        time.sleep(0.05)
    pytest.fail(f"It is not ready (exit code {running.process.poll()}).\n{running.said}")


async def eventually(
    condition: Callable[[], Any] | Callable[[], Awaitable[Any]],
    *,
    within: float = DEADLINE,
    every: float = 0.05,
    seen: Callable[[], Any] | None = None,
) -> Any:
    """Ask again and again until the answer is true; return it.

    Args:
        condition: what to ask; sync or async.
        within: seconds after which it fails.
        every: seconds between two questions.
        seen: called for what to show when it fails.
    """
    end = time.monotonic() + within
    while True:
        answer = condition()
        if asyncio.iscoroutine(answer):
            answer = await answer
        if answer:
            return answer
        if time.monotonic() > end:
            what = "" if seen is None else f"; {seen()}"
            raise TimeoutError(f"it did not become true within {within:g} s{what}")
        await asyncio.sleep(every)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
