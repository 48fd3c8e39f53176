"""Background jobs beside others: how soon one begins, how many are done in a second.

Hubbub on SQLite and PostgreSQL, SAQ on PostgreSQL and Redis, procrastinate on PostgreSQL, in turns, each on a store of its
own that is empty. The stores are in the folder for temporary files (`TMPDIR`): let that be on a disk, since what a commit
costs is part of what is measured.

    .venv/bin/python benchmarks/jobs.py [--runs 3] [--only Hubbub] [--write]
"""

import argparse
import asyncio
import os
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import rings  # noqa: F401 (what is imported below is found by it)

# isort: split

import asyncpg
from postgres_servers import PostgresServer, postgres_server
from rich.console import Console

import job_contestants as of
import machine
import report
from job_contestants import JobContestant
from job_tables import Taken, singles, throughput
from job_trials import Figures, Sizes, TrialError, pick_up, rates
from processes import unwind_on_signals
from tables import Table

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
BEGIN, END = "<!-- jobs: written by benchmarks/jobs.py -->", "<!-- end of jobs -->"
DURABLE = ("fsync=on", "synchronous_commit=on", "full_page_writes=on")


async def measure(
    options: argparse.Namespace, contestants: Sequence[JobContestant], console: Console
) -> list[Table]:
    """Take turns, run by run."""
    taken = Taken()
    sizes = Sizes(options.samples, options.jobs, options.rushed)
    turns = [(each, processes) for each in contestants for processes in (0, *each.processes)]
    for each, processes in turns:
        if why := each.missing():
            taken.failed[each.name, processes] = why
    with (
        tempfile.TemporaryDirectory(prefix="hubbub-bench-") as folder,
        postgres_server(Path(folder), *DURABLE) as postgres,
    ):
        await postgres.start()
        for run in range(1, options.runs + 1):
            for each, processes in turns:
                key = each.name, processes
                if key in taken.failed:
                    continue
                what = f"{processes} workers" if processes else "single jobs"
                with console.status(f"run {run} of {options.runs}: {each.name}, {what}"):
                    try:
                        figures = await take(each, postgres, processes, sizes)
                    except (TrialError, OSError) as error:
                        taken.failed[key] = f"failed: {error}"
                    else:
                        taken.figures.setdefault(key, []).append(figures)
        settings = await durability(postgres)
    return [singles(contestants, taken, sizes), throughput(contestants, taken, sizes, settings)]


async def take(each: JobContestant, postgres: PostgresServer, processes: int, sizes: Sizes) -> Figures:
    """Take the figures of one contestant with so many workers; with 0 those of single jobs."""
    if processes:
        return await rates(each, postgres, processes, sizes)
    return await pick_up(each, postgres, sizes)


async def durability(postgres: PostgresServer) -> str:
    """Return what PostgreSQL says of itself."""
    connection = await asyncpg.connect(postgres.url())
    try:
        names = [setting.partition("=")[0] for setting in DURABLE]
        said = [f"{name} {await connection.fetchval(f'SHOW {name}')}" for name in names]
        return f"PostgreSQL {await connection.fetchval('SHOW server_version')} ({', '.join(said)})"
    finally:
        await connection.close()


def main() -> int:
    options = _options()
    unwind_on_signals()
    load, *_ = os.getloadavg()
    console = Console(width=None if sys.stdout.isatty() else 180)
    chosen = [each for each in of.ALL if options.only.lower() in each.name.lower()]
    tables = asyncio.run(measure(options, chosen, console))
    tables[-1].notes.append(
        f"{datetime.now(UTC):%Y-%m-%d}: {', '.join(of.versions(each for each in chosen if not each.missing()))}; "
        f"{machine.describe().partition(', Linux')[0]}. Medians of {options.runs} runs (least–greatest), the queues in turns; "
        f"load average before {load:.2f}."
    )
    for table in tables:
        table.print(console)
    if options.write:
        report.write(PAGE, "\n\n".join(table.markdown() for table in tables), BEGIN, END)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=3, help="how often each figure is taken")
    parser.add_argument("--samples", type=int, default=300, help="single jobs")
    parser.add_argument("--jobs", type=int, default=5000, help="jobs enqueued before they are worked off")
    parser.add_argument("--rushed", type=int, default=2000, help="jobs enqueued while the workers run")
    parser.add_argument("--only", default="", help="those whose name holds this")
    parser.add_argument("--write", action="store_true", help=f"put the tables into docs/{PAGE.name}")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
