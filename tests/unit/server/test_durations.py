import pytest

from hubbub.server.durations import seconds, written


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("25", 25),
        ("25s", 25),
        (" 25 s ", 25),
        ("5m", 300),
        ("24h", 86_400),
        ("1d", 86_400),
        ("250ms", 0.25),
        ("1.5h", 5400),
        ("0", 0),
        (25, 25),
        (0.5, 0.5),
    ],
)
def test_times_are_read_as_people_write_them(text, expected):
    assert seconds(text) == expected


@pytest.mark.parametrize(
    "text", ["", "s", "-5", -5, "5 minutes", "5M", "1h30m", "1e3", "٥", "nan", float("inf"), True, None, [5]]
)
def test_anything_else_is_refused_with_what_is_expected(text):
    with pytest.raises(ValueError, match="expected a time such as 25, 250ms, 25s, 5m, 24h or 1d"):
        seconds(text)


def test_more_than_a_century_is_refused():
    assert seconds("36500d") == 36_500 * 86_400
    with pytest.raises(ValueError, match="expected at most 36500d"):
        seconds("36501d")


@pytest.mark.parametrize("text", ["25s", "5m", "24h", "7d", "250ms", "0s", "90s", "1h"])
def test_what_is_written_can_be_read(text):
    assert seconds(written(seconds(text))) == seconds(text)


def test_a_time_is_written_in_the_largest_unit_that_it_fills():
    assert [written(value) for value in (0, 0.25, 25, 90, 900, 86_400)] == [
        "0s",
        "250ms",
        "25s",
        "90s",
        "15m",
        "1d",
    ]
