"""Two processes on one Redis beside one, and beside the peers' way over Redis.

Members are spread over the processes, one of them publishes; the processes are held to one core, with Redis, and the load
to another. Redis keeps nothing on disk.

    .venv/bin/python benchmarks/nodes.py [--runs 3] [--seconds 2] [--write]
"""

import argparse
import itertools
import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import redis
from rich.console import Console

import contestants as of
import machine
import report
from contestants import Contestant
from hubbub.bench import Crowd, LoadError, Member, Seat, Wire, keep_in_flight, keep_rate
from hubbub.bench.members import Dialer
from processes import NotStartedError, Server, serving, unwind_on_signals
from seats import seats
from tables import Table, number, spread

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
BEGIN, END = "<!-- nodes: written by benchmarks/nodes.py -->", "<!-- end of nodes -->"
REDIS = ("redis-server", "--port", "{port}", "--bind", "127.0.0.1", "--dir", "{folder}", "--save", "")

MEMBERS = 1000
FEW = 100
RATE = 10.0
"""Publications a second to the few: no server is busy for a third of the time then."""

Figures = dict[str, float]


@dataclass(frozen=True, slots=True)
class Arrangement:
    """Processes of one server.

    Args:
        name: in the table.
        contestant: what they run.
        processes: how many.
        on_redis: whether they share one.
        windows: how many publications are in flight.
    """

    name: str
    contestant: Contestant
    processes: int = 2
    on_redis: bool = True
    windows: Sequence[int] = (32, 4)


IN_MEMORY = Arrangement("Hubbub, one node, in memory", of.HUBBUB, 1, on_redis=False)
ONE = Arrangement("Hubbub, one node on Redis", of.HUBBUB, 1)
TWO = Arrangement("Hubbub, two nodes on Redis", of.HUBBUB)
ALL = (
    IN_MEMORY,
    ONE,
    TWO,
    Arrangement("python-socketio, two processes, AsyncRedisManager", of.PYTHON_SOCKETIO),
    Arrangement("Django Channels, two processes, channels_redis", of.DJANGO_CHANNELS, windows=(4,)),
)


class Spread(Crowd):
    """A crowd whose members come to several servers in turn."""

    def __init__(self, ports: Sequence[int], wire: Wire) -> None:
        super().__init__(ports[0], wire=wire)
        self._dialers = itertools.cycle([Dialer("127.0.0.1", port) for port in ports])

    def _dial(self, seat: Seat, small_buffers: bool) -> Member:
        self._dialer = next(self._dialers)
        return super()._dial(seat, small_buffers)


@dataclass(frozen=True, slots=True)
class Running:
    """An arrangement that runs."""

    servers: Sequence[Server]
    store: redis.Redis | None

    def cpu(self) -> float:
        """CPU seconds of all its processes, Redis not among them."""
        return sum(server.process.cpu_seconds() for server in self.servers)

    def calls(self) -> tuple[int, int]:
        """How many commands Redis has carried out, those that scripts called too, and how many scripts."""
        if self.store is None:
            return 0, 0
        stats = self.store.info("commandstats")
        calls = {name.removeprefix("cmdstat_"): each["calls"] for name, each in stats.items()}
        return sum(calls.values()), calls.get("evalsha", 0) + calls.get("eval", 0)


@contextmanager
def running(arrangement: Arrangement, core: int) -> Iterator[Running]:
    """Run it."""
    with ExitStack() as stack:
        store, contestant = None, arrangement.contestant
        if arrangement.on_redis:
            port = stack.enter_context(serving(REDIS, {}, core)).port
            store = stack.enter_context(redis.Redis(port=port))
            url = f"redis://127.0.0.1:{port}/0"
            told = {**contestant.environment, "REDIS_URL": url, "HUBBUB_REDIS_URL": url}
            contestant = replace(contestant, environment=told)
        servers = [stack.enter_context(contestant.serving(core)) for _ in range(arrangement.processes)]
        yield Running(servers, store)


def take(arrangement: Arrangement, core: int, seconds: float) -> Figures:
    """Measure one: first many members as fast as they get it, then few at a modest rate."""
    figures: Figures = {}
    wire = arrangement.contestant.wire
    with running(arrangement, core) as run:
        ports = [server.port for server in run.servers]
        with Spread(ports, wire) as crowd:
            members = crowd.join(seats(MEMBERS, "many"))
            crowd.settle(1.0)
            for window in arrangement.windows:
                commands, scripts = run.calls()
                load = keep_in_flight(
                    crowd, members[-1:], MEMBERS, window, seconds, warm=0.5, server_cpu=run.cpu
                )
                figures[f"deliveries {window}"] = load.per_cpu_second or 0.0
                figures[f"p99 {window}"] = load.latency.p99 if load.latency else 0.0
                later = run.calls()
                figures["commands"] = (later[0] - commands) / load.published
                figures["scripts"] = (later[1] - scripts) / load.published
        with Spread(ports, wire) as crowd:
            members = crowd.join(seats(FEW, "few"))
            crowd.settle(1.0)
            cpu, start = run.cpu(), time.monotonic()
            load = keep_rate(crowd, members[-1:], FEW, RATE, 2 * seconds, drain=1.0)
            figures["busy"] = 100 * (run.cpu() - cpu) / (time.monotonic() - start) / len(ports)
            if load.latency is not None:
                figures["p50"], figures["p99"] = load.latency.p50, load.latency.p99
    return figures


