"""Publishing: who may, what comes of it, and what is refused with which words."""

from typing import Any

import pytest
from pydantic import BaseModel, Field
from stage import Stage, one, quiet, room, types

from hubbub.exceptions import (
    BadRequest,
    Forbidden,
    NotSubscribed,
    PublishError,
    PublishUncertain,
    TooLarge,
    UnknownChannel,
)
from hubbub.hub.broker import Retention
from hubbub.hub.channels import Channel
from hubbub.hub.events import ChatMessage, Event, Typing
from hubbub.hub.identity import Identity
from hubbub.hub.namespaces import NO_HISTORY, Namespace, Publish, Subscribe
from hubbub.hub.publications import Draft, Kind
from hubbub.hub.publishing import compact, encode_event, kind_of

ROOM = "room:a"


class Moved(Event, name="moved"):
    x: int = Field(ge=0)
    label: str = ""


class Cursor(Event, ephemeral=True):
    x: int


class Point(BaseModel):
    x: int


class Nested(BaseModel):
    points: list[Point]


async def publish(guest, event: str = "message", data: Any = None, **fields: Any) -> Any:
    """Publish, and return the answer."""
    message = {
        "channel": ROOM,
        "event": event,
        "data": {"content": "hi"} if data is None else data,
        "ref": 1,
        **fields,
    }
    (answer,) = [each for each in await guest.ask("publish", **message) if each.get("ref") == 1]
    return answer


def pushes(guest) -> list[Any]:
    """Return everything that was published to a guest."""
    return [each for each in guest.outlet.sent if each["type"] in {"message", "event", "typing"}]


class TestPolicies:
    @pytest.mark.parametrize("policy", ["nobody", "subscriber", "authenticated", "anyone"])
    @pytest.mark.parametrize("user", ["ada", ""])
    @pytest.mark.parametrize("subscribed", [True, False])
    async def test_who_may(self, policy, user, subscribed):
        namespace = quiet(publish=Publish(policy), subscribe=Subscribe.ANYONE)
        async with Stage(namespace) as stage:
            guest, bob = await stage.enter(user), await stage.enter("bob")
            await bob.join("a")
            if subscribed:
                await guest.join("a")
            expected = {
                "nobody": "forbidden",
                "subscriber": None if subscribed else "not_subscribed",
                "authenticated": None if user else "forbidden",
                "anyone": None,
            }[policy]
            answer = await publish(guest)
            assert answer.get("code") == expected
            assert [each["content"] for each in pushes(bob)] == ([] if expected else ["hi"])

    @pytest.mark.parametrize("policy", ["hook", "nobody", "subscriber"])
    async def test_a_hook_is_asked_after_the_policy(self, policy):
        asked = []

        async def may(identity: Identity, channel: Channel) -> bool:
            asked.append((identity.user_id, channel))
            if identity.user_id == "eve":
                raise Forbidden("Not while you are muted.")
            return identity.user_id == "ada"

        async with Stage(quiet(publish=Publish(policy), publish_authorizer=may)) as stage:
            ada, bob, eve = [await stage.enter(name) for name in ("ada", "bob", "eve")]
            answers = [await publish(guest) for guest in (ada, bob, eve)]
            if policy == "hook":
                assert answers[0]["type"] == "ack"
                assert [answer.get("message") for answer in answers[1:]] == [
                    "You may not publish to 'room:a'.",
                    "Not while you are muted.",
                ]
                assert asked[0] == ("ada", Channel(ROOM, "room", "a"))
            else:
                assert [answer["code"] for answer in answers] == [
                    "forbidden" if policy == "nobody" else "not_subscribed"
                ] * 3
                assert asked == []

    async def test_the_server_always_may(self):
        async with Stage(quiet(publish=Publish.NOBODY)) as stage:
            ada = await stage.enter("ada")
            await ada.join("a")
            await stage.say(ROOM, "hi")
            (push,) = ada.news()
            assert (push["content"], "user_id" in push) == ("hi", False)

    @pytest.mark.parametrize("channel", ["", "lobby", "other:x", "room:"])
    async def test_to_no_channel(self, channel):
        async with Stage() as stage:
            ada = await stage.enter("ada")
            assert (await publish(ada, channel=channel))["code"] == "unknown_channel"
            with pytest.raises(UnknownChannel):
                await stage.say(channel, "hi")


