"""Compare Hubbub with what FastAPI projects write by hand: `make bench`.

Every figure is taken on a server started for it, held to one core, with the load on another; the servers take turns.
"""

import argparse
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

from rich.console import Console

import contestants
import machine
import measures
import report
from crowd import LoadError
from processes import NotStartedError

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"

MEASURES: dict[str, tuple[Callable[..., Any], Callable[..., report.Table]]] = {
    "fan-out": (measures.fan_out, report.fan_out),
    "stalled": (measures.stalled_receivers, report.stalled),
    "idle": (measures.idle_memory, report.idle),
    "handshakes": (measures.handshakes, report.handshakes),
}


def main() -> int:
    """Measure, print, and write where asked; return 1 if a server is missing from a table."""
    options = _options()
    size = measures.Size(seconds=options.seconds)
    if options.quick:
        size = replace(
            size, members=200, seconds=min(options.seconds, 1.0), stalled_seconds=4.0, connections=300
        )
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    console = Console(width=None if sys.stdout.isatty() else 160)
    server_core, client_core = machine.cores()
    os.sched_setaffinity(0, {client_core})
    preamble = _preamble(options.runs, size, server_core != client_core, machine.lift_file_limit())
    console.print("\n".join(preamble), highlight=False)

    tables, missing = [], []
    for name in options.only:
        measure, tabulate = MEASURES[name]
        results, failures = _take_turns(name, measure, server_core, size, options.runs, console)
        missing += failures
        if results:
            tables.append(tabulate(results, size))
            tables[-1].print(console)
    for failure in missing:
        console.print(f"missing: {failure}", style="red", highlight=False, markup=False)
    if options.write:
        lines = ["\n".join(f"* {line}" for line in preamble), *(table.markdown() for table in tables)]
        lines += [f"Missing: {failure}" for failure in missing]
        report.write(PAGE, "\n\n".join(lines))
        console.print(f"written to docs/{PAGE.name}")
    return 1 if missing else 0


def _take_turns(
    name: str, measure: Callable[..., Any], core: int, size: measures.Size, runs: int, console: Console
) -> tuple[dict[str, list[Any]], list[str]]:
    """Measure every server once, then all again; who fails once is left out from there on, and named."""
    results: dict[str, list[Any]] = {}
    failed: dict[str, str] = {}
    for run in range(1, runs + 1):
        for contestant in contestants.ALL:
            if contestant.name in failed:
                continue
            with console.status(f"{name}, run {run} of {runs}: {contestant.name}"):
                try:
                    results.setdefault(contestant.name, []).append(measure(contestant, core, size))
                except (LoadError, NotStartedError, OSError) as error:
                    failed[contestant.name] = f"{name}, {contestant.name}, run {run}: {error}"
    return {name: taken for name, taken in results.items() if taken}, list(failed.values())


def _preamble(runs: int, size: measures.Size, two_cores: bool, files: int) -> list[str]:
    load, *_ = os.getloadavg()
    placing = (
        "The server on one core, the load on another" if two_cores else "Server and load share the only core"
    )
    lifted = ", ".join(f"{key}={value}" for key, value in contestants.LIFTED.items())
    turns = (
        f"Medians of {runs} runs (least–greatest in brackets), the servers in turns"
        if runs > 1
        else "One run"
    )
    return [
        f"{datetime.now(UTC):%Y-%m-%d}: {machine.describe()}",
        f"{placing}; load average before the first run {load:.2f}",
        f"{turns}; fan-out over {size.seconds:g} s, latency over {size.stalled_seconds:g} s, after {measures.WARM:g} s of warm-up",
        f"Limits lifted: {lifted}; open files {files:,}",
    ]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="small and once: to see that everything works")
    parser.add_argument("--only", nargs="+", choices=MEASURES, default=list(MEASURES), help="some measures")
    parser.add_argument("--runs", type=int, help="how often each figure is taken (3; with --quick 1)")
    parser.add_argument("--seconds", type=float, default=3.0, help="how long fan-out is measured (3)")
    parser.add_argument("--write", action="store_true", help=f"put the results into docs/{PAGE.name}")
    options = parser.parse_args()
    if options.quick and options.write:
        parser.error("figures taken with --quick are not worth writing down")
    options.runs = options.runs or (1 if options.quick else 3)
    return options


def _leave(number: int, _: FrameType | None) -> None:
    sys.exit(128 + number)  # unwinds the `with` that holds the running server


if __name__ == "__main__":
    sys.exit(main())
