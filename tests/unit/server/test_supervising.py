"""Several workers: real processes, which do nothing but say that they are ready."""

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from serving import eventually

from hubbub import ConfigurationError
from hubbub.server.settings import load_settings
from hubbub.server.supervising import Patience, Supervisor

from .test_workers import command

QUICK = Patience(stop=20, start=20, first_pause=0.05, longest_pause=0.1)


class House:
    """A supervisor that runs, and how the workers behave that it starts next."""

    def __init__(self, number: int, patience: Callable[[], Patience]) -> None:
        self.behaviour: str | list[str] = "good"
        """Of all that are started from now on, or of the next ones in turn; the last stays."""
        self.started = asyncio.Event()
        self.starts: list[tuple[int, set[int]]] = []
        """Of each start, its number, and the processes that were there."""
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.supervisor = Supervisor(self._command, self.listener, number, patience, self.started.set)
        self.running: asyncio.Task[None] | None = None

    def _command(self, listener: int, line: int, number: int) -> Sequence[str]:
        assert listener == self.listener.fileno()
        self.starts.append((number, {worker.pid for worker in self.supervisor._all}))
        behaviour = self.behaviour
        if isinstance(behaviour, list):
            behaviour = behaviour.pop(0) if len(behaviour) > 1 else behaviour[0]
        return ["/no/such/program"] if behaviour == "missing" else command(behaviour, line)

    @property
    def pids(self) -> dict[int, int]:
        return {number: worker.pid for number, worker in self.supervisor._current.items()}

    async def rolled(self, *before: dict[int, int]) -> None:
        """Wait until every worker is another than before, and the old ones have ended."""
        await eventually(
            lambda: all(self.pids[number] not in old.values() for old in before for number in old)
        )
        await eventually(lambda: len(self.supervisor._all) == len(self.pids))


def is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


@asynccontextmanager
async def house(
    number: int = 2, patience: Patience = QUICK, *behaviour: str, expect: Any = None
) -> AsyncIterator[House]:
    """Run a supervisor from the moment on at which all are ready; at the end none of its processes may be left."""
    here = House(number, lambda: patience)
    if behaviour:
        here.behaviour = list(behaviour)
    here.running = asyncio.create_task(here.supervisor.run())
    pids: set[int] = set()
    try:
        async with asyncio.timeout(20):
            ready = asyncio.create_task(here.started.wait())
            await asyncio.wait([ready, here.running], return_when=asyncio.FIRST_COMPLETED)
            ready.cancel()
        yield here
    finally:
        pids = {worker.pid for worker in here.supervisor._all}
        here.supervisor.stop()
        async with asyncio.timeout(30):
            if expect is None:
                await here.running
            else:
                with pytest.raises(expect):
                    await here.running
        here.listener.close()
        assert [pid for pid in pids if is_alive(pid)] == []


async def test_they_start_and_stop_together():
    async with house(3) as here:
        assert here.started.is_set()
        assert list(here.pids) == [1, 2, 3]
        assert len(set(here.pids.values())) == 3
        assert here.listener.fileno() != -1
        here.supervisor.stop()
        await here.running
        assert here.listener.fileno() == -1  # who connects now is refused


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_stops_them(number):
    async with house() as here:
        signal.raise_signal(number)
        async with asyncio.timeout(20):
            await here.running


async def test_one_that_was_killed_is_started_again(caplog):
    async with house() as here:
        before = here.pids
        os.kill(before[1], signal.SIGKILL)
        with caplog.at_level(logging.INFO):
            await eventually(lambda: f"process {here.pids[1]}) is ready" in caplog.text)
        assert here.pids[1] != before[1]
        assert here.pids[2] == before[2]
        assert f"Worker 1 (process {before[1]}) ended with -9; it is started again." in caplog.text


async def test_one_that_ends_again_and_again_is_started_more_and_more_slowly(caplog):
    async with house(2) as here:
        here.behaviour = ["stillborn", "missing", "stillborn", "good"]
        os.kill(here.pids[2], signal.SIGKILL)
        with caplog.at_level(logging.INFO):
            await eventually(lambda: "is ready" in caplog.text)
        pauses = [
            record.getMessage().rpartition("again")[2]
            for record in caplog.records
            if "ended with" in record.getMessage()
        ]
        assert pauses == [".", " in 0.05 s.", " in 0.1 s.", " in 0.1 s."]


def test_pauses_grow_up_to_a_bound():
    patience = Patience(stop=1)
    assert [patience.pause(ends) for ends in range(1, 9)] == [0, 0.5, 1, 2, 4, 8, 16, 30]
    assert patience.pause(10_000) == 30


async def test_one_that_is_started_again_and_does_not_get_ready_is_tried_anew():
    async with house(1, Patience(stop=20, start=0.4, first_pause=0.05)) as here:
        here.behaviour = ["mute", "good"]
        before = here.pids[1]
        os.kill(before, signal.SIGKILL)
        await eventually(lambda: len(here.starts) == 3)
        await eventually(lambda: is_alive(here.pids[1]) and len(here.supervisor._all) == 1)


@pytest.mark.parametrize("behaviour", ["stillborn", "mute"])
async def test_a_start_that_fails_ends_everything(behaviour):
    patience = Patience(stop=20, start=1.0)
    async with house(3, patience, "good", behaviour, "good", expect=ConfigurationError) as here:
        assert not here.started.is_set()
        await asyncio.wait([here.running])


async def test_a_program_that_is_missing_ends_everything():
    async with house(3, QUICK, "good", "missing", expect=OSError) as here:
        await asyncio.wait([here.running])


