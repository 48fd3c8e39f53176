"""Results as tables: medians with their spread, and how many times another's figure Hubbub's is."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from contestants import HUBBUB, Contestant
from measures import Figures, Measure, Size, Target
from tables import Table, number, spread

BEGIN = "<!-- results: written by benchmarks/run.py -->"
END = "<!-- end of results -->"

Runs = Mapping[str, Sequence[Figures]]
"""What was taken of each server, run by run."""


def table(measure: Measure, runs: Runs, size: Size, missing: Mapping[str, str]) -> Table:
    """Make one measure's table; who is missing from it has a row that says why."""
    columns = ["server"]
    for column in measure.columns:
        columns += [column.heading, "Hubbub is"] if column.compared else [column.heading]
    made = Table(measure.title(size), columns)
    for contestant in measure.contestants:
        row = [contestant.name]
        if contestant.name not in runs:
            why = missing.get(contestant.name, "failed, see below")
            made.rows.append([*row, why, *[""] * (len(columns) - 2)])
            continue
        for column in measure.columns:
            row.append(spread(values(runs, contestant, column.figure)))
            if column.compared:
                row.append(ratio(runs, contestant, column.figure, less_is_better=column.less_is_better))
        made.rows.append(row)
    made.notes.extend(
        note for note in (measure.note, *(verdict(each, runs) for each in measure.targets)) if note
    )
    return made


def values(runs: Runs, contestant: Contestant, figure: str) -> list[float]:
    """Return a figure, run by run."""
    return [run[figure] for run in runs.get(contestant.name, ()) if figure in run]


def ratio(runs: Runs, contestant: Contestant, figure: str, *, less_is_better: bool = False) -> str:
    """Return how many times as good as this server Hubbub is, by medians."""
    ours, theirs = values(runs, HUBBUB, figure), values(runs, contestant, figure)
    if contestant is HUBBUB or not ours or not theirs or median(ours) <= 0 or median(theirs) <= 0:
        return ""
    times = median(theirs) / median(ours) if less_is_better else median(ours) / median(theirs)
    return f"× {number(times)}"


def verdict(target: Target, runs: Runs) -> str:
    """Say in one line whether a target was reached; nothing where it cannot be told."""
    ours = values(runs, HUBBUB, target.figure)
    theirs = values(runs, target.of, target.figure) if target.of else [1.0]
    if not ours or not theirs:
        return ""
    bound = target.factor * median(theirs)
    reached = median(ours) <= bound if target.at_most else median(ours) >= bound
    word = "at most" if target.at_most else "at least"
    whose = f"{number(target.factor)} × {target.of.name} ({number(bound)})" if target.of else number(bound)
    return f"Target, {target.figure}: {word} {whose}: {'reached' if reached else 'not reached'}."


def write(page: Path, text: str, begin: str = BEGIN, end: str = END) -> None:
    """Replace what stands between two markers of a Markdown page."""
    before, found, rest = page.read_text().partition(begin)
    _, ended, after = rest.partition(end)
    if not found or not ended:
        raise ValueError(f"{page} does not hold the markers {begin} and {end}")
    page.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}")
