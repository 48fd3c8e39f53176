"""What a node remembers of streams."""

from hubbub.brokers.redis import seen
from hubbub.brokers.redis.seen import Seen


def places(remembered: Seen) -> dict[str, tuple[str, int, str]]:
    return dict(remembered.among(lambda channel: True))


def test_the_newest_of_an_epoch_is_remembered():
    remembered = Seen()
    remembered.note("a", "e", 2, "two")
    remembered.note("a", "e", 1, "one")
    remembered.note("a", "e", 2, "another two")
    assert places(remembered) == {"a": ("e", 2, "two")}
    remembered.note("a", "later", 1, "new")
    assert places(remembered) == {"a": ("later", 1, "new")}


def test_only_channels_that_are_asked_for():
    remembered = Seen()
    remembered.note("a", "e", 1, "one")
    remembered.note("b", "e", 1, "one")
    assert [channel for channel, _ in remembered.among(lambda channel: channel == "b")] == ["b"]


def test_it_has_a_bound_and_forgets_the_quietest(monkeypatch):
    monkeypatch.setattr(seen, "REMEMBERED", 2)
    remembered = Seen()
    for channel in ("a", "b"):
        remembered.note(channel, "e", 1, "one")
    remembered.note("a", "e", 2, "two")
    remembered.note("c", "e", 1, "one")
    assert places(remembered).keys() == {"a", "c"}
