from datetime import timedelta

import pytest

from hubbub import ConfigurationError, History, Hub, Overflow, Publish, Subscribe
from hubbub.server.namespaces import BUILT_IN, read_namespaces

DAY = timedelta(days=1)


def test_without_a_file_there_are_the_built_in_ones():
    namespaces = read_namespaces()
    assert sorted(namespaces) == ["export", "job", "room", "topic", "user"]
    assert namespaces["room"] == {
        "subscribe": Subscribe.AUTHENTICATED,
        "publish": Publish.SUBSCRIBER,
        "presence": True,
        "join_leave": True,
        "history": History(500, DAY),
        "recovery": True,
        "overflow": Overflow.CLOSE,
        "overflow_bytes": 262_144,
        "max_message_bytes": 65_536,
    }
    assert namespaces["topic"] == {
        "subscribe": Subscribe.AUTHENTICATED,
        "publish": Publish.NOBODY,
        "history": History(500, DAY),
    }
    assert namespaces["user"]["history"] == History(100, 7 * DAY)
    assert namespaces["user"]["subscribe"] is Subscribe.OWNER
    assert namespaces["export"]["history"] == History(1, DAY)
    assert namespaces["job"]["subscribe"] is Subscribe.AUTHENTICATED
    assert namespaces["job"]["history"] == History(10, timedelta(hours=1))
    assert namespaces["job"]["overflow"] is Overflow.CONFLATE


def test_the_library_takes_all_of_them():
    hub = Hub(allow_anonymous=True)
    for name, policy in read_namespaces().items():
        hub.namespace(name, **policy)
    assert set(BUILT_IN) == set(read_namespaces())


def test_keys_of_the_file_go_over_the_built_in_ones(folder):
    (folder / "hubbub.toml").write_text('[namespaces.room]\nhistory_ttl = "1h"\npresence = false\n')
    room = read_namespaces()["room"]
    assert room["history"] == History(500, timedelta(hours=1))
    assert room["presence"] is False
    assert room["publish"] is Publish.SUBSCRIBER


def test_a_namespace_of_ones_own_starts_from_the_librarys_defaults(folder):
    path = folder / "other.toml"
    path.write_text(
        '[namespaces.board]\npublish = "authenticated"\nhistory_size = 10\n[namespaces.default]\n'
    )
    namespaces = read_namespaces(path)
    assert namespaces["board"] == {"publish": Publish.AUTHENTICATED, "history": History(10, History().ttl)}
    assert namespaces["default"] == {"history": History()}
    assert "room" in namespaces


def test_the_file_in_the_working_directory_may_be_missing_and_one_that_is_named_may_not(folder):
    assert "room" in read_namespaces()
    with pytest.raises(ConfigurationError, match=r"missing\.toml cannot be read: .*No such file"):
        read_namespaces(folder / "missing.toml")
