"""Who runs on which core."""

import os

import pytest

from hubbub.bench.placing import hold_to_a_core, own_core, sentence
from hubbub.bench.processes import Process


@pytest.mark.parametrize(
    ("ours", "theirs", "core"), [({0, 1}, {1}, 0), ({0, 1}, {0, 1}, 1), ({0, 1, 2}, {0}, 2), ({3}, {3}, 3)]
)
def test_the_clients_core_is_not_the_servers(ours, theirs, core):
    assert own_core(ours, theirs) == core


def test_both_return_to_where_they_were():
    before = os.sched_getaffinity(0)
    with hold_to_a_core(None) as said:
        assert len(os.sched_getaffinity(0)) == 1
        assert said == sentence(max(before), len(before), None)
    assert os.sched_getaffinity(0) == before
    with hold_to_a_core(Process(os.getpid()), pin_server=True):
        pass
    assert os.sched_getaffinity(0) == before


def test_what_is_said():
    assert "one core" in sentence(0, 1, None)
    assert "--pin-server" in sentence(1, 2, {0, 1})
    assert sentence(1, 2, {0}).endswith("the server to 0")
