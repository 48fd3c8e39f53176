"""Tables of text, for people and for the docs; and figures as text."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median

from rich.console import Console
from rich.table import Table as RichTable


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text under a title."""

    title: str
    columns: Sequence[str]
    rows: list[list[str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def print(self, console: Console) -> None:
        """Print it for people."""
        table = RichTable(*self.columns, title=self.title, title_justify="left")
        for row in self.rows:
            table.add_row(*row)
        console.print(table, markup=False)
        for note in self.notes:
            console.print(note, highlight=False, markup=False)

    def markdown(self) -> str:
        """Return it for the docs."""
        rows = _markdown_rows([self.columns, ["---"] * len(self.columns), *self.rows])
        return "\n".join([f"**{self.title}**", "", *rows, *(f"\n{note}" for note in self.notes)])


def _markdown_rows(rows: Iterable[Sequence[str]]) -> Iterable[str]:
    return (f"| {' | '.join(row)} |" for row in rows)


def spread(values: Sequence[float]) -> str:
    """Return the median, and the least and greatest where there is more than one."""
    if not values:
        return "–"
    if len(values) == 1:
        return number(values[0])
    return f"{number(median(values))} ({number(min(values))}–{number(max(values))})"


def number(value: float) -> str:
    """Return three significant digits, with k and M for what is large."""
    if value >= 999_500:
        return f"{value / 1e6:.3g} M"
    if value >= 10_000:
        return f"{value / 1e3:.3g} k"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