class TestAnswers:
    async def test_the_ack_says_where_it_stands(self):
        async with Stage(quiet()) as stage:
            ada = await stage.enter("ada")
            await ada.join("a")
            ack = await publish(ada)
            top = (await stage.broker.read(ROOM)).top
            assert ack == {
                "type": "ack",
                "ref": 1,
                "room_id": "a",
                "channel": ROOM,
                "epoch": top.epoch,
                "offset": 1,
                "id": top.id,
            }

    async def test_what_is_not_stored_has_no_place(self):
        async with Stage(quiet(history=NO_HISTORY)) as stage:
            ada = await stage.enter("ada")
            await ada.join("a")
            assert await publish(ada) == {"type": "ack", "ref": 1, "room_id": "a", "channel": ROOM}
            assert (await stage.say(ROOM, "hi")).offset == 0

    async def test_without_a_ref_there_is_no_ack(self):
        async with Stage(quiet()) as stage:
            ada = await stage.enter("ada")
            await ada.join("a")
            assert types(await ada.ask("message", room_id="a", content="hi")) == ["message"]

    async def test_the_sender_gets_it_as_everyone_does(self):
        async with Stage(quiet()) as stage:
            ada, bob = await stage.enter("ada"), await stage.enter("bob")
            for guest in (ada, bob):
                await guest.join("a")
            await publish(ada)
            assert pushes(ada) == pushes(bob)
            assert len(pushes(ada)) == 1

    async def test_what_is_kept_shares_what_is_the_same_in_all_of_it(self):
        async with Stage(quiet()) as stage:
            ada = await stage.enter("ada")
            await ada.join("a")
            for _ in range(2):
                await ada.ask("message", room_id="a", content="hi")
                await stage.say(ROOM, "hi")
            kept = (await stage.broker.history(ROOM, limit=10)).publications
            assert len(kept) == 4
            for field in ("channel", "event", "exclude"):
                assert len({id(getattr(each, field)) for each in kept}) == 1, field

    async def test_the_room_of_the_path(self):
        async with Stage(quiet(publish=Publish.AUTHENTICATED)) as stage:
            bob = await stage.enter("bob")
            await bob.join("a")
            ada = stage.guest("ada", path=ROOM)
            await stage.node.connections.open(ada.session)
            await ada.ask("message", content="hi")
            await ada.ask("typing")
            assert types(bob.news()) == ["message", "typing"]
            for kind, fields in (("message", {"content": "hi"}), ("typing", {})):
                error = one(await bob.ask(kind, **fields), "error")
                assert (error["code"], "room_id" in error["message"]) == ("bad_request", True)

    @pytest.mark.parametrize(
        ("failure", "code"),
        [(PublishError("no broker"), "unavailable"), (PublishUncertain("no answer"), "uncertain")],
    )
    async def test_a_broker_that_does_not_take_it(self, failure, code):
        async with Stage(quiet()) as stage:
            ada = await stage.enter("ada")
            await ada.join("a")
            stage.broker.hold("publish", when="after")
            publishing = stage.start(publish(ada))
            (await stage.broker.held()).fail(failure)
            answer = await publishing
            assert (answer["type"], answer["code"]) == ("error", code)
            assert "published" in answer["message"]
            assert str(failure) not in answer["message"]  # what stands behind the server is not for clients
            raising = stage.start(stage.say(ROOM, "hi"))
            (await stage.broker.held()).fail(failure)
            with pytest.raises(type(failure)):
                await raising
            stage._tasks.clear()


