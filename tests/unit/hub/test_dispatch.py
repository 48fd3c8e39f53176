"""Commands, one after the other: what each does is in the other files; here, how each is answered."""

import json
import logging

import pytest
from stage import Stage, one, quiet, types

from hubbub.exceptions import AuthenticationUnavailable
from hubbub.hub.channels import Channel
from hubbub.hub.dispatch import FLOOD, PAGE_BYTES
from hubbub.hub.identity import Identity
from hubbub.hub.limits import Limits
from hubbub.hub.namespaces import NO_HISTORY, History, Namespace
from hubbub.types import UserId

ROOM = "room:a"


@pytest.mark.parametrize("ref", [0, 1, -5, 2**63, 10**20, "", "a", "ü" * 255, 1.5, -0.25])
async def test_the_ref_comes_back_in_acks_and_errors(ref):
    async with Stage() as stage:
        ada = await stage.enter("ada")
        assert one(await ada.ask("join_room", room_id="a", ref=ref), "ack")["ref"] == ref
        assert one(await ada.ask("message", room_id="a", content="hi", ref=ref), "ack")["ref"] == ref
        assert one(await ada.ask("leave_room", room_id="a", ref=ref), "ack")["ref"] == ref
        for kind, fields in (
            ("leave_room", {"room_id": "a"}),
            ("message", {"room_id": "a", "content": "hi"}),
            ("history", {"channel": ROOM}),
            ("nonsense", {}),
            ("join_room", {}),
        ):
            assert one(await ada.ask(kind, ref=ref, **fields), "error")["ref"] == ref


async def test_without_a_ref_errors_have_none():
    async with Stage() as stage:
        ada = await stage.enter("ada")
        for kind, fields in (("nonsense", {}), ("leave_room", {"room_id": "a"}), ("ping", {"ref": []})):
            assert "ref" not in one(await ada.ask(kind, **fields), "error")


async def test_pings():
    async with Stage() as stage:
        ada = await stage.enter("ada")
        assert await ada.ask("ping") == [{"type": "pong"}]
        assert await ada.ask("ping", ref=1) == [{"type": "pong"}, {"type": "ack", "ref": 1}]
        assert await ada.ask("pong") == []


@pytest.mark.parametrize("text", ["", "nonsense", "[]", "5", "null", '{"type":5}', "{" * 100_000, '"\ud800"'])
async def test_what_is_no_command_is_answered_and_the_connection_stays(text):
    async with Stage() as stage:
        ada = await stage.enter("ada")
        await stage.node.dispatcher.handle(ada.session, text)
        assert one(ada.news(), "error")["code"] == "bad_request"
        assert types(await ada.ask("ping")) == ["pong"]
        assert stage.node.statistics.refusals == {"bad_request": 1}


