"""The picture beside the tables: deliveries and memory of every server, ready for the docs."""

from pathlib import Path
from statistics import median

import matplotlib as mpl

mpl.use("svg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

import contestants
from report import Runs, values
from tables import number

OURS = "#c2410c"
THEIRS = "#94a3b8"
OURS_LIGHT = "#fdba74"
THEIRS_LIGHT = "#cbd5e1"

Bars = list[tuple[str, float, float | None]]


def draw(path: Path, fan_out: Runs, idle: Runs) -> None:
    """Write the picture as SVG, the same bytes for the same figures."""
    mpl.rcParams.update({"font.size": 10, "svg.hashsalt": "hubbub"})
    both = [
        (runs, figures)
        for runs, figures in ((fan_out, ("deliveries 64", "deliveries 4")), (idle, ("pss",)))
        if runs
    ]
    figure, axes = plt.subplots(
        1, len(both), figsize=(5.5 * len(both), 4.6), squeeze=False, facecolor="white"
    )
    for axis, (runs, names) in zip(axes[0], both, strict=True):
        bars = _bars(runs, names)
        if names[0] == "pss":
            _plot(axis, bars, "KiB of server memory (Pss) per idle connection\n(less is better)", log=False)
        else:
            _plot(axis, bars, "deliveries per second of server CPU\n(log scale, more is better)", log=True)
            axis.set_title("One room; strong: 64 publications in flight, pale: 4", fontsize=10)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def _bars(runs: Runs, names: tuple[str, ...]) -> Bars:
    bars: Bars = []
    for contestant in contestants.ALL:
        taken = [values(runs, contestant, name) for name in names]
        if taken[0]:
            bars.append(
                (contestant.name, median(taken[0]), median(taken[1]) if len(taken) > 1 and taken[1] else None)
            )
    return sorted(bars, key=lambda bar: bar[1], reverse=names[0] == "pss")


def _plot(axis: Axes, bars: Bars, label: str, *, log: bool) -> None:
    names = [name for name, *_ in bars]
    paired = any(second is not None for *_, second in bars)
    height, shift = (0.4, 0.2) if paired else (0.6, 0.0)
    most = max(max(first, second or 0) for _, first, second in bars)
    least = min(min(first, second or first) for _, first, second in bars)
    floor = least / 2 if log else 0.0
    for place, (name, first, second) in enumerate(bars):
        ours = name == contestants.HUBBUB.name
        for value, offset, colour in (
            (first, shift, OURS if ours else THEIRS),
            (second, -shift, OURS_LIGHT if ours else THEIRS_LIGHT),
        ):
            if value is not None:
                axis.barh(place + offset, max(value, floor) - floor, height, left=floor, color=colour)
                axis.text(
                    max(value, floor) * 1.08 + most * 0.005 * (not log),
                    place + offset,
                    number(value),
                    va="center",
                    fontsize=8,
                )
    axis.set_yticks(range(len(names)), names)
    axis.set_xscale("log" if log else "linear")
    axis.set_xlim(floor, most * (3 if log else 1.25))
    axis.set_xlabel(label)
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(axis="x", color="#e2e8f0", linewidth=0.6)
    axis.set_axisbelow(True)
