"""Servers as processes of their own: start, wait until ready, read CPU and memory, stop.

A server is stopped by the id it was started with, and by nothing else.
"""

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


class NotStartedError(RuntimeError):
    """A server did not become ready; the text holds the end of what it printed."""


@dataclass(frozen=True, slots=True)
class Memory:
    """What a process and its children hold, in KiB."""

    pss: int
    rss: int


@dataclass(frozen=True, slots=True)
class ServerProcess:
    """A running server."""

    pid: int
    port: int

    def cpu_seconds(self) -> float:
        """Return user and system time of the process and its children."""
        return sum(_ticks(pid) for pid in _family(self.pid)) / TICKS

    def memory(self) -> Memory:
        """Return the memory of the process and its children, from `smaps_rollup`."""
        pss = rss = 0
        for pid in _family(self.pid):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                name, _, value = line.partition(":")
                if name == "Pss":
                    pss += int(value.split()[0])
                elif name == "Rss":
                    rss += int(value.split()[0])
        return Memory(pss, rss)


def _family(pid: int) -> list[int]:
    pids = [pid]
    for parent in pids:  # grows while it is read: children, then theirs
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                pids.extend(map(int, task.read_text().split()))
    return pids


def _ticks(pid: int) -> int:
    # The name of the command, in brackets, may hold spaces: count the fields from behind it.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def free_port() -> int:
    """Return a port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def serving(
    command: Sequence[str], environment: Mapping[str, str], core: int, ready_within: float = 30.0
) -> Iterator[ServerProcess]:
    """Run a server on one core; `{port}` in the command is replaced by the port it shall listen on.

    The server has a folder of its own to work in, which is removed with it.

    Raises:
        NotStartedError: it ended, or did not answer `GET /readyz` with 200 in time.
    """
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="hubbub-bench-") as folder:
        log = Path(folder, "log")
        with log.open("wb") as output:
            child = _start_on(
                core, [part.format(port=port) for part in command], environment, folder, output.fileno()
            )
        try:
            _wait_until_ready(child, port, log, ready_within)
            yield ServerProcess(child.pid, port)
        finally:
            _stop(child)


def _start_on(
    core: int, command: list[str], environment: Mapping[str, str], folder: str, output: int
) -> subprocess.Popen[bytes]:
    # A child inherits where its parent may run, so nothing has to run between fork and exec.
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        return subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, **environment, "HUBBUB_DATA_DIR": folder},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a Ctrl-C reaches the benchmark only, which then stops its child
        )
    finally:
        os.sched_setaffinity(0, before)


def _wait_until_ready(child: subprocess.Popen[bytes], port: int, log: Path, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if child.poll() is not None:
            break
        connection = HTTPConnection("127.0.0.1", port, timeout=2)
        try:
            connection.request("GET", "/readyz")
            if connection.getresponse().status == 200:
                return
        except (OSError, HTTPException):
            pass
        finally:
            connection.close()
        time.sleep(0.05)
    said = log.read_text(errors="replace").strip().splitlines()[-1:] or ["no output"]
    raise NotStartedError(f"not ready (exit code {child.poll()}): {said[0][:200]}")


def _stop(child: subprocess.Popen[bytes]) -> None:
    # Two thousand members need not be told good-bye: a graceful stop would only take its drain time.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)  # the session that was started for it, so its children too
    child.wait()
