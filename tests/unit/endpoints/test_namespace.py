"""What `hub.namespace(…)` takes and returns."""

from datetime import timedelta
from typing import Annotated

import pytest
from application import Application, rooms
from fastapi import Depends
from pydantic import BaseModel

from hubbub import Channel, ChatMessage, ConfigurationError, Forbidden, History, Hub, Identity, Typing
from hubbub.hub.namespaces import Overflow, Publish, Subscribe


class Unlisted(BaseModel):
    x: int


def hub() -> Hub:
    return Hub(authenticate=lambda token: None)


def test_words_stand_for_the_choices():
    policy = hub().namespace("room", subscribe="anyone", publish="subscriber", overflow="conflate").policy
    assert (policy.subscribe, policy.publish, policy.overflow) == (
        Subscribe.ANYONE,
        Publish.SUBSCRIBER,
        Overflow.CONFLATE,
    )
    policy = hub().namespace("room", subscribe=Subscribe.OWNER, overflow=Overflow.DROP_OLDEST).policy
    assert (policy.subscribe, policy.overflow) == (Subscribe.OWNER, Overflow.DROP_OLDEST)


def test_everything_of_the_contract():
    policy = (
        hub()
        .namespace(
            "room",
            subscribe="authenticated",
            publish="subscriber",
            events=[ChatMessage, Typing],
            presence=True,
            join_leave=False,
            history=History(size=5, ttl=timedelta(hours=1)),
            recovery=False,
            overflow="close",
            overflow_bytes=1,
            max_message_bytes=2,
        )
        .policy
    )
    assert policy.event_types == {"message": ChatMessage, "typing": Typing}
    assert (policy.retention.size, policy.retention.ttl) == (5, 3600.0)
    assert (policy.presence, policy.announces, policy.recovery) == (True, False, False)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"publsh": "nobody"}, "Namespace 'room' has no publsh; there are events, history, join_leave"),
        ({"retention": 5, "authorizer": None}, "has no authorizer, retention;"),
        ({"name2": 1}, "has no name2"),
        (
            {"subscribe": "everyone"},
            "subscribe is one of anyone, authenticated, owner, token, hook, not 'everyone'",
        ),
        ({"publish": None}, "publish is one of nobody, subscriber, authenticated, anyone, hook, not None"),
        ({"overflow": "drop"}, "overflow is one of close, drop_oldest, conflate, not 'drop'"),
        ({"overflow_bytes": 0}, "overflow_bytes must be positive"),
        ({"overflow_bytes": True}, "overflow_bytes is a int, not True"),
        ({"max_message_bytes": "64k"}, "max_message_bytes is a int, not '64k'"),
        ({"presence": "yes"}, "presence is a bool, not 'yes'"),
        ({"presence": 1}, "presence is a bool, not 1"),
        ({"history": 500}, "history is a History, not 500"),
        ({"events": ["message"]}, "events are pydantic models, not 'message'"),
        ({"events": [ChatMessage(content="")]}, "events are pydantic models"),
    ],
)
def test_what_cannot_work_is_said(options, says):
    with pytest.raises(ConfigurationError, match=says):
        hub().namespace("room", **options)


def test_names_are_taken_once_and_user_may_be_replaced():
    made = hub()
    made.namespace("room")
    with pytest.raises(ConfigurationError, match="defined twice"):
        made.namespace("room")
    with pytest.raises(ConfigurationError, match="has a colon"):
        made.namespace("a:b")
    made.namespace("user", subscribe="owner", presence=True)


def test_hooks_stay_what_they_are():
    room = hub().namespace("room", events=[ChatMessage])

    @room.authorize
    def may_join(identity: Identity, channel: Channel) -> bool:
        return True

    @room.on(ChatMessage)
    def moderate(message: ChatMessage) -> ChatMessage:
        return message

    assert may_join(Identity("ada"), Channel("room:a", "room", "a")) is True
    assert moderate(ChatMessage(content="hi")) == ChatMessage(content="hi")


def test_a_hook_on_an_event_that_is_not_listed():
    with pytest.raises(ConfigurationError, match=r"does not list Unlisted: add it to events=\[…\]\."):
        hub().namespace("room", events=[ChatMessage]).on(Unlisted)


def test_a_hook_is_there_once():
    room = hub().namespace("room", events=[ChatMessage, Typing])
    for register in (room.authorize, room.authorize_publish, room.on(ChatMessage), room.on(Typing)):
        register(lambda: True)
    for register in (room.authorize, room.authorize_publish):
        with pytest.raises(ConfigurationError, match="already"):
            register(lambda: True)
    with pytest.raises(ConfigurationError, match="already"):
        room.on(ChatMessage)


def test_hooks_that_cannot_work_are_refused_at_once():
    room = hub().namespace("room", events=[ChatMessage])
    for register in (room.authorize, room.authorize_publish, room.on(ChatMessage)):
        with pytest.raises(ConfigurationError, match="is neither a Depends"):
            register(lambda identity, channel, sender, nobody_gives_this: None)


async def test_a_hook_that_is_missing_is_said_at_the_start():
    application = Application()
    rooms(application, publish="hook")
    with pytest.raises(ConfigurationError, match=r"add one with @room\.authorize_publish"):
        async with application:
            pass
    assert not application.hub.is_running


async def test_hooks_in_use():
    asked = []

    def database() -> str:
        return "database"

    async with Application() as application:
        room = rooms(application, events=[ChatMessage, Typing], publish="hook")

        @room.authorize
        async def may_join(
            identity: Identity, channel: Channel, db: Annotated[str, Depends(database)]
        ) -> bool:
            asked.append(("join", identity.user_id, channel.rest, db))
            return channel.rest != "closed"

        @room.authorize_publish
        def may_speak(channel: Channel, identity: Identity) -> int:
            return identity.user_id == "ada"

        @room.on(ChatMessage)
        async def moderate(
            message: ChatMessage, sender: Identity, channel: Channel, db: Annotated[str, Depends(database)]
        ) -> ChatMessage | None:
            asked.append(("say", sender.user_id, channel.rest, db))
            if message.content == "refuse":
                return None
            if message.content == "raise":
                raise Forbidden("Mind your language.")
            return ChatMessage(content=message.content.upper())

        ada, bob = await application.member("ada", "a"), await application.member("bob", "a")
        assert asked == [("join", "ada", "a", "database"), ("join", "bob", "a", "database")]
        await ada.send({"type": "message", "content": "hi"})
        assert (await bob.expect("message"))["content"] == "HI"
        assert asked[-1] == ("say", "ada", "a", "database")
        for content, says in (("refuse", "The server refused"), ("raise", "Mind your language.")):
            await ada.send({"type": "message", "content": content})
            error = await ada.expect("error")
            assert (error["code"], says in error["message"]) == ("forbidden", True)
        await bob.send({"type": "message", "content": "hi"})
        assert (await bob.expect("error"))["code"] == "forbidden"
        await ada.send({"type": "join_room", "room_id": "closed"})
        assert (await ada.expect("error"))["code"] == "forbidden"


async def test_a_moderator_that_returns_something_else(caplog: pytest.LogCaptureFixture):
    async with Application() as application:
        room = rooms(application, events=[ChatMessage])
        room.on(ChatMessage)(lambda message: message.content)
        ada = await application.member("ada", "a")
        await ada.send({"type": "message", "content": "hi"})
        assert (await ada.expect("error"))["code"] == "internal"
        assert "A hook on ChatMessage returned str, not an event or None" in caplog.text