def tabulate(results: dict[str, list[Figures]], failed: dict[str, str]) -> Table:
    """Make the table."""
    table = Table(
        f"Many nodes: {MEMBERS:,} members of one room, spread over the processes; deliveries per second of their CPU",
        [
            "servers",
            "32 in flight",
            "Hubbub's two are",
            "p99 ms",
            "4 in flight",
            "Hubbub's two are",
            "p99 ms",
            f"{FEW} members, {RATE:.0f} a second: p50 ms",
            "p99 ms",
            "each busy %",
            "Redis commands a publication",
            "scripts",
        ],
    )
    for each in ALL:
        if each.name in failed:
            table.rows.append([each.name, failed[each.name], *[""] * (len(table.columns) - 2)])
            continue
        row = [each.name]
        for window in (32, 4):
            row += [_spread(results, each, f"deliveries {window}"), _ratio(results, each, window)]
            row += [_spread(results, each, f"p99 {window}")]
        row += [_spread(results, each, figure) for figure in ("p50", "p99", "busy", "commands", "scripts")]
        table.rows.append(row)
    notes = (
        _against(results, "deliveries 32", "32 in flight"),
        _against(results, "deliveries 4", "4 in flight"),
        _added(results),
    )
    table.notes.extend(note for note in notes if note)
    return table


def _values(results: dict[str, list[Figures]], each: Arrangement, figure: str) -> list[float]:
    return [run[figure] for run in results.get(each.name, ()) if figure in run]


def _spread(results: dict[str, list[Figures]], each: Arrangement, figure: str) -> str:
    return spread(_values(results, each, figure))


def _ratio(results: dict[str, list[Figures]], each: Arrangement, window: int) -> str:
    ours = _values(results, TWO, f"deliveries {window}")
    theirs = _values(results, each, f"deliveries {window}")
    return f"× {number(median(ours) / median(theirs))}" if ours and theirs and each is not TWO else ""


def _against(results: dict[str, list[Figures]], figure: str, name: str) -> str:
    two, one, memory = (_values(results, each, figure) for each in (TWO, ONE, IN_MEMORY))
    if not (two and one and memory):
        return ""
    return (
        f"Two nodes against one on Redis, {name}: × {number(median(two) / median(one))}; against one in memory: "
        f"× {number(median(two) / median(memory))}."
    )


def _added(results: dict[str, list[Figures]]) -> str:
    parts = []
    for figure in ("p50", "p99"):
        two, memory = _values(results, TWO, figure), _values(results, IN_MEMORY, figure)
        if not (two and memory):
            return ""
        parts.append(f"{figure} {number(median(two) - median(memory))} ms")
    return f"Added by Redis to what one node in memory takes: {', '.join(parts)}."


def measure(options: argparse.Namespace, core: int, console: Console) -> Table:
    """Take turns, run by run."""
    results: dict[str, list[Figures]] = {}
    failed = {each.name: why for each in ALL if (why := each.contestant.missing())}
    for run in range(1, options.runs + 1):
        for each in ALL:
            if each.name in failed:
                continue
            with console.status(f"run {run} of {options.runs}: {each.name}"):
                try:
                    figures = take(each, core, options.seconds)
                except (LoadError, NotStartedError, OSError) as error:
                    failed[each.name] = f"failed: {error}"
                else:
                    results.setdefault(each.name, []).append(figures)
    return tabulate(results, failed)


def main() -> int:
    options = _options()
    if shutil.which(REDIS[0]) is None:
        sys.exit("redis-server is not installed (scripts/install-redis)")
    unwind_on_signals()
    server_core, client_core = machine.cores()
    os.sched_setaffinity(0, {client_core})
    machine.lift_file_limit()
    load, *_ = os.getloadavg()
    console = Console(width=None if sys.stdout.isatty() else 200)
    table = measure(options, server_core, console)
    table.notes.append(
        f"{datetime.now(UTC):%Y-%m-%d}, medians of {options.runs} runs (least–greatest), the servers in turns; "
        f"load average before {load:.2f}. Commands: what Redis carried out under load, the calls in scripts and heartbeats "
        "included."
    )
    table.print(console)
    if options.write:
        report.write(PAGE, table.markdown(), BEGIN, END)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=3, help="how often each figure is taken")
    parser.add_argument("--seconds", type=float, default=2.0, help="how long a load is measured")
    parser.add_argument("--write", action="store_true", help=f"put the table into docs/{PAGE.name}")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
