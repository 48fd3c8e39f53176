"""Compare Hubbub with its peers: `make bench`.

Every figure is taken on a server started for it, held to one core, with the load on another; the servers take turns.
"""

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

import contestants
import machine
import measures
import report
from contestants import Contestant
from hubbub.bench import LoadError
from measures import MEASURES, Figures, Size
from processes import NotStartedError, unwind_on_signals
from tables import Table

DOCS = Path(__file__).parents[1] / "docs"
PAGE = DOCS / "benchmarks.md"
PICTURE = DOCS / "benchmarks.svg"

Results = dict[str, dict[str, list[Figures]]]
"""By measure and server, run by run."""


def main() -> int:
    """Measure, print, and write where asked; return 1 if a server that is installed failed."""
    options = _options()
    size = measures.SHORT if options.quick else Size(seconds=options.seconds)
    unwind_on_signals()
    console = Console(width=None if sys.stdout.isatty() else 180)
    server_core, client_core = machine.cores()
    os.sched_setaffinity(0, {client_core})
    files = machine.lift_file_limit()
    absent = {each.name: why for each in contestants.ALL if (why := each.missing())}
    taking_part = [each for each in options.servers if each.name not in absent]
    preamble = _preamble(options, size, taking_part, absent, server_core != client_core, files)
    console.print("\n".join(preamble), highlight=False, markup=False)

    results: Results = {}
    failures: list[str] = []
    tables = []
    for name in options.only:
        results[name], failed = _take_turns(name, taking_part, server_core, size, options.runs, console)
        failures += failed
        left_out = {each.name: "left out" for each in contestants.ALL if each not in options.servers}
        tables.append(report.table(MEASURES[name], results[name], size, left_out | absent))
        tables[-1].print(console)
    for failure in failures:
        console.print(f"failed: {failure}", style="red", highlight=False, markup=False)
    if options.json:
        options.json.write_text(json.dumps({"machine": preamble, "results": results}, indent=1))
    if options.write:
        _write(preamble, tables, failures, results)
        console.print(f"written to docs/{PAGE.name} and docs/{PICTURE.name}")
    return 1 if failures else 0


def _take_turns(
    name: str, taking_part: Sequence[Contestant], core: int, size: Size, runs: int, console: Console
) -> tuple[dict[str, list[Figures]], list[str]]:
    """Measure every server once, then all again; who fails once is left out from there on, and named."""
    measure = MEASURES[name]
    results: dict[str, list[Figures]] = {}
    failed: dict[str, str] = {}
    for run in range(1, runs + 1):
        for contestant in measure.contestants:
            if contestant not in taking_part or contestant.name in failed:
                continue
            with console.status(f"{name}, run {run} of {runs}: {contestant.name}"):
                try:
                    figures = measure.take(contestant, core, size)
                except (LoadError, NotStartedError, OSError) as error:
                    failed[contestant.name] = f"{name}, {contestant.name}, run {run}: {error}"
                else:
                    results.setdefault(contestant.name, []).append(figures)
    return results, list(failed.values())


def _write(
    preamble: Sequence[str], tables: Sequence[Table], failures: Sequence[str], results: Results
) -> None:
    import plot  # noqa: PLC0415 (matplotlib is needed for this alone)

    plot.draw(PICTURE, results.get("fan-out", {}), results.get("idle", {}))
    parts = ["\n".join(f"* {line}" for line in preamble)]
    parts.append(f"![Deliveries per second of server CPU, and memory per connection]({PICTURE.name})")
    parts += [table.markdown() for table in tables]
    parts += [f"Failed: {failure}" for failure in failures]
    report.write(PAGE, "\n\n".join(parts))


def _preamble(
    options: argparse.Namespace,
    size: Size,
    taking_part: Sequence[Contestant],
    absent: Mapping[str, str],
    two_cores: bool,
    files: int,
) -> list[str]:
    load, *_ = os.getloadavg()
    placing = (
        "The server on one core, the load on another" if two_cores else "Server and load share the only core"
    )
    lifted = ", ".join(f"{key}={value}" for key, value in contestants.LIFTED.items())
    turns = (
        f"Medians of {options.runs} runs (least–greatest in brackets), the servers in turns"
        if options.runs > 1
        else "One run"
    )
    return [
        f"{datetime.now(UTC):%Y-%m-%d}: {machine.describe()}",
        f"Servers: {', '.join(machine.versions(taking_part))}",
        *(f"Missing: {name}: {why}" for name, why in absent.items()),
        f"{placing}; load average before the first run {load:.2f}",
        (
            f"{turns}; each load over {size.seconds:g} s after {min(measures.WARM, size.seconds):g} s of warm-up, "
            f"latency with stalled receivers over {size.stalled_seconds:g} s"
        ),
        (
            f"Limits lifted: {lifted} (Hubbub); open files {files:,}; the capacity of Channels' layer 10,000; "
            "socketify's max_backpressure 16 MiB"
        ),
    ]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="small and once: to see that everything works")
    parser.add_argument("--only", nargs="+", choices=MEASURES, default=list(MEASURES), help="some measures")
    names = {each.name: each for each in contestants.ALL}
    parser.add_argument("--servers", nargs="+", choices=names, default=list(names), help="some servers")
    parser.add_argument("--runs", type=int, help="how often each figure is taken (3; with --quick 1)")
    parser.add_argument("--seconds", type=float, default=2.0, help="how long a load is measured")
    parser.add_argument("--write", action="store_true", help=f"put the results into docs/{PAGE.name}")
    parser.add_argument("--json", type=Path, help="put every figure of every run into this file")
    options = parser.parse_args()
    if options.quick and options.write:
        parser.error("figures taken with --quick are not worth writing down")
    options.servers = [names[name] for name in options.servers]
    options.runs = options.runs or (1 if options.quick else 3)
    return options


if __name__ == "__main__":
    sys.exit(main())
