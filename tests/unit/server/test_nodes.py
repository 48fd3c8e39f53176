from hubbub import NodeState, __version__
from hubbub.server.nodes import node, silent, time

STATE = NodeState("n-1", "host:7", __version__, 1_800_000_000.5, 3, 4, True)


def test_a_node_is_shown_as_it_sees_itself():
    assert node(STATE).model_dump(mode="json") == {
        "id": "n-1",
        "name": "host:7",
        "version": __version__,
        "started_at": "2027-01-15T08:00:00.500000Z",
        "connections": 3,
        "channels": 4,
        "draining": True,
    }


def test_nodes_that_did_not_answer_are_named():
    assert [each.model_dump() for each in silent([STATE])] == [{"id": "n-1", "name": "host:7"}]
    assert silent([]) == []


def test_times_are_utc():
    assert time(0.0).isoformat() == "1970-01-01T00:00:00+00:00"
