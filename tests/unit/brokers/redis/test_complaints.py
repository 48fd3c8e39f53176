"""Refusals that come by the thousand are a line a second."""

from hubbub.brokers.redis.complaints import Complaints
from hubbub.testing import FakeClock


def test_the_first_of_a_second_is_said_and_the_others_are_counted(caplog):
    clock = FakeClock()
    complaints = Complaints(clock.monotonic)
    for number in range(100):
        complaints.complain("Refused", ValueError(number))
    clock.advance(1)
    complaints.complain("Refused", ValueError("last"))
    assert [record.getMessage() for record in caplog.records] == [
        "Refused: 0",
        "Refused: last (and 99 more since the last line)",
    ]