class TestHistory:
    async def test_pages_backwards(self):
        async with Stage(quiet()) as stage:
            ada = await stage.enter("ada")
            joined = await ada.join("a")
            for number in range(1, 8):
                await stage.say(ROOM, str(number))
            ada.news()
            page = one(await ada.ask("history", channel=ROOM, limit=3, ref="h"), "ack")
            assert {**page, "messages": len(page["messages"])} == {
                "type": "ack",
                "ref": "h",
                "channel": ROOM,
                "epoch": joined["epoch"],
                "offset": 7,
                "id": page["messages"][-1]["id"],
                "messages": 3,
            }
            pages = [page]
            while pages[-1]["messages"]:
                before = pages[-1]["messages"][0]["offset"]
                pages.append(one(await ada.ask("history", channel=ROOM, limit=3, before=before), "ack"))
            assert [[each["offset"] for each in page["messages"]] for page in pages] == [
                [5, 6, 7],
                [2, 3, 4],
                [1],
                [],
            ]
            assert "ref" not in pages[-1]

    @pytest.mark.parametrize(
        ("fields", "code"),
        [
            ({"limit": 0}, "bad_request"),
            ({"limit": -1}, "bad_request"),
            ({"limit": 1001}, "bad_request"),
            ({"limit": 10**30}, "bad_request"),
            ({"before": -1}, "bad_request"),
            ({"before": 10**30}, None),
            ({"before": 0}, None),
            ({"limit": 1000}, None),
            ({"channel": "room:b"}, "not_subscribed"),
            ({"channel": "news:n"}, "not_available"),
            ({"channel": "nowhere:n"}, "unknown_channel"),
            ({"channel": ""}, "unknown_channel"),
        ],
    )
    async def test_what_one_may_ask_for(self, fields, code):
        async with Stage(quiet(), Namespace("news", history=NO_HISTORY)) as stage:
            ada = await stage.enter("ada")
            await ada.join("a")
            await ada.ask("subscribe", channel="news:n")
            (answer,) = await ada.ask("history", **{"channel": ROOM, "ref": 1, **fields})
            assert answer.get("code") == code

    async def test_a_page_is_bounded_in_bytes_too(self):
        async with Stage(quiet(max_message_bytes=0)) as stage:
            ada = await stage.enter("ada")
            await ada.join("a")
            for number in range(1, 9):
                await stage.say(ROOM, str(number).ljust(PAGE_BYTES // 4))
            seen, before = [], None
            while before != 1:
                fields = {} if before is None else {"before": before}
                page = one(
                    [m for m in await ada.ask("history", channel=ROOM, **fields) if m["type"] == "ack"], "ack"
                )
                assert 1 <= len(page["messages"]) <= 4
                before = page["messages"][0]["offset"]
                seen[:0] = [each["offset"] for each in page["messages"]]
            assert seen == list(range(1, 9))

    async def test_of_what_is_kept(self):
        async with Stage(quiet(history=History(3))) as stage:
            ada = await stage.enter("ada")
            await ada.join("a")
            for number in range(10):
                await stage.say(ROOM, str(number))
            ada.news()
            page = one(await ada.ask("history", channel=ROOM), "ack")
            assert [each["content"] for each in page["messages"]] == ["7", "8", "9"]


class TestPresence:
    @pytest.mark.parametrize(
        ("fields", "code"),
        [
            ({"limit": 0}, "bad_request"),
            ({"limit": 1001}, "bad_request"),
            ({"channel": "room:b"}, "not_subscribed"),
            ({"channel": "topic:t"}, "not_available"),
            ({"channel": "nowhere:n"}, "unknown_channel"),
            ({"cursor": "zzz"}, None),
            ({"cursor": ""}, None),
        ],
    )
    async def test_what_one_may_ask_for(self, fields, code):
        async with Stage() as stage:
            ada = await stage.enter("ada")
            await ada.join("a")
            await ada.ask("subscribe", channel="topic:t")
            (answer,) = await ada.ask("presence", **{"channel": ROOM, "ref": 1, **fields})
            assert answer.get("code") == code


class TestRates:
    async def test_over_the_rate_it_is_not_taken_and_nobody_else_is_concerned(self):
        async with Stage(limits=Limits(message_rate=5)) as stage:
            ada, bob = await stage.enter("ada"), await stage.enter("bob")
            await ada.join("a")
            await bob.join("a")
            for number in range(10):
                await ada.ask("message", room_id="a", content=str(number), ref=number)
            answers = [each for each in ada.outlet.sent if each.get("ref") is not None]
            assert [each["type"] for each in answers] == ["ack"] * 4 + ["error"] * 6
            assert {each["code"] for each in answers[4:]} == {"rate_limited"}
            assert bob.contents() == ["0", "1", "2", "3"]
            assert types(await bob.ask("ping")) == ["pong"]
            stage.clock.advance(1)
            assert types(await ada.ask("ping")) == ["pong"]
            assert ada.outlet.closed_with is None

    async def test_what_is_no_command_counts_and_a_sign_of_life_does_not(self):
        async with Stage(limits=Limits(message_rate=2)) as stage:
            ada = await stage.enter("ada")
            for _ in range(10):
                assert await ada.ask("pong") == []
            codes = []
            for _ in range(4):
                await stage.node.dispatcher.handle(ada.session, "{")
                codes += [each["code"] for each in ada.news()]
            assert codes == ["bad_request", "bad_request", "rate_limited", "rate_limited"]

    async def test_a_flood_is_closed(self):
        async with Stage(limits=Limits(message_rate=2)) as stage:
            ada = await stage.enter("ada")
            for _ in range(FLOOD + 1):
                await ada.ask("ping")
            assert ada.outlet.closed_with is None
            await ada.ask("ping")
            assert ada.outlet.closed_with == (1008, "Too many messages")
            assert stage.node.statistics.refusals == {"rate_limited": FLOOD}

    @pytest.mark.parametrize(("a_second", "closed"), [(3, False), (4, False), (6, True)])
    async def test_more_refused_than_taken_for_long_is_a_flood_too(self, a_second, closed):
        async with Stage(limits=Limits(message_rate=2)) as stage:
            ada = await stage.enter("ada")
            for _ in range(FLOOD):
                for _ in range(a_second):
                    await ada.ask("ping")
                stage.clock.advance(1)
            assert (ada.outlet.closed_with is not None) == closed

    async def test_zero_is_no_limit(self):
        async with Stage(limits=Limits(message_rate=0)) as stage:
            ada = await stage.enter("ada")
            for _ in range(1000):
                assert types(await ada.ask("ping")) == ["pong"]


async def test_a_hook_that_raises_ends_the_command_and_not_the_connection(caplog: pytest.LogCaptureFixture):
    async def broken(identity: Identity, channel: Channel) -> bool:
        raise ZeroDivisionError("secret detail")

    async with Stage(quiet(authorizer=broken)) as stage:
        ada = await stage.enter("ada")
        with caplog.at_level(logging.ERROR):
            (error,) = await ada.ask("join_room", room_id="a", ref=1)
        assert error == {
            "type": "error",
            "code": "internal",
            "message": "Something went wrong on the server.",
            "ref": 1,
        }
        assert "secret detail" in caplog.text
        assert stage.node.statistics.failures == 1
        assert types(await ada.ask("ping")) == ["pong"]


async def test_tokens_that_cannot_be_checked_end_nothing():
    async with Stage() as stage:
        ada = await stage.enter("ada")

        async def unavailable(token: str) -> Identity:
            raise AuthenticationUnavailable("The provider cannot be reached.")

        stage.node.dispatcher._authenticate = unavailable
        error = one(await ada.ask("auth", token="t", ref=1), "error")
        assert (error["code"], error["ref"]) == ("unavailable", 1)
        assert ada.outlet.closed_with is None
        assert ada.session.identity == Identity(UserId("ada"))


async def test_commands_and_refusals_are_counted():
    async with Stage() as stage:
        ada = await stage.enter("ada")
        await ada.ask("ping")
        await ada.join("a")
        await ada.ask("nonsense")
        await ada.ask("leave_room", room_id="b")
        statistics = stage.node.statistics
        assert statistics.commands == 2
        assert statistics.refusals == {"unknown_type": 1, "not_subscribed": 1}


async def test_bytes_are_understood_too():
    async with Stage() as stage:
        ada = await stage.enter("ada")
        await stage.node.dispatcher.handle(ada.session, json.dumps({"type": "ping"}).encode())
        assert types(ada.news()) == ["pong"]


@pytest.mark.parametrize(
    "message",
    [
        {"type": "message", "room_id": "a", "content": "hi", "ref": 1},
        {"type": "typing", "room_id": "a", "ref": 1},
        {"type": "publish", "channel": "room:a", "event": "e", "data": [1], "idempotency_key": "k", "ref": 1},
        {"type": "message", "room_id": "b", "content": "hi", "ref": 1},
        {"type": "history", "channel": "room:a", "ref": 1},
        {"type": "ping", "ref": 1},
        {"type": "what", "ref": 1},
    ],
    ids=lambda message: message["type"],
)
async def test_with_everything_in_memory_a_command_runs_to_its_end_at_once(message):
    async with Stage(quiet()) as stage:
        ada = await stage.enter("ada")
        await ada.join("a")
        handling = stage.node.dispatcher.handle(ada.session, json.dumps(message))
        with pytest.raises(StopIteration):
            handling.send(None)
        assert [each["ref"] for each in ada.news() if "ref" in each] == [1]