class TestEvents:
    def stage(self, **policy: Any) -> Stage:
        return Stage(quiet(events=(ChatMessage, Typing, Moved, Cursor, Nested), **policy))

    async def test_listed_events_pass_as_they_were_written(self):
        async with self.stage() as stage:
            ada = await stage.enter("ada")
            await ada.join("a")
            await publish(ada, "moved", {"x": 1, "label": "ü"})
            (push,) = pushes(ada)
            assert (push["event"], push["data"]) == ("moved", {"x": 1, "label": "ü"})

    @pytest.mark.parametrize("event", ["dance", "", "Moved", "join"])
    async def test_others_are_refused_and_the_listed_named(self, event):
        async with self.stage() as stage:
            ada = await stage.enter("ada")
            await ada.join("a")
            answer = await publish(ada, event or "x", {})
            assert answer["code"] == "unknown_event"
            assert "takes the events cursor, message, moved, nested, typing, not" in answer["message"]

    @pytest.mark.parametrize(
        ("event", "data", "says"),
        [
            ("moved", {}, "Field required - at `data.x`"),
            ("moved", {"x": "far"}, "unable to parse string as an integer - at `data.x`"),
            ("moved", {"x": -1}, "greater than or equal to 0 - at `data.x`"),
            ("moved", [1], "at `data`"),
            ("moved", 5, "at `data`"),
            ("message", {"content": 5}, "valid string - at `data.content`"),
            ("nested", {"points": [{"x": 1}, {"y": 2}]}, "at `data.points.1.x`"),
        ],
    )
    async def test_data_that_does_not_fit_is_told_what_was_expected(self, event, data, says):
        async with self.stage() as stage:
            ada = await stage.enter("ada")
            await ada.join("a")
            answer = await publish(ada, event, data)
            assert answer["code"] == "bad_request"
            assert says in answer["message"]
            assert pushes(ada) == []

    async def test_the_refusal_shows_no_more_of_the_data_than_its_place(self):
        async with self.stage() as stage:
            ada = await stage.enter("ada")
            await ada.join("a")
            answer = await publish(ada, "moved", {"x": "my password"})
            assert "my password" not in answer["message"]

    async def test_where_none_are_listed_any_json_is_an_event(self):
        async with Stage(quiet()) as stage:
            ada = await stage.enter("ada")
            await ada.join("a")
            for data in (0, False, "", [], {}, {"content": 5}, [None]):
                await publish(ada, "anything", data)
            assert [each["data"] for each in ada.outlet.sent if each["type"] == "event"] == [
                0,
                False,
                "",
                [],
                {},
                {"content": 5},
                [None],
            ]

    async def test_the_server_publishes_typed_events(self):
        async with self.stage() as stage:
            ada = await stage.enter("ada")
            await ada.join("a")
            await stage.node.publisher.publish(ROOM, Moved(x=1))
            await stage.node.publisher.publish(ROOM, Point(x=2))
            await stage.node.publisher.publish(ROOM, ChatMessage(content="hi"))
            moved, point, message = ada.news()
            assert (moved["event"], moved["data"]) == ("moved", {"x": 1, "label": ""})
            assert (point["event"], point["data"]) == ("point", {"x": 2})
            assert message["content"] == "hi"

    @pytest.mark.parametrize("typed", [True, False])
    async def test_ephemeral_events_are_neither_stored_nor_echoed(self, typed):
        async with self.stage() as stage:
            ada, laptop, bob = [await stage.enter(name) for name in ("ada", "ada", "bob")]
            for guest in (ada, laptop, bob):
                await guest.join("a")
            if typed:
                await publish(ada, "cursor", {"x": 1})
            else:
                await ada.ask("typing", room_id="a")
            assert pushes(ada) == pushes(laptop) == []
            (push,) = pushes(bob)
            assert push["type"] == ("event" if typed else "typing")
            assert "offset" not in push
            assert "id" not in push
            assert push["user_id"] == "ada"
            assert (await stage.broker.read(ROOM)).top.offset == 0

    async def test_ephemeral_events_of_the_server_reach_everybody(self):
        async with self.stage() as stage:
            ada = await stage.enter("ada")
            await ada.join("a")
            assert (await stage.node.publisher.publish(ROOM, Cursor(x=1))).offset == 0
            assert (await stage.node.publisher.publish(ROOM, Typing())).offset == 0
            assert types(ada.news()) == ["event", "typing"]


