"""A whole trial, against a server of a few lines."""

import pytest
from fake_server import Room, serving

from hubbub.bench import LoadError, Plan, run
from hubbub.bench.trial import _lift_file_limit, _words


def test_the_figures_agree():
    with serving(Room()) as port:
        trial = run(Plan(port, token=str, members=4, seconds=0.1, warm=0.0, quiet=0.05))
    assert trial.connections == 4
    assert trial.load.received == 4 * trial.load.published
    assert trial.handshakes_per_second > 0
    assert (trial.handshakes_per_cpu_second, trial.kib_per_connection) == (None, None)


def test_a_rate_that_was_not_kept_is_told():
    with serving(Room(deaf=True)) as port:
        trial = run(Plan(port, token=str, members=2, seconds=0.1, quiet=0.05, rate=1e9, padding=1_000_000))
    (note,) = trial.notes
    assert note.startswith("the rate was not kept: ")
    assert note.endswith(" a second were sent, not 1,000,000,000")


def test_more_connections_than_files_are_refused_in_words():
    with pytest.raises(LoadError, match="ulimit -n"):
        _lift_file_limit(2**31)


def test_padding_is_exact_and_the_same_each_time():
    assert len(_words(1024)) == 1024
    assert _words(50) == _words(1024)[:50]
