"""Which idempotency keys are forgotten when there are too many."""

from hubbub.brokers import memory_keys
from hubbub.brokers.memory_keys import SeenKeys
from hubbub.hub.publications import Position
from hubbub.types import Epoch

HERE = Position(Epoch("e"), 1)


def test_those_that_are_to_be_kept_longest_go_last(monkeypatch):
    monkeypatch.setattr(memory_keys, "KEYS", 3)
    keys = SeenKeys()
    for number, ttl in enumerate((1000.0, 300.0, 300.0)):
        keys.keep(("room:a", str(number)), HERE, 1.0, ttl)
    assert keys.find(("room:a", "new"), 2.0) is None
    assert [keys.find(("room:a", str(number)), 2.0) for number in range(3)] == [HERE, None, HERE]
    assert len(keys) == 2
