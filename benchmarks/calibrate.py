"""Compare the load client with another one, written in C: is the client what is measured?

    benchmarks/calibrate.py --wsload PATH

Both load the same running servers in alternation, each time in a room of its own, with as many publications in
flight; a server's deliveries per second of its CPU should not depend on who counts them.
"""

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path
from statistics import median

from rich.console import Console

import contestants
import machine
from contestants import Contestant
from hubbub.bench import PLAIN, Crowd, Load, LoadError, keep_in_flight
from processes import NotStartedError, Server, unwind_on_signals
from seats import seats, token
from tables import Table, spread
from wires import HAND_MADE, NCHAN

TOLERANCE = 0.15
FIGURES = re.compile(
    r"deliveries/s (?P<per_second>\d+).*deliveries per cpu-second (?P<per_cpu_second>\d+)", re.DOTALL
)


def main() -> int:
    """Print a table of ratios; return 1 where one is out of the tolerance."""
    options = _options()
    unwind_on_signals()
    server_core, client_core = machine.cores()
    os.sched_setaffinity(0, {client_core})
    machine.lift_file_limit()
    console = Console(width=None if sys.stdout.isatty() else 160)
    table = Table(
        f"Deliveries per second of server CPU, {options.members:,} members, counted by two clients",
        ["server", "in flight", "hubbub.bench", "wsload", "ratio", "by the clock", "client busy"],
    )
    wrong = False
    for contestant in options.servers:
        for window in options.in_flight:
            with console.status(f"{contestant.name}, {window} in flight"):
                try:
                    row, agrees = _compare(contestant, window, server_core, options)
                except (LoadError, NotStartedError, OSError, subprocess.SubprocessError) as error:
                    row, agrees = [contestant.name, str(window), f"failed: {error}"], False
            table.rows.append(row)
            wrong = wrong or not agrees
    table.print(console)
    return int(wrong)


def _compare(
    contestant: Contestant, window: int, core: int, options: argparse.Namespace
) -> tuple[list[str], bool]:
    ours, theirs, clock, busy = [], [], [], []
    with contestant.serving(core) as server:
        for turn in range(options.runs):
            load = _count(contestant, server, f"ours{window}-{turn}", window, options)
            other = _count_in_c(contestant, server, f"theirs{window}-{turn}", window, options)
            ours.append(load.per_cpu_second or 0.0)
            theirs.append(other["per_cpu_second"])
            clock.append(load.per_second / other["per_second"])
            busy.append(load.client_cpu / load.seconds)
    ratio = median(ours) / median(theirs)
    row = [contestant.name, str(window), spread(ours), spread(theirs), f"{ratio:.2f}"]
    return [*row, f"{median(clock):.2f}", f"{median(busy):.0%}"], abs(ratio - 1) <= TOLERANCE


def _count(
    contestant: Contestant, server: Server, room: str, window: int, options: argparse.Namespace
) -> Load:
    with Crowd(server.port, wire=contestant.wire) as crowd:
        *_, publisher = crowd.join(seats(options.members, room))
        crowd.settle()
        return keep_in_flight(
            crowd,
            [publisher],
            options.members,
            window,
            options.seconds,
            server_cpu=server.process.cpu_seconds,
        )


def _count_in_c(
    contestant: Contestant, server: Server, room: str, window: int, options: argparse.Namespace
) -> dict[str, float]:
    wire = contestant.wire
    path = wire.path(next(iter(seats(1, room))))
    command = [
        str(options.wsload),
        "--port",
        str(server.port),
        "--path",
        path,
        "--pid",
        str(server.process.pid),
    ]
    command += ["--subs", str(options.members), "--window", str(window), "--secs", str(options.seconds)]
    command += ["--quiet", "1500", "--pub", _text(contestant, room)]
    if wire.steps:
        join = f'{{"type":"join_room","room_id":"{room}"}}'
        command += ["--init", join, "--pinit", join]
    command += ["--hdr", f"Authorization: Bearer {token('calibration')}\r\n"]
    if wire.subprotocol:
        command += ["--proto", wire.subprotocol]
    said = subprocess.run(
        command, capture_output=True, text=True, timeout=120 + options.seconds, check=True
    ).stdout
    found = FIGURES.search(said)
    if found is None:
        raise LoadError(f"wsload said {said!r}")
    return {name: float(value) for name, value in found.groupdict().items()}


def _text(contestant: Contestant, room: str) -> str:
    """Return what a member sends, with wsload's word in the place of the mark."""
    before, after = contestant.wire.template(room, "")
    json = before[before.index(b"{") :].removesuffix(b"T=")
    return (json + b"%T" + after).decode()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    plain = [each for each in contestants.ALL if each.wire in (PLAIN, HAND_MADE, NCHAN)]
    parser.add_argument("--wsload", type=Path, required=True, help="the other client's program")
    parser.add_argument("--members", type=int, default=1000)
    parser.add_argument("--in-flight", type=int, nargs="+", default=[4, 64])
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument(
        "--only", nargs="+", metavar="SERVER", help=f"of {', '.join(each.name for each in plain)}"
    )
    options = parser.parse_args()
    options.servers = [
        each for each in plain if not each.missing() and (not options.only or each.name in options.only)
    ]
    return options


if __name__ == "__main__":
    sys.exit(main())
