"""Medians, spreads, ratios and targets of the project's own benchmarks."""

import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    before = set(sys.modules)
    monkeypatch.syspath_prepend(BENCHMARKS)
    yield
    for name in set(sys.modules) - before:
        if str(BENCHMARKS) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0.024, "0.024"),
        (4.25, "4.25"),
        (850, "850"),
        (9999, "9,999"),
        (66_000, "66 k"),
        (5_764_000, "5.76 M"),
    ],
)
def test_numbers(value, said):
    from tables import number

    assert number(value) == said


def test_the_median_and_what_it_lies_between():
    from tables import spread

    assert spread([3.0, 1.0, 2.0]) == "2 (1–3)"
    assert spread([2.0]) == "2"
    assert spread([]) == "–"


def test_ratios_and_targets_compare_medians():
    import contestants
    import measures
    import report

    runs = {"Hubbub": [{"x": 4.0}, {"x": 6.0}, {"x": 5.0}], "Node ws": [{"x": 2.0}, {"x": 2.5}, {"x": 3.0}]}
    assert report.ratio(runs, contestants.NODE_WS, "x") == "× 2"
    assert report.ratio(runs, contestants.NODE_WS, "x", less_is_better=True) == "× 0.5"
    assert report.ratio(runs, contestants.HUBBUB, "x") == ""
    assert report.ratio(runs, contestants.ONE_BY_ONE, "x") == ""
    assert report.verdict(measures.Target("x", 2, contestants.NODE_WS), runs).endswith(
        "2 × Node ws (5): reached."
    )
    assert report.verdict(measures.Target("x", 4.9, at_most=True), runs).endswith(": not reached.")
    assert report.verdict(measures.Target("x", 1, contestants.ONE_BY_ONE), runs) == ""


def test_who_is_missing_has_a_row():
    import measures
    import report

    measure = measures.MEASURES["deflate"]
    table = report.table(measure, {}, measures.SHORT, {"Node ws": "not installed"})
    assert [row[:2] for row in table.rows] == [
        ["Hubbub", "failed, see below"],
        ["Node ws", "not installed"],
    ]
    assert "| Node ws | not installed |" in table.markdown()


def test_results_stand_between_the_markers(tmp_path):
    import report

    page = tmp_path / "page.md"
    page.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    report.write(page, "new")
    assert page.read_text() == f"before\n{report.BEGIN}\n\nnew\n\n{report.END}\nafter\n"
    page.write_text("no markers")
    with pytest.raises(ValueError, match="markers"):
        report.write(page, "new")


def test_every_measure_shows_what_it_takes():
    import measures

    for measure in measures.MEASURES.values():
        shown = {column.figure for column in measure.columns}
        assert {target.figure for target in measure.targets} <= shown