class TestModeration:
    async def stage(self, answer: Any) -> Stage:
        async def moderate(message: BaseModel, sender: Identity, channel: Channel) -> BaseModel | None:
            self.asked.append((message, sender.user_id, channel.name))
            if isinstance(answer, Exception):
                raise answer
            return message if answer == "same" else answer

        self.asked: list[Any] = []
        return Stage(quiet(events=(ChatMessage, Typing, Moved), moderators={"message": moderate}))

    @pytest.mark.parametrize(
        "answer", ["same", ChatMessage(content="h*"), Moved(x=5), Point(x=6), Cursor(x=7)]
    )
    async def test_what_is_published(self, answer):
        async with await self.stage(answer) as stage:
            ada, bob = await stage.enter("ada"), await stage.enter("bob")
            for guest in (ada, bob):
                await guest.join("a")
            assert (await publish(ada))["type"] == "ack"
            assert self.asked == [(ChatMessage(content="hi"), "ada", ROOM)]
            (push,) = pushes(bob)
            assert push["user_id"] == "ada"
            if answer == "same" or isinstance(answer, ChatMessage):
                assert push["content"] == ("hi" if answer == "same" else "h*")
            else:
                assert push["event"] == {Moved: "moved", Point: "point", Cursor: "cursor"}[type(answer)]
            assert ("offset" in push) == (not isinstance(answer, Cursor))

    @pytest.mark.parametrize(
        ("answer", "code", "message"),
        [
            (None, "forbidden", "The server refused this message."),
            (Forbidden("Mind your language."), "forbidden", "Mind your language."),
            (NotSubscribed("Not yet."), "not_subscribed", "Not yet."),
            (ValueError("secret"), "internal", "Something went wrong on the server."),
        ],
    )
    async def test_what_is_not(self, answer, code, message, caplog):
        async with await self.stage(answer) as stage:
            ada = await stage.enter("ada")
            await ada.join("a")
            error = await publish(ada)
            assert (error["code"], error["message"]) == (code, message)
            assert (await stage.broker.read(ROOM)).top.offset == 0
            assert stage.node.statistics.failures == (code == "internal")
            assert ("secret" in caplog.text) == (code == "internal")
            assert (await publish(ada, "moved", {"x": 1}))["type"] == "ack"

    async def test_fields_that_the_type_does_not_know_are_gone(self):
        async with await self.stage("same") as stage:
            ada = await stage.enter("ada")
            await ada.join("a")
            await publish(ada, "message", {"content": "hi", "admin": True})
            one_kept = (await stage.broker.history(ROOM, limit=1)).publications[0]
            assert one_kept.data == b'{"content":"hi"}'

    async def test_what_the_server_publishes_does_not_pass_it(self):
        async with await self.stage(None) as stage:
            ada = await stage.enter("ada")
            await ada.join("a")
            await stage.say(ROOM, "hi")
            assert ada.contents() == ["hi"]
            assert self.asked == []

    async def test_what_it_returns_is_held_to_the_bound(self):
        async with await self.stage(ChatMessage(content="x" * 100)) as stage:
            stage.node.namespaces.resolve(ROOM)[1].max_message_bytes = 50
            ada = await stage.enter("ada")
            await ada.join("a")
            assert (await publish(ada))["code"] == "too_large"


class TestSize:
    @pytest.mark.parametrize(
        ("content", "fits"), [("x" * 86, True), ("x" * 87, False), ("ü" * 43, True), ("ü" * 44, False)]
    )
    async def test_the_bound_is_in_bytes_of_json(self, content, fits):
        async with Stage(quiet(max_message_bytes=100)) as stage:
            ada = await stage.enter("ada")
            await ada.join("a")
            answer = one(
                [m for m in await ada.ask("message", room_id="a", content=content, ref=1) if m.get("ref")],
                "ack" if fits else "error",
            )
            if not fits:
                assert answer["code"] == "too_large"
                assert "at most 100" in answer["message"]
                with pytest.raises(TooLarge):
                    await stage.say(ROOM, content)
            assert ada.outlet.closed_with is None

    async def test_zero_is_no_limit(self):
        async with Stage(quiet(max_message_bytes=0)) as stage:
            assert (await stage.say(ROOM, "x" * 10**6)).offset == 1


