"""Results as tables: medians with their spread, and the ratio to the one-by-one manager."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table as RichTable

from contestants import ONE_BY_ONE
from load import Latency, Throughput
from measures import Handshakes, Idle, Size

BEGIN = "<!-- results: written by benchmarks/run.py -->"
END = "<!-- end of results -->"


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text under a title."""

    title: str
    columns: Sequence[str]
    rows: list[list[str]] = field(default_factory=list)
    note: str = ""

    def print(self, console: Console) -> None:
        """Print it for people."""
        table = RichTable(*self.columns, title=self.title, caption=self.note or None, title_justify="left")
        for row in self.rows:
            table.add_row(*row)
        console.print(table)

    def markdown(self) -> str:
        """Return it for the docs."""
        lines = [
            f"**{self.title}**",
            "",
            *_markdown_rows([self.columns, ["---"] * len(self.columns), *self.rows]),
        ]
        return "\n".join([*lines, *(["", self.note] if self.note else [])])


def _markdown_rows(rows: Iterable[Sequence[str]]) -> Iterable[str]:
    return (f"| {' | '.join(row)} |" for row in rows)


def fan_out(results: Mapping[str, Sequence[dict[int, Throughput]]], size: Size) -> Table:
    """Deliveries per second of the server's CPU."""
    columns = ["server"]
    for window in size.windows:
        columns += [f"{window} in flight", "ratio", "client busy"]
    table = Table(
        f"One room, {size.members:,} members: deliveries per second of server CPU",
        [*columns, "bytes a delivery"],
        note="Client busy: how much of its core the load took; near 100 % the server may have waited for it.",
    )
    figures = {
        window: {
            name: [run[window].deliveries / run[window].server_cpu for run in runs]
            for name, runs in results.items()
        }
        for window in size.windows
    }
    for name, runs in results.items():
        row = [name]
        for window in size.windows:
            busy = median(run[window].client_cpu / run[window].seconds for run in runs)
            row += [spread(figures[window][name]), ratio(figures[window], name), f"{busy:.0%}"]
        first = size.windows[0]
        row.append(f"{median(run[first].bytes_received / run[first].deliveries for run in runs):.0f}")
        table.rows.append(row)
    return table


def stalled(results: Mapping[str, Sequence[dict[int, Latency]]], size: Size) -> Table:
    """Latency with and without members that never read."""
    table = Table(
        f"{size.readers} members, {size.rate:.0f} messages a second of {size.padding / 1000:.0f} kB, "
        f"{size.stalled} more members that never read: latency of the others in ms",
        ["server", "p50 without", "p50 with", "p99 without", "p99 with", "p99 ratio", "not delivered"],
        note=f"What was not delivered when the {size.stalled_seconds:.0f} s were over counts with its age then.",
    )
    for name, runs in results.items():
        row = [name]
        for percentile in ("p50", "p99"):
            row += [spread([getattr(run[count], percentile) for run in runs]) for count in (0, size.stalled)]
        worse = [run[size.stalled].p99 / run[0].p99 for run in runs]
        missing = median(run[size.stalled].missing / run[size.stalled].expected for run in runs)
        table.rows.append([*row, f"× {spread(worse)}", f"{missing:.1%}"])
    return table


def idle(results: Mapping[str, Sequence[Idle]], size: Size) -> Table:
    """Memory of a connection."""
    table = Table(
        f"{size.connections:,} idle connections joined to one room: KiB a connection",
        ["server", "Pss", "ratio", "Rss", "handshakes per second of server CPU"],
        note="Hubbub tells the room who came and keeps presence; the others do neither.",
    )
    pss = {name: [run.pss for run in runs] for name, runs in results.items()}
    for name, runs in results.items():
        entering = [run.handshakes_per_cpu_second for run in runs]
        row = [name, spread(pss[name]), ratio(pss, name), spread([run.rss for run in runs]), spread(entering)]
        table.rows.append(row)
    return table


def handshakes(results: Mapping[str, Sequence[Handshakes]], size: Size) -> Table:
    """Handshakes with token check and join."""
    table = Table(
        f"{size.connections:,} handshakes with token check and join, {size.room_of} members to a room",
        ["server", "per second of server CPU", "ratio", "per second"],
    )
    figures = {name: [run.per_cpu_second for run in runs] for name, runs in results.items()}
    for name, runs in results.items():
        table.rows.append(
            [name, spread(figures[name]), ratio(figures, name), spread([run.per_second for run in runs])]
        )
    return table


def spread(values: Sequence[float]) -> str:
    """Return the median, and the least and greatest where there is more than one."""
    if len(values) == 1:
        return number(values[0])
    return f"{number(median(values))} ({number(min(values))}–{number(max(values))})"


def ratio(figures: Mapping[str, Sequence[float]], name: str) -> str:
    """Return how many times the one-by-one manager's median this one's is."""
    if ONE_BY_ONE.name not in figures:
        return "–"
    return f"× {number(median(figures[name]) / median(figures[ONE_BY_ONE.name]))}"


def number(value: float) -> str:
    """Return three significant digits, with k and M for what is large."""
    if value >= 999_500:
        return f"{value / 1e6:.3g} M"
    if value >= 10_000:
        return f"{value / 1e3:.3g} k"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def write(page: Path, text: str) -> None:
    """Replace what stands between the markers of a Markdown page."""
    before, found, rest = page.read_text().partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not found or not ended:
        raise ValueError(f"{page} does not hold the markers {BEGIN} and {END}")
    page.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")
