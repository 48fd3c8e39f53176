"""The tables of background jobs, and what is to be reached in them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
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


@dataclass(frozen=True, slots=True)
class Taken:
    """What was taken, run by run, and why there is nothing of the others."""

    figures: dict[Key, list[Figures]] = field(default_factory=dict)
    failed: dict[Key, str] = field(default_factory=dict)

    def values(self, each: JobContestant, processes: int, figure: str) -> list[float]:
        """Return a figure, run by run; nothing of one that failed in any run."""
        key = each.name, processes
        runs = () if key in self.failed else self.figures.get(key, ())
        return [run[figure] for run in runs if figure in run]

    def ratio(self, each: JobContestant, processes: int, figure: str) -> str:
        """Return how many times another's figure Hubbub's on PostgreSQL is, with as many workers."""
        ours, theirs = (self.values(one, processes, figure) for one in (of.ON_POSTGRES, each))
        if each is of.ON_POSTGRES or not ours or not theirs:
            return ""
        return f"× {number(median(ours) / median(theirs))}"


def singles(contestants: Sequence[JobContestant], taken: Taken, sizes: Sizes) -> Table:
    """Make the table of how soon single jobs begin."""
    table = Table(
        f"Background jobs: {sizes.samples} single jobs on an idle queue, ms until the task is in its first line",
        ["queue", "bare commit p50", "from the call p50", "p99", "from its return p50", "p99"],
    )
    for each in contestants:
        if why := taken.failed.get((each.name, 0)):
            table.rows.append([each.name, why, "", "", "", ""])
            continue
        figures = ("bare p50", "called p50", "called p99", "returned p50", "returned p99")
        table.rows.append([each.name, *(spread(taken.values(each, 0, figure)) for figure in figures)])
    table.notes.append(
        "The worker is another process than the one that enqueues, but for SQLite. A bare commit inserts one row by the same "
        "driver into the same database. A task that began before the call had returned counts as 0."
    )
    if times := taken.values(of.ON_SQLITE, 0, "called p50"):
        table.notes.append(_at_most("SQLite, from the call, p50 in ms", median(times), SQLITE_MS))
    if times := taken.values(of.ON_POSTGRES, 0, "called p50"):
        bound = median(taken.values(of.ON_POSTGRES, 0, "bare p50")) + ADDED_MS
        what = f"PostgreSQL, from the call, p50 in ms, a bare commit + {ADDED_MS:g}"
        table.notes.append(_at_most(what, median(times), bound))
    return table


def throughput(contestants: Sequence[JobContestant], taken: Taken, sizes: Sizes, settings: str) -> Table:
    """Make the table of how many are done."""
    ratio = "Hubbub on PostgreSQL is"
    table = Table(
        f"Background jobs a second: {sizes.filled:,} trivial ones enqueued before, and {sizes.rushed:,} end to end",
        ["queue", "workers", "worked off", ratio, "end to end", ratio],
    )
    twice = 0.0
    for each in contestants:
        for processes in each.processes:
            row = [each.name, str(processes)]
            if why := taken.failed.get((each.name, processes)):
                table.rows.append([*row, why, "", "", ""])
                continue
            for figure in ("worked off", "end to end"):
                row += [spread(taken.values(each, processes, figure)), taken.ratio(each, processes, figure)]
            table.rows.append(row)
            twice += sum(taken.values(each, processes, "begun twice"))
    table.notes.append(
        f"{PLACES} jobs at once in each worker, no process held to a core. Worked off: from the first task's first line "
        "until all are stored as done, after PostgreSQL was told to VACUUM ANALYZE. End to end: enqueued one by one with 50 "
        "calls in flight while the workers run, from the first call until all are stored as done. Jobs that began more than "
        f"once, of all together: {twice:,.0f}."
    )
    table.notes.append(
        f"What survives a power cut: with SQLite (synchronous=FULL) and {settings}, every job whose enqueuing returned. "
        "With Redis, as it is configured when nothing is said, only what the last snapshot holds, a minute old or more: SAQ "
        "waits for no disk there."
    )
    table.notes.extend(_targets(taken))
    return table


def _targets(taken: Taken) -> Iterator[str]:
    if rates := taken.values(of.ON_SQLITE, 1, "worked off"):
        yield _at_least("SQLite, worked off a second", median(rates), SQLITE_RATE)
    ours, saq = (taken.values(each, 4, "worked off") for each in (of.ON_POSTGRES, of.SAQ_ON_POSTGRES))
    if ours and saq:
        what = f"PostgreSQL, four workers, worked off a second, {TIMES_SAQ:g} × SAQ on PostgreSQL"
        yield _at_least(what, median(ours), TIMES_SAQ * median(saq))


def _at_most(what: str, value: float, bound: float) -> str:
    return _verdict(f"{what}: at most {number(bound)}", value, is_reached=value <= bound)


def _at_least(what: str, value: float, bound: float) -> str:
    return _verdict(f"{what}: at least {number(bound)}", value, is_reached=value >= bound)


def _verdict(what: str, value: float, *, is_reached: bool) -> str:
    return f"Target, {what}: {'reached' if is_reached else 'not reached'} ({number(value)})."
