"""A thousand jobs in progress, each watched by its owner, beside a chat: what the chat notices of it.

One `hubbub serve` on one core, the clients on another. The watchers are connected all the time; first without jobs, then
each with one that tells of a step every second.

    .venv/bin/python benchmarks/watched_jobs.py [--jobs 1000] [--runs 3] [--seconds 20] [--write]
"""

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from rich.console import Console

import contestants as of
import machine
import report
from hubbub.bench import Crowd, LoadError, Member, keep_rate
from job_watchers import asked, watchers
from processes import Server, unwind_on_signals
from seats import seats, token
from tables import Table, number, spread

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
BEGIN, END = "<!-- watched jobs: written by benchmarks/watched_jobs.py -->", "<!-- end of watched jobs -->"

STEP = 1.0
"""Seconds between two updates of a job."""
MARGIN = 40.0
"""Seconds that the jobs last beyond the load: to start them all, and to be sure that none ends during it."""
TIMES = 2.0
"""How many times p99 may grow."""

Figures = dict[str, float]
FIGURES = ("p50", "p99", "missing", "busy", "updates", "running")
WITHOUT, WITH = "no jobs", "jobs in progress"


def take(options: argparse.Namespace, core: int) -> dict[str, Figures]:
    """Run one round: a server, the chat without jobs and the chat with them."""
    environment = {**of.HUBBUB.environment, "HUBBUB_JOBS_CONCURRENCY": str(options.jobs)}
    hubbub = replace(of.HUBBUB, environment=environment)
    with (
        hubbub.serving(core) as server,
        watchers(server.port, options.jobs) as audience,
        Crowd(server.port) as crowd,
    ):
        members = crowd.join(seats(options.members, "chat"))
        crowd.settle(1.0)
        chat(crowd, members, server, options, 2.0)  # what is made once is made
        figures = {WITHOUT: chat(crowd, members, server, options, options.seconds)}
        audience.start(*length(options.seconds))
        crowd.settle(1.0)
        before = audience.updates()
        figures[WITH] = chat(crowd, members, server, options, options.seconds)
        figures[WITH]["updates"] = (audience.updates() - before) / figures[WITH]["lasted"]
        figures[WITH]["running"] = running(server.port)
    return figures


def length(seconds: float) -> tuple[int, float]:
    """Return the steps of a job, and how many seconds they last all together."""
    lasts = seconds + MARGIN
    return round(lasts / STEP), lasts


def chat(
    crowd: Crowd, members: Sequence[Member], server: Server, options: argparse.Namespace, seconds: float
) -> Figures:
    """Let one member talk to the room."""
    load = keep_rate(
        crowd,
        members[:1],
        len(members),
        options.rate,
        seconds,
        drain=1.0,
        server_cpu=server.process.cpu_seconds,
    )
    if load.latency is None or crowd.lost:
        raise LoadError(f"The chat does not go on: {crowd.losses}.")
    return {
        "p50": load.latency.p50,
        "p99": load.latency.p99,
        "missing": load.missing,
        "lasted": load.seconds,
        "busy": 100 * (load.server_cpu or 0.0) / load.seconds,
    }


def running(port: int) -> float:
    """Return how many jobs run, as the server says."""
    counts = asked(port, "GET", "/api/v1/admin/tasks?limit=1", token("root", scope="admin"))["counts"]
    return float(counts["running"])


def tabulate(rounds: Sequence[dict[str, Figures]], options: argparse.Namespace) -> Table:
    """Make the table."""
    table = Table(
        f"{options.jobs:,} jobs in progress, each watched by one client: a chat of {options.members} members beside them, "
        f"{options.rate:g} messages a second",
        [
            "",
            "p50 ms",
            "p99 ms",
            "not delivered",
            "server busy %",
            "updates delivered a second",
            "jobs running after it",
        ],
    )
    for name in (WITHOUT, WITH):
        figures = [each[name] for each in rounds]
        columns = ([each[figure] for each in figures if figure in each] for figure in FIGURES)
        table.rows.append([name, *map(spread, columns)])
    p99 = {name: median([each[name]["p99"] for each in rounds]) for name in (WITHOUT, WITH)}
    bound = TIMES * p99[WITHOUT]
    table.notes.append(
        f"Target, p99 of the chat with jobs: at most {TIMES:g} × without ({number(bound)} ms): "
        f"{'reached' if p99[WITH] <= bound else 'not reached'} (× {number(p99[WITH] / p99[WITHOUT])})."
    )
    return table


def main() -> int:
    options = _options()
    unwind_on_signals()
    server_core, client_core = machine.cores()
    os.sched_setaffinity(0, {client_core})
    files = machine.lift_file_limit()
    if files < 2 * options.jobs + 200:
        sys.exit(f"ulimit -n is {files}; {options.jobs} watchers need {2 * options.jobs + 200}")
    load, *_ = os.getloadavg()
    console = Console(width=None if sys.stdout.isatty() else 180)
    rounds = []
    for run in range(1, options.runs + 1):
        with console.status(f"round {run} of {options.runs}"):
            rounds.append(take(options, server_core))
    table = tabulate(rounds, options)
    table.notes.append(
        f"{datetime.now(UTC):%Y-%m-%d}, medians of {options.runs} rounds (least–greatest) of {options.seconds:g} s without and "
        f"{options.seconds:g} s with jobs, a new server for each. The jobs are those of the task `demo`, on SQLite in the same "
        f"process, with an update every {STEP:g} s each; HUBBUB_JOBS_CONCURRENCY={options.jobs}. The watchers are connected "
        f"without jobs too. Load average before {load:.2f}."
    )
    table.print(console)
    if options.write:
        report.write(PAGE, table.markdown(), BEGIN, END)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=1000, help="in progress, at most 1,000")
    parser.add_argument("--members", type=int, default=50, help="of the chat")
    parser.add_argument("--rate", type=float, default=20.0, help="messages a second in the chat")
    parser.add_argument("--runs", type=int, default=3, help="how often each figure is taken")
    parser.add_argument("--seconds", type=float, default=20.0, help="how long the chat is measured")
    parser.add_argument("--write", action="store_true", help=f"put the table into docs/{PAGE.name}")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
