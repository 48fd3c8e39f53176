"""One worker's process: what is said on its line, and how it ends."""

import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from hubbub.server.workers import Worker, serving

PROGRAM = """
import os, signal, socket, sys
behaviour, line = sys.argv[1], socket.socket(fileno=int(sys.argv[2]))
asked = []
def stop(*_):
    asked.append(1)
    if behaviour not in {"deaf", "stubborn"} or (behaviour == "stubborn" and len(asked) > 1):
        os._exit(0)
signal.signal(signal.SIGTERM, stop)
if behaviour == "stillborn":
    os._exit(3)
if behaviour != "mute":
    line.send(b"ready")
line.recv(1)
os._exit(7)
"""
"""Says that it is ready and waits for the end, unless its behaviour is another."""


def command(behaviour: str, line: int) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", PROGRAM, behaviour, str(line)]


def descriptors() -> int:
    return len([*Path("/proc/self/fd").iterdir()])


@asynccontextmanager
async def started(behaviour: str) -> AsyncIterator[Worker]:
    with socket.socket() as listener:
        worker = await Worker.start(lambda _, line, __: command(behaviour, line), listener, 1)
        try:
            yield worker
        finally:
            await worker.kill()


async def test_it_says_when_it_is_ready_and_ends_when_asked():
    async with started("good") as worker:
        assert await worker.ready(within=20)
        worker.ask_to_stop()
        assert await worker.ended() == 0
        assert await worker.stop(within=20) == 0


async def test_one_that_ends_before_is_not_ready():
    async with started("stillborn") as worker:
        assert not await worker.ready(within=20)
        assert await worker.ended() == 3


async def test_one_that_never_says_so_is_waited_for_no_longer_than_that():
    async with started("mute") as worker:
        assert not await worker.ready(within=0.2)


async def test_one_that_does_not_end_is_ended():
    async with started("deaf") as worker:
        assert await worker.ready(within=20)
        assert await worker.stop(within=0.2) == -signal.SIGKILL


async def test_it_hears_when_the_supervisor_is_gone():
    async with started("deaf") as worker:
        assert await worker.ready(within=20)
        worker._line.close()  # the kernel does so when a process ends, however it ends
        assert await worker._process.wait() == 7


async def test_signals_of_a_terminal_do_not_reach_it():
    async with started("good") as worker:
        assert await worker.ready(within=20)
        assert os.getpgid(worker.pid) == worker.pid != os.getpgid(0)


async def test_what_cannot_be_started_leaves_nothing_open():
    before = descriptors()
    with socket.socket() as listener, pytest.raises(FileNotFoundError):
        await Worker.start(lambda *_: ["/no/such/program"], listener, 1)
    assert descriptors() == before


def test_the_command_of_a_server():
    program, *options, listener, line, number = serving(3, 4, 1)
    assert program == sys.executable
    assert options == ["-P", "-m", "hubbub.server.worker"]
    assert (listener, line, number) == ("3", "4", "1")
