import pytest

from hubbub.jobs.sql.rounds import Round


@pytest.mark.parametrize(
    ("has", "expected"),
    [
        ({}, False),
        ({"room": 1}, True),
        ({"is_looking": True}, True),
        ({"changed": {"run": 1}}, True),
        ({"ended": [("run", "outcome")]}, True),
        ({"is_unsure": True}, False),  # it waits for the next look, or for something to do
    ],
)
def test_a_round_with_nothing_to_ask_for_asks_for_nothing(has, expected):
    nothing = {"ended": [], "changed": {}, "lines": {}, "room": 0}
    flags = {"is_looking": False, "is_promoting": False, "is_unsure": False, "holder": "me"}
    assert Round(**{**nothing, **flags, **has}).has_work is expected