class TestIdempotency:
    async def test_a_repeated_key_publishes_once_and_answers_the_same(self):
        async with Stage(quiet()) as stage:
            ada = await stage.enter("ada")
            await ada.join("a")
            answers = [await publish(ada, data={"content": str(n)}, idempotency_key="k") for n in range(2)]
            assert answers[0] == answers[1]
            assert [each["content"] for each in ada.outlet.sent if each["type"] == "message"] == ["0"]

    async def test_keys_of_different_users_never_meet_but_those_of_ones_devices_do(self):
        async with Stage(quiet(subscribe=Subscribe.ANYONE)) as stage:
            guests = [await stage.enter(name) for name in ("ada", "ada", "bob", "", "")]
            for guest in guests:
                await guest.join("a")
                await publish(guest, idempotency_key="k")
            assert (await stage.broker.read(ROOM)).top.offset == 4
            await stage.node.publisher.publish(ROOM, "message", {"content": "s"}, idempotency_key="k")
            assert (await stage.broker.read(ROOM)).top.offset == 5

    async def test_the_servers_key(self):
        async with Stage(quiet()) as stage:
            publisher = stage.node.publisher
            first = await publisher.publish(ROOM, Moved(x=1), idempotency_key="k")
            assert await publisher.publish(ROOM, Moved(x=2), idempotency_key="k") == first
            stage.clock.advance(301)
            assert (await publisher.publish(ROOM, Moved(x=3), idempotency_key="k")).offset == 2

    @pytest.mark.parametrize(("key", "fits"), [("", False), ("x" * 255, True), ("x" * 256, False)])
    async def test_keys_have_a_length(self, key, fits):
        async with Stage(quiet()) as stage:
            ada = await stage.enter("ada")
            await ada.join("a")
            answer = await publish(ada, idempotency_key=key)
            assert answer.get("code") == (None if fits else "bad_request")


async def test_exclude_is_kept_with_it():
    async with Stage(room()) as stage:
        ada = await stage.enter("ada")
        await ada.join("a")
        await stage.say(ROOM, "not for ada", exclude={"ada"})
        await stage.say(ROOM, "for ada")
        assert [each["content"] for each in ada.news()] == ["for ada"]
        kept = (await stage.broker.history(ROOM, limit=5)).publications
        assert [sorted(each.exclude) for each in kept] == [["ada"], []]
        page = one(await ada.ask("history", channel=ROOM), "ack")
        assert [each["content"] for each in page["messages"]] == ["for ada"]


async def test_broadcasts_reach_everybody_but_those_excluded():
    async with Stage() as stage:
        ada, bob, visitor = [await stage.enter(name) for name in ("ada", "bob", "")]
        await stage.node.publisher.broadcast("maintenance", {"at": 5}, exclude=["bob"])
        (push,) = ada.news()
        assert push == {
            "type": "broadcast",
            "event": "maintenance",
            "data": {"at": 5},
            "timestamp": "2025-06-15T15:06:40.000Z",
        }
        assert visitor.news() == [push]
        assert bob.news() == []
        assert (await stage.broker.read("")).top.offset == 0


@pytest.mark.parametrize(
    ("data", "stored"),
    [
        (
            b'{"a":1.10,"b":1e2,"c":12345678901234567890123}',
            b'{"a":1.10,"b":1e2,"c":12345678901234567890123}',
        ),
        (b'{ "a" :\t1 }', b'{ "a" :\t1 }'),
        (
            b'[1.10,\n 1e2,\r\n12345678901234567890123 , "a\\nb"]',
            b'[1.10,1e2,12345678901234567890123,"a\\nb"]',
        ),
        (b"\n1\n", b"1"),
    ],
)
async def test_data_is_kept_as_it_was_written_without_raw_newlines(data, stored):
    assert compact(data) == stored
    async with Stage(quiet()) as stage:
        ada = await stage.enter("ada")
        await ada.join("a")
        text = f'{{"type":"publish","channel":"{ROOM}","event":"e","data":{data.decode()}}}'
        await stage.node.dispatcher.handle(ada.session, text)
        assert (await stage.broker.history(ROOM, limit=1)).publications[0].data == stored.strip()


