"""Servers as processes of their own: start, wait until ready, stop.

A server is stopped by the id it was started with, and by nothing else.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from types import FrameType

from hubbub.bench import Process


class NotStartedError(RuntimeError):
    """A server did not become ready; the text holds the end of what it printed."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running server."""

    process: Process
    port: int


def unwind_on_signals() -> None:
    """Turn the signals that end this process into exceptions, so that no server outlives it."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)


def _leave(number: int, _: FrameType | None) -> None:
    sys.exit(128 + number)  # unwinds the `with` that holds the running server


def free_port() -> int:
    """Return a port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def serving(
    command: Sequence[str],
    environment: Mapping[str, str],
    core: int | None = None,
    ready: str | None = None,
    prepare: Callable[[Path, int], None] | None = None,
    ready_within: float = 30.0,
    port: int = 0,
) -> Iterator[Server]:
    """Run a server on one core; `{port}` and `{folder}` in the command are filled in.

    The server has a folder of its own to work in, which is removed with it.

    Args:
        command: starts it.
        environment: added to this process's own.
        core: the one it is held to, if any.
        ready: a path that answers 200 when it is ready; without one it is ready when it takes connections.
        prepare: writes what it needs into its folder.
        ready_within: seconds.
        port: where it listens; 0 takes a free one.

    Raises:
        NotStartedError: it ended, or was not ready in time.
    """
    port = port or free_port()
    with tempfile.TemporaryDirectory(prefix="hubbub-bench-") as folder:
        if prepare is not None:
            prepare(Path(folder), port)
        log = Path(folder, "log")
        with log.open("wb") as output:
            filled = [part.format(port=port, folder=folder) for part in command]
            child = _start_on(core, filled, environment, folder, output.fileno())
        try:
            _wait_until_ready(child, port, ready, log, ready_within)
            yield Server(Process(child.pid), port)
        finally:
            _stop(child)


def _start_on(
    core: int | None, command: list[str], environment: Mapping[str, str], folder: str, output: int
) -> subprocess.Popen[bytes]:
    # A child inherits where its parent may run, so nothing has to run between fork and exec.
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, before if core is None else {core})
    try:
        return subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, **environment, "HUBBUB_DATA_DIR": folder},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            process_group=0,  # a Ctrl-C reaches the benchmark only, which then stops its child
        )
    finally:
        os.sched_setaffinity(0, before)


def _wait_until_ready(
    child: subprocess.Popen[bytes], port: int, path: str | None, log: Path, seconds: float
) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and child.poll() is None:
        if _is_ready(port, path):
            return
        time.sleep(0.05)
    said = log.read_text(errors="replace").strip().splitlines()[-1:] or ["no output"]
    raise NotStartedError(f"not ready (exit code {child.poll()}): {said[0][:200]}")


def _is_ready(port: int, path: str | None) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.connect()
        if path is None:
            return True
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def _stop(child: subprocess.Popen[bytes]) -> None:
    # Two thousand members need not be told good-bye: a graceful stop would only take its drain time.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)  # the group that was started for it, so its children too
    child.wait()
