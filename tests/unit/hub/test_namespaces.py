"""Policies."""

from datetime import timedelta

import pytest

from hubbub.exceptions import ConfigurationError, UnknownChannel
from hubbub.hub.broker import Retention
from hubbub.hub.events import ChatMessage, Typing
from hubbub.hub.namespaces import FOUND, NO_HISTORY, History, Namespace, Namespaces, Publish, Subscribe


def test_the_defaults_are_careful():
    namespace = Namespace("room")
    assert (namespace.subscribe, namespace.publish) == (Subscribe.AUTHENTICATED, Publish.NOBODY)
    assert namespace.retention == Retention(500, 86_400.0)
    assert namespace.recovery
    assert not namespace.announces


@pytest.mark.parametrize(
    "history", [NO_HISTORY, History(0, timedelta(1)), History(5, timedelta(0))], ids=["none", "size", "ttl"]
)
def test_without_history_there_is_no_recovery(history):
    namespace = Namespace("room", history=history)
    assert not namespace.retention.keeps
    assert not namespace.recovery


def test_members_are_told_only_where_there_is_presence():
    assert Namespace("room", presence=True).announces
    assert not Namespace("room", presence=True, join_leave=False).announces
    assert not Namespace("room", presence=False, join_leave=True).announces


@pytest.mark.parametrize("name", ["", "a:b", "a\n", "x" * 256])
def test_names_that_cannot_work(name):
    with pytest.raises(ConfigurationError, match="A namespace's name"):
        Namespace(name)


@pytest.mark.parametrize(
    "policy",
    [
        {"overflow_bytes": 0},
        {"overflow_bytes": -1},
        {"max_message_bytes": -1},
        {"history": History(-1)},
        {"history": History(1, timedelta(seconds=-1))},
    ],
)
def test_values_that_cannot_work(policy):
    with pytest.raises(ConfigurationError, match="Namespace 'room'"):
        Namespace("room", **policy)


def test_events_by_name():
    namespace = Namespace("room", events=(ChatMessage, Typing))
    assert namespace.event_types == {"message": ChatMessage, "typing": Typing}


def test_a_policy_that_asks_a_hook_nobody_wrote():
    with pytest.raises(ConfigurationError, match=r"@room\.authorize\."):
        Namespace("room", subscribe=Subscribe.HOOK).check_hooks()
    with pytest.raises(ConfigurationError, match=r"@room\.authorize_publish\."):
        Namespace("room", publish=Publish.HOOK).check_hooks()
    Namespace("room").check_hooks()


def test_finding_a_channels_namespace():
    room, default = Namespace("room"), Namespace("default")
    namespaces = Namespaces([room, default])
    assert namespaces.resolve("room:a:b")[1] is room
    assert namespaces.resolve("lobby")[1] is default
    assert "room" in namespaces
    assert list(namespaces) == [room, default]


def test_what_was_found_is_the_same_until_a_namespace_is_added():
    namespaces = Namespaces([Namespace("room"), Namespace("user")])
    channel, built_in = namespaces.resolve("user:ada")
    assert namespaces.resolve("user:" + "ada")[0] is channel
    for _ in range(2):
        with pytest.raises(UnknownChannel):
            namespaces.resolve("topic:x")
    own, topic = Namespace("user", presence=True), Namespace("topic")
    namespaces.add(own)
    namespaces.add(topic)
    assert built_in is not own
    assert namespaces.resolve("user:ada") == (channel, own)
    assert namespaces.resolve("topic:x")[1] is topic


def test_names_that_clients_choose_are_not_remembered_without_bound():
    room = Namespace("room")
    namespaces = Namespaces([room])
    for number in range(3 * FOUND):
        assert namespaces.resolve(f"room:{number}")[1] is room
        with pytest.raises(UnknownChannel):
            namespaces.resolve(f"topic:{number}")
    assert 0 < len(namespaces._found) <= FOUND


@pytest.mark.parametrize("name", ["topic:x", ":x", "ROOM:x", "lobby", "default"])
def test_channels_nobody_answers_to(name):
    with pytest.raises(UnknownChannel, match="channels are named room:…"):
        Namespaces([Namespace("room")]).resolve(name)


def test_a_name_is_taken_once_but_user_may_be_replaced():
    namespaces = Namespaces([Namespace("room"), Namespace("user")])
    own = Namespace("user", presence=True)
    namespaces.add(own)
    assert namespaces.resolve("user:ada")[1] is own
    with pytest.raises(ConfigurationError, match="'room' is defined twice"):
        namespaces.add(Namespace("room"))
