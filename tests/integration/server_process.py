"""`hubbub serve` as its operator sees it: what it prints on standard output, on standard error, and its exit code."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

DEADLINE = 30.0


def environment(**settings: str) -> dict[str, str]:
    """Return the environment of these settings (without their prefix) and of no others."""
    inherited = {name: value for name, value in os.environ.items() if not name.upper().startswith("HUBBUB_")}
    return {**inherited, **{f"HUBBUB_{name}": value for name, value in settings.items()}}


async def hubbub(folder: Path, *arguments: str, **settings: str) -> tuple[int, str, str]:
    """Run a command in a folder to its end; return its exit code, standard output and standard error."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "hubbub",
        *arguments,
        cwd=folder,
        env=environment(**settings),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(DEADLINE):
            output, errors = await child.communicate()
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    return child.returncode, output.decode(), errors.decode()


@dataclass
class Operated:
    """A server that runs."""

    child: asyncio.subprocess.Process
    welcome: list[str]
    errors: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return self.welcome[0].rpartition(" ")[2].strip().rstrip("/")

    @property
    def code(self) -> str:
        """The code of the sign-in link that it printed."""
        return self.welcome[1].partition("#sign-in=")[2].strip()

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def log(self) -> str:
        return "".join(self.errors)

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal; return the exit code."""
        self.child.send_signal(number)
        async with asyncio.timeout(DEADLINE):
            return await self.child.wait()


@asynccontextmanager
async def operated(folder: Path, *arguments: str, **settings: str) -> AsyncIterator[Operated]:
    """Run `hubbub serve` on a free port in a folder, from its welcome on; both its outputs are pipes."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "hubbub", "serve", "--port", "0", *arguments),
        cwd=folder,
        env=environment(**settings),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    server = Operated(child, [])

    async def listen_to_errors() -> None:
        while line := await child.stderr.readline():
            server.errors.append(line.decode())

    listening = asyncio.create_task(listen_to_errors())
    try:
        async with asyncio.timeout(DEADLINE):
            for _ in range(3):
                line = await child.stdout.readline()
                if not line:
                    await listening
                    raise AssertionError(f"it ended before it was ready\n{server.log}")
                server.welcome.append(line.decode())
        yield server
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()
        await listening
