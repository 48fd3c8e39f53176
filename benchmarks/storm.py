"""Reconnect storm: thousands are cut off at once, miss 100 messages, and come back at once to one node on Redis.

.venv/bin/python benchmarks/storm.py [--clients 8000] [--rooms 80 1] [--write]
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path

import rings  # noqa: F401 (what is imported below is found by it)

# isort: split

from journey import hubbub_node
from ports import steady_port
from redis_servers import redis_server
from rich.console import Console

import contestants as of
import machine
import report
from hubbub.bench import Process
from processes import unwind_on_signals
from storm import MISSED, Commands, Storm, commands
from tables import Table, number

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
BEGIN, END = "<!-- storm: written by benchmarks/storm.py -->", "<!-- end of storm -->"
LIFTED = {name.removeprefix("HUBBUB_"): value for name, value in of.LIFTED.items()}


class Watched:
    """What the kernel says of a node while something happens: CPU seconds, and the most memory it held."""

    def __init__(self, pid: int) -> None:
        self._process = Process(pid)
        self._status = Path(f"/proc/{pid}/status")
        Path(f"/proc/{pid}/clear_refs").write_text("5")  # the peak is counted from here
        self._cpu = self._process.cpu_seconds()
        self.pss = 0

    async def sample(self) -> None:
        """Note the greatest proportional set size, until cancelled."""
        while True:
            self.pss = max(self.pss, self._process.memory().pss)
            await asyncio.sleep(0.25)

    @property
    def cpu(self) -> float:
        """CPU seconds so far."""
        return self._process.cpu_seconds() - self._cpu

    @property
    def peak(self) -> int:
        """The most resident memory so far, in KiB."""
        return int(self._status.read_text().partition("VmHWM:")[2].split()[0])


async def storm(clients: int, rooms: int) -> list[str]:
    """Run one; return a row of the table."""
    with tempfile.TemporaryDirectory() as name:
        folder, port = Path(name), steady_port()
        async with (
            redis_server(folder) as redis,
            hubbub_node(folder / "node", port, redis.url, **LIFTED, HEARTBEAT_INTERVAL="25s") as node,
        ):
            pid = node.runs[-1].process.pid
            run = Storm(port, redis, clients, rooms)
            try:
                await run.gather()
                idle = Process(pid).memory()
                await run.cut()
                await run.publish(MISSED)
                before, watched, own = await commands(redis), Watched(pid), time.process_time()
                sampling = asyncio.create_task(watched.sample())
                seconds = await run.come_back()
                cpu, peak, busy = watched.cpu, watched.peak, (time.process_time() - own) / seconds
                made: Commands = await commands(redis) - before
                sampling.cancel()
                await run.is_live()
            finally:
                await run.end()
            outcome = run.outcome()
    for wrong in (*outcome.missing[:3], *outcome.wrong[:3]):
        print(wrong)
    return [
        f"{rooms:,} of {clients // rooms:,}",
        f"{outcome.percentage:.3f}",
        number(seconds),
        number(cpu),
        f"{100 * busy:.0f}",
        number(idle.pss / 1024),
        number(watched.pss / 1024),
        number(peak / 1024),
        f"{made['xrange']:,}",
        f"{made['evalsha']:,}",
        f"{made['ssubscribe']:,}",
    ]


def main() -> int:
    options = _options()
    unwind_on_signals()
    files = machine.lift_file_limit()
    if files < 2 * options.clients + 200:
        sys.exit(f"ulimit -n is {files}; {options.clients} clients need {2 * options.clients + 200}")
    load, *_ = os.getloadavg()
    table = Table(
        f"Reconnect storm: {options.clients:,} clients, cut off and back at once, each {MISSED} messages behind",
        [
            "rooms",
            "whole %",
            "seconds until the last is whole",
            "CPU s of the node",
            "clients busy %",
            "Pss before MiB",
            "Pss peak MiB",
            "Rss peak MiB",
            "stream reads",
            "scripts",
            "subscriptions",
        ],
    )
    console = Console(width=None if sys.stdout.isatty() else 180)
    for rooms in options.rooms:
        with console.status(f"{rooms} rooms"):
            table.rows.append(asyncio.run(storm(options.clients, rooms)))
    table.notes.append(
        "Stream reads: XRANGE at Redis between the cut and the last client, of all rooms together. Scripts: those of "
        f"presence, and one for each user's own channel, too. Load average before {load:.2f}."
    )
    table.print(console)
    if options.write:
        report.write(PAGE, table.markdown(), BEGIN, END)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clients", type=int, default=8000)
    parser.add_argument("--rooms", type=int, nargs="+", default=[80, 1], help="how many rooms, run by run")
    parser.add_argument("--write", action="store_true", help=f"put the table into docs/{PAGE.name}")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