class TestDepth:
    """What one client sends must not break another one's parser, nor a room's history."""

    @pytest.mark.parametrize(
        ("data", "fits"),
        [
            ("[" * 128 + "]" * 128, True),
            ("[" * 129 + "]" * 129, False),
            ('{"a":' * 129 + "1" + "}" * 129, False),
            ("[" * 900 + "]" * 900, False),
            ("[" + ",".join(["[[]]"] * 500) + "]", True),
            ("[" + ",".join(['{"a":[1]}'] * 500) + "]", True),
            ('["' + "[" * 900 + '"]', True),
            ('["\\"' + "[{" * 400 + '\\\\", [[]]]', True),
            ('["\\\\",' + "[" * 900 + "]" * 900 + "]", False),
        ],
    )
    async def test_data_nested_too_deeply_is_refused(self, data, fits):
        async with Stage(quiet()) as stage:
            ada, bob = await stage.enter("ada"), await stage.enter("bob")
            start = await bob.join("a")
            await ada.join("a")
            text = f'{{"type":"publish","channel":"{ROOM}","event":"message","data":{{"content":1,"more":0}},"ref":1}}'
            await stage.node.dispatcher.handle(ada.session, text.replace('{"content":1,"more":0}', data))
            (answer,) = [each for each in ada.news() if each.get("ref") == 1]
            assert answer.get("code") == (None if fits else "bad_request")
            joined = await bob.join("a", since={"epoch": start["epoch"], "offset": 0})
            assert len(joined["messages"]) == fits

    async def test_what_the_server_nests_without_end_breaks_no_delivery(self):
        async with Stage(quiet(max_message_bytes=0)) as stage:
            deepest = ("[" * 5000 + "]" * 5000).encode()
            await stage.broker.publish(
                Draft(ROOM, "message", b'{"content":' + deepest + b"}", "id", stage.clock.time()),
                Retention(5, 60.0),
            )
            (publication,) = (await stage.broker.history(ROOM, limit=1)).publications
            assert deepest in stage.encoding.publications((publication,)).messages[0]["text"].encode()


class TestNumbers:
    """JSON has no bound on numbers; the parsers of those who receive them have."""

    @pytest.mark.parametrize(
        ("number", "fits"),
        [
            ("1e2", True),
            ("12345678901234567890123", True),
            ("-1.7e307", True),
            ("0.00000000000000000001", True),
            ("1e0000000000000000000000000000000002", True),
            ("1e999", False),
            ("-1E+400", False),
            ("1e-999", False),
            ("1e00000000000999", False),
            ("9" * 300, False),
            ("0." + "3" * 300, False),
            ('"' + "9" * 300 + '"', True),
            ('"1e999"', True),
            ('"\\"1e999"', True),
            ('{"1e999":1}', True),
        ],
    )
    async def test_what_no_double_holds_is_refused(self, number, fits):
        async with Stage(quiet()) as stage:
            ada = await stage.enter("ada")
            await ada.join("a")
            text = f'{{"type":"publish","channel":"{ROOM}","event":"e","data":[{number}],"ref":1}}'
            await stage.node.dispatcher.handle(ada.session, text)
            (answer,) = [each for each in ada.news() if each.get("ref") == 1]
            assert answer.get("code") == (None if fits else "bad_request")


@pytest.mark.parametrize("name", ["a\nb", "a\x00", "x" * 256, "ü" * 128])
async def test_names_of_events_are_names(name):
    async with Stage(quiet()) as stage:
        ada = await stage.enter("ada")
        await ada.join("a")
        assert (await publish(ada, name, 1))["code"] == "bad_request"
        with pytest.raises(BadRequest, match="The event's name"):
            await stage.node.publisher.publish(ROOM, name, 1)
        with pytest.raises(BadRequest):
            await stage.node.publisher.broadcast(name, 1)


async def test_what_the_server_cannot_mean():
    async with Stage(quiet()) as stage:
        for event in (Moved, 5, None, {"x": 1}):
            with pytest.raises(TypeError, match="publish an event"):
                await stage.node.publisher.publish(ROOM, event)
        with pytest.raises(TypeError, match="not one string"):
            await stage.node.publisher.publish(ROOM, "e", 1, exclude="ada")
        with pytest.raises(TypeError, match="not one string"):
            await stage.node.publisher.broadcast("e", 1, exclude="ada")


def test_the_names_and_kinds_of_events():
    assert encode_event("e", {"a": [1, None]}) == ("e", b'{"a":[1,null]}')
    assert encode_event(Moved(x=1)) == ("moved", b'{"x":1,"label":""}')
    assert kind_of("typing", None) is Kind.EPHEMERAL
    assert kind_of("cursor", None) is Kind.MESSAGE
    assert kind_of("cursor", Cursor(x=1)) is Kind.EPHEMERAL


def test_refusals_are_one_family():
    assert issubclass(TooLarge, Exception)
    assert BadRequest("x").code.value == "bad_request"


async def test_a_namespace_of_the_servers_alone():
    async with Stage(Namespace("topic")) as stage:
        ada = await stage.enter("ada")
        await ada.ask("subscribe", channel="topic:t")
        answer = await publish(ada, channel="topic:t")
        assert (answer["code"], "only the server" in answer["message"]) == ("forbidden", True)
