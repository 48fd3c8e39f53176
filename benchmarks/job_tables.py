"""The tables of background jobs, and what is to be reached in them."""

from collections.abc import Iterator, Sequence
from statistics import median

import job_contestants as of
from job_contestants import JobContestant
from job_trials import PLACES, Figures, Sizes
from tables import Table, number, spread

SQLITE_MS = 10.0
"""From the call to the first line, p50 at most."""
ADDED_MS = 15.0
"""What PostgreSQL may add to a bare commit."""
SQLITE_RATE = 500.0
TIMES_SAQ = 2.0

Key = tuple[str, int]
"""A contestant's name and its number of workers; 0 where single jobs are timed."""
Results = dict[Key, list[Figures]]


def singles(contestants: Sequence[JobContestant], results: Results, sizes: Sizes) -> Table:
    """Make the table of how soon single jobs begin."""
    table = Table(
        f"Background jobs: {sizes.samples} single jobs on an idle queue, ms until the task is in its first line",
        ["queue", "bare commit p50", "from the call p50", "p99", "from its return p50", "p99"],
    )
    figures = ("bare p50", "called p50", "called p99", "returned p50", "returned p99")
    for each in contestants:
        table.rows.append(_row(each, results, 0, [each.name], figures))
    table.notes.append(
        "The worker is another process than the one that enqueues, but for SQLite. A bare commit inserts one row by the same "
        "driver into the same database. A task that began before the call had returned counts as 0."
    )
    ours, bare = (
        _values(results, of.ON_SQLITE, 0, "called p50"),
        _values(results, of.ON_POSTGRES, 0, "bare p50"),
    )
    if ours:
        table.notes.append(
            _verdict("SQLite, from the call, p50 in ms", median(ours), SQLITE_MS, at_most=True)
        )
    if bare:
        theirs, bound = _values(results, of.ON_POSTGRES, 0, "called p50"), median(bare) + ADDED_MS
        table.notes.append(
            _verdict(
                f"PostgreSQL, from the call, p50 in ms, a bare commit + {ADDED_MS:g}",
                median(theirs),
                bound,
                at_most=True,
            )
        )
    return table


def throughput(contestants: Sequence[JobContestant], results: Results, sizes: Sizes, settings: str) -> Table:
    """Make the table of how many are done."""
    table = Table(
        f"Background jobs a second: {sizes.filled:,} trivial ones enqueued before, and {sizes.rushed:,} end to end",
        [
            "queue",
            "workers",
            "worked off",
            "Hubbub on PostgreSQL is",
            "end to end",
            "Hubbub on PostgreSQL is",
        ],
    )
    for each in contestants:
        for processes in each.processes:
            row = [each.name, str(processes)]
            if (why := each.missing()) or not results[each.name, processes]:
                table.rows.append([*row, why or "failed", "", "", ""])
                continue
            for figure in ("worked off", "end to end"):
                row += [
                    spread(_values(results, each, processes, figure)),
                    _ratio(results, each, processes, figure),
                ]
            table.rows.append(row)
    table.notes.append(
        f"{PLACES} jobs at once in each worker, no process held to a core. Worked off: from the first task's first line "
        "until all are stored as done. End to end: enqueued one by one with 50 calls in flight while the workers run, from "
        "the first call until all are stored as done."
    )
    table.notes.append(
        f"What survives a power cut: with SQLite (synchronous=FULL) and {settings}, every job whose enqueuing returned. "
        "With Redis, as it is configured when nothing is said, only what the last snapshot holds, a minute old or more: SAQ "
        "waits for no disk there."
    )
    twice = sum(run["begun twice"] for (_, processes), runs in results.items() if processes for run in runs)
    table.notes.append(f"Jobs that began more than once, of all together: {twice:,.0f}.")
    table.notes.extend(_targets(results))
    return table


def _targets(results: Results) -> Iterator[str]:
    if sqlite := _values(results, of.ON_SQLITE, 1, "worked off"):
        yield _verdict("SQLite, worked off a second", median(sqlite), SQLITE_RATE)
    ours, saq = (_values(results, each, 4, "worked off") for each in (of.ON_POSTGRES, of.SAQ_ON_POSTGRES))
    if ours and saq:
        what = f"PostgreSQL, four workers, worked off a second, {TIMES_SAQ:g} × SAQ on PostgreSQL"
        yield _verdict(what, median(ours), TIMES_SAQ * median(saq))


def _row(
    each: JobContestant, results: Results, processes: int, row: list[str], figures: Sequence[str]
) -> list[str]:
    if (why := each.missing()) or not results[each.name, processes]:
        return [*row, why or "failed", *[""] * (len(figures) - 1)]
    return [*row, *(spread(_values(results, each, processes, figure)) for figure in figures)]


def _values(results: Results, each: JobContestant, processes: int, figure: str) -> list[float]:
    return [run[figure] for run in results[each.name, processes] if figure in run]


def _ratio(results: Results, each: JobContestant, processes: int, figure: str) -> str:
    ours = _values(results, of.ON_POSTGRES, processes, figure)
    theirs = _values(results, each, processes, figure)
    return (
        f"× {number(median(ours) / median(theirs))}" if ours and theirs and each is not of.ON_POSTGRES else ""
    )


def _verdict(what: str, value: float, bound: float, *, at_most: bool = False) -> str:
    reached = value <= bound if at_most else value >= bound
    word = "at most" if at_most else "at least"
    return f"Target, {what}: {word} {number(bound)}: {'reached' if reached else 'not reached'} ({number(value)})."