async def test_a_roll_replaces_one_after_the_other(caplog):
    async with house(3) as here:
        before = here.pids
        here.starts.clear()
        with caplog.at_level(logging.INFO):
            signal.raise_signal(signal.SIGHUP)
            await eventually(lambda: "Rolled 3 workers." in caplog.text)
        assert [number for number, _ in here.starts] == [1, 2, 3]
        # The next is begun when the one before has drained; of each number there is always one.
        assert [len(there) for _, there in here.starts] == [3, 3, 3]
        assert here.starts[1][1] == {here.pids[1], before[2], before[3]}
        assert here.starts[2][1] == {here.pids[1], here.pids[2], before[3]}
        assert not any(is_alive(pid) for pid in before.values())
        assert "ended with" not in caplog.text


async def test_a_roll_whose_worker_does_not_get_ready_ends_and_the_old_ones_stay(caplog):
    async with house(2, Patience(stop=20, start=0.5)) as here:
        before = here.pids
        for behaviour in ("mute", "stillborn", "missing"):
            here.behaviour = ["good", behaviour, "good"] if behaviour == "mute" else [behaviour, "good"]
            with caplog.at_level(logging.ERROR):
                caplog.clear()
                here.supervisor.roll()
                await eventually(lambda: "the old one stays" in caplog.text)
            assert here.pids[2] == before[2]
            assert {worker.pid for worker in here.supervisor._all} == set(here.pids.values())
        assert here.pids[1] != before[1], "the first was replaced before the second failed"
        here.behaviour = "good"
        here.supervisor.roll()
        await here.rolled(before)


async def test_one_that_dies_while_the_one_before_it_drains_is_started_again_at_once():
    async with house(1, Patience(stop=3600), "deaf") as here:
        old = here.pids[1]
        here.behaviour = "good"
        here.supervisor.roll()
        new = await eventually(lambda: here.pids[1] if here.pids[1] != old else None)
        os.kill(new, signal.SIGKILL)
        await eventually(lambda: here.pids[1] not in {old, new})
        assert is_alive(old)
        os.kill(old, signal.SIGKILL)


async def test_what_became_of_one_that_does_not_get_ready_is_told(caplog):
    async with house(1, Patience(stop=20, start=0.4)) as here:
        for behaviour, said in (
            ("stillborn", "before it was ready"),
            ("mute", "did not get ready within 0.4 s"),
        ):
            here.behaviour = behaviour
            caplog.clear()
            here.supervisor.roll()
            await eventually(lambda: "the old one stays" in caplog.text)
            assert said in caplog.text


async def test_a_roll_reads_anew_how_long_to_wait_and_the_old_ones_keep_their_time(caplog):
    times = iter([20.0, 30.0, 10.0])
    here = House(1, lambda: Patience(stop=next(times)))
    for expected in (30.0, 30.0):
        here.supervisor._renew_patience()
        assert here.supervisor._patience.stop == expected
    here.supervisor._renew = lambda: load_settings(drain_time="soon") and None
    here.supervisor._renew_patience()
    assert "HUBBUB_DRAIN_TIME" in caplog.text
    assert here.supervisor._patience.stop == 30.0
    here.listener.close()


async def test_what_is_asked_for_during_a_roll_is_another_one():
    async with house(2) as here:
        first = here.pids
        here.supervisor.roll()
        await eventually(lambda: here.pids[1] != first[1])
        second = dict(here.pids)
        here.supervisor.roll()
        await eventually(lambda: len(here.starts) == 6)
        await here.rolled(first, {1: second[1]})


async def test_a_roll_does_not_wait_for_one_that_is_to_be_started_again_later(caplog):
    async with house(1, Patience(stop=20, start=20, first_pause=3600)) as here:
        first = here.pids[1]
        os.kill(first, signal.SIGKILL)
        second = await eventually(lambda: here.pids[1] if here.pids[1] != first else None)
        os.kill(second, signal.SIGKILL)
        await eventually(lambda: "it is started again in 30 s" in caplog.text)
        here.supervisor.roll()
        await eventually(lambda: here.pids[1] != second)
        await eventually(lambda: {worker.pid for worker in here.supervisor._all} == {here.pids[1]})
        assert is_alive(here.pids[1])


async def test_a_stop_during_a_roll_leaves_nobody_behind():
    async with house(2, Patience(stop=20, start=20)) as here:
        here.behaviour = "mute"
        here.supervisor.roll()
        await eventually(lambda: len(here.supervisor._all) == 3)


async def test_one_that_does_not_end_is_killed(caplog):
    async with house(2, Patience(stop=0.3), "deaf", "good") as here:
        pid = here.pids[1]
        here.supervisor.stop()
        async with asyncio.timeout(20):
            await here.running
        assert f"Process {pid} did not end within 0.3 s: it is killed." in caplog.text


async def test_asked_twice_they_are_asked_twice():
    async with house(2, Patience(stop=20), "stubborn") as here:
        for _ in range(2):
            here.supervisor.stop()
            await asyncio.sleep(0)
            await eventually(lambda: here.listener.fileno() == -1)
        async with asyncio.timeout(10):
            await here.running


async def test_a_terminal_that_is_closed_is_a_stop_and_no_roll(monkeypatch):
    theirs, ours = os.openpty()
    with os.fdopen(ours) as terminal:
        monkeypatch.setattr(sys, "__stdin__", terminal)
        async with house(1) as here:
            before = here.pids
            signal.raise_signal(signal.SIGHUP)
            await here.rolled(before)
            os.close(theirs)
            signal.raise_signal(signal.SIGHUP)
            async with asyncio.timeout(20):
                await here.running
