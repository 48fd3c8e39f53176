"""Sessions from their welcome to their end: limits, expiry, renewal, heartbeats, and a hub that is empty afterwards."""

import asyncio
from typing import Any

import pytest
from stage import Guest, Stage, one, quiet, room, types

from hubbub.codes import CloseCode, UnsubscribeCode
from hubbub.exceptions import Forbidden, LimitExceeded, SessionClosed, UnknownChannel
from hubbub.hub.channels import EVERYONE, Channel
from hubbub.hub.identity import Identity
from hubbub.hub.limits import ConnectionsPolicy, Limits
from hubbub.hub.namespaces import Namespace, Namespaces, Publish, Subscribe
from hubbub.hub.presence import Change, Lease
from hubbub.hub.publications import Position
from hubbub.hub.replies import Reply
from hubbub.types import Epoch, UserId

ROOM = "room:a"
EXPIRED = (4002, "Token expired")


def assert_empty(stage: Stage) -> None:
    """Nothing of any session is left."""
    node = stage.node
    assert (len(node.connections), len(node.feeds), len(node.attendance), len(node.background)) == (
        0,
        0,
        0,
        0,
    )
    assert node.connections._by_user == {}
    assert node.connections._waiting == 0
    assert node.feeds._changing == {}
    assert (node.turn._feeds, node.turn._outlets, node.turn._overflown) == ([], [], [])
    assert node.catch_up._running == set()
    assert stage.presence._channels == {}
    assert {channel for channel in stage.broker._subscribed if not channel.startswith("\x1f")} == {EVERYONE}


class TestWelcome:
    async def test_it_says_who_one_is_and_where_ones_own_channel_stands(self):
        async with Stage(heartbeat=25.0) as stage:
            ada = stage.guest("ada")
            await stage.node.connections.open(ada.session)
            (welcome,) = ada.news()
            top = (await stage.broker.read("user:ada")).top
            assert welcome == {
                "type": "welcome",
                "user_id": "ada",
                "session_id": ada.session.id,
                "heartbeat": 25,
                "channel": "user:ada",
                "epoch": top.epoch,
                "offset": 0,
            }

    async def test_a_visitor_has_no_channel_of_their_own(self):
        async with Stage() as stage:
            visitor = stage.guest("")
            await stage.node.connections.open(visitor.session)
            (welcome,) = visitor.news()
            assert (welcome["user_id"], "channel" in welcome, "offset" in welcome) == ("", False, False)

    async def test_broadcasts_reach_everybody_from_the_welcome_on(self):
        async with Stage() as stage:
            ada, visitor = await stage.enter("ada"), await stage.enter("")
            await stage.node.publisher.broadcast("news", {"n": 1}, exclude={"bob"})
            assert types(ada.news()) == types(visitor.news()) == ["broadcast"]

    async def test_nothing_precedes_it(self):
        async with Stage() as stage:
            ada = stage.guest("ada")
            stage.broker.hold("read")
            opening = stage.start(stage.node.connections.open(ada.session))
            own = await stage.broker.held()
            await stage.node.publisher.publish("user:ada", "notification", 1)
            assert ada.news() == []
            own.release()
            await opening
            assert types(ada.news()) == ["welcome", "notification"]

    async def test_it_brings_what_was_missed_in_ones_own_channel(self):
        async with Stage() as stage:
            positions = [await stage.node.publisher.publish("user:ada", "notification", n) for n in range(4)]
            await stage.node.publisher.publish("user:ada", "notification", 4, exclude={"ada"})
            ada = stage.guest("ada")
            said: list[Any] = []
            reply = ada.session.encoding.reply

            def noted(words: Reply) -> Any:
                said.append(words)
                return reply(words)

            ada.session.encoding.reply = noted  # type: ignore[method-assign]
            await stage.node.connections.open(ada.session, positions[1])
            (welcome,) = said
            assert (welcome.recovered, welcome.position.offset) == (True, 5)
            assert [each.offset for each in welcome.publications] == [3, 4]

    @pytest.mark.parametrize("recovery", [True, False])
    async def test_it_says_where_that_cannot_be_brought(self, recovery):
        async with Stage(Namespace("user", recovery=recovery)) as stage:
            await stage.node.publisher.publish("user:ada", "notification", 1)
            ada = stage.guest("ada")
            await stage.node.connections.open(ada.session, Position(Epoch("another"), 0))
            (welcome,) = ada.news()
            assert (welcome["recovered"], welcome["offset"]) == (False, 1)

    async def test_no_broadcast_precedes_it(self):
        async with Stage() as stage:
            guest = stage.guest("ada")
            entering, go_on = asyncio.Event(), asyncio.Event()
            enter = stage.presence.enter

            async def slow(lease: Lease, ttl: float) -> Change:
                entering.set()
                await go_on.wait()
                return await enter(lease, ttl)

            stage.presence.enter = slow  # type: ignore[method-assign]
            opening = stage.start(stage.node.connections.open(guest.session))
            await entering.wait()
            await stage.node.publisher.broadcast("news", 1)
            assert guest.news() == []
            go_on.set()
            await opening
            await stage.node.publisher.broadcast("news", 2)
            assert types(guest.news())[:2] == ["welcome", "broadcast"]

    async def test_one_that_ends_meanwhile_is_not_welcomed(self):
        async with Stage() as stage:
            guest = stage.guest("ada")
            stage.broker.hold("read")
            opening = stage.start(stage.node.connections.open(guest.session))
            read = await stage.broker.held()
            stage.node.connections.close(guest.session, CloseCode.FORBIDDEN, "away")
            read.release()
            stage.broker.let("read")
            with pytest.raises(SessionClosed):
                await opening
            await guest.leave()
            assert guest.news() == []
            assert_empty(stage)
            stage._tasks.clear()

    async def test_a_visitor_who_has_left_is_not_welcomed(self):
        # Nothing of a visitor waits, so it can only have been before.
        async with Stage() as stage:
            visitor = stage.guest("")
            stage.node.connections.close(visitor.session, CloseCode.FORBIDDEN, "away")
            with pytest.raises(SessionClosed):
                await stage.node.connections.open(visitor.session)
            await visitor.leave()
            assert visitor.news() == []
            assert_empty(stage)

    @pytest.mark.parametrize("user", ["a\nb", "x" * 300])
    async def test_a_user_whose_name_is_no_channel_is_refused_and_forgotten(self, user):
        async with Stage() as stage:
            guest = stage.guest(user)
            with pytest.raises(UnknownChannel):
                await stage.node.connections.open(guest.session)
            await guest.leave()
            assert_empty(stage)


class TestLimits:
    async def test_as_many_connections_as_the_node_takes(self):
        async with Stage(limits=Limits(connections=2)) as stage:
            ada = await stage.enter("ada")
            await stage.enter("bob")
            eve = stage.guest("eve")
            with pytest.raises(LimitExceeded, match=r"full \(2 connections\)"):
                await stage.node.connections.open(eve.session)
            assert eve.news() == []
            await eve.leave()
            await ada.leave()
            await stage.enter("eve")

    async def test_those_who_have_yet_to_say_who_they_are_count(self):
        async with Stage(limits=Limits(connections=2)) as stage:
            waiting = stage.node.connections.waiting
            with waiting(), waiting(), pytest.raises(LimitExceeded):
                stage.node.connections.check_capacity()
            stage.node.connections.check_capacity()

    async def test_as_many_as_a_user_may_have(self):
        async with Stage(limits=Limits(connections_per_user=2)) as stage:
            first, _ = await stage.enter("ada"), await stage.enter("ada")
            with pytest.raises(LimitExceeded, match="2 connections"):
                await stage.node.connections.open(stage.guest("ada").session)
            await stage.enter("bob")
            await first.leave()
            await stage.enter("ada")

    async def test_visitors_are_nobodys_connections(self):
        async with Stage(limits=Limits(connections_per_user=1)) as stage:
            for _ in range(3):
                await stage.enter("")
            assert stage.node.connections.of_user(UserId("")) == ()

    async def test_zero_is_no_limit(self):
        async with Stage(limits=Limits(connections=0, connections_per_user=0)) as stage:
            for _ in range(30):
                await stage.enter("ada")
            assert len(stage.node.connections) == len(stage.node.connections.of_user(UserId("ada"))) == 30

    async def test_a_new_connection_replaces_the_old_one(self):
        limits = Limits(connections_per_user=1, connections_policy=ConnectionsPolicy.REPLACE)
        async with Stage(limits=limits, grace=5) as stage:
            bob = await stage.enter("bob")
            await bob.join("a")
            old = await stage.enter("ada")
            await old.join("a")
            new = await stage.enter("ada")
            assert old.outlet.closed_with == (1000, "Replaced by new connection")
            await old.leave()
            await new.join("a")
            await stage.pass_time(6)
            # Whoever is replaced is still here.
            assert [(each["type"], each["user_id"]) for each in bob.news() if "user_id" in each] == [
                ("user_joined", "ada")
            ]
            visitors = [await stage.enter("") for _ in range(2)]
            assert visitors[0].outlet.closed_with is bob.outlet.closed_with is None


class TestExpiry:
    async def test_within_a_second_after_the_leeway(self):
        async with Stage(leeway=30) as stage:
            ada = await stage.enter("ada", expires_at=stage.clock.time() + 100)
            await ada.join("a")
            await stage.pass_time(129.5)
            assert ada.outlet.closed_with is None
            await stage.pass_time(1)
            assert ada.outlet.closed_with == EXPIRED
            await stage.say(ROOM, "one")
            assert "message" not in types(ada.news())

    async def test_an_identity_that_is_over_already(self):
        async with Stage(leeway=0) as stage:
            ada = await stage.enter("ada", expires_at=stage.clock.time() - 100)
            await stage.pass_time(0.2)
            assert ada.outlet.closed_with == EXPIRED

    async def test_the_user_has_the_grace_to_come_back_with_a_fresh_token(self):
        async with Stage(leeway=0, grace=5) as stage:
            bob = await stage.enter("bob")
            await bob.join("a")
            ada = await stage.enter("ada", expires_at=stage.clock.time() + 1)
            await ada.join("a")
            await stage.pass_time(2)
            await ada.leave(clean=True)  # that a closed client answers with its own Close is no goodbye
            await stage.pass_time(3)
            fresh = await stage.enter("ada")
            await fresh.join("a")
            await stage.pass_time(20)
            assert [each["type"] for each in bob.news() if each["type"].startswith("user_")] == [
                "user_joined"
            ]

    async def test_renewal_puts_it_off(self):
        async with Stage(leeway=0) as stage:
            ada = await stage.enter("ada", expires_at=stage.clock.time() + 100)
            stage.tokens["fresh"] = Identity(UserId("ada"), expires_at=stage.clock.time() + 1000)
            await stage.pass_time(90)
            assert one(await ada.ask("auth", token="fresh", ref=1), "ack")["ref"] == 1
            await stage.pass_time(900)
            assert ada.outlet.closed_with is None
            await stage.pass_time(11)
            assert ada.outlet.closed_with == EXPIRED

    async def test_renewal_to_a_token_without_an_end(self):
        async with Stage(leeway=0) as stage:
            ada = await stage.enter("ada", expires_at=stage.clock.time() + 100)
            stage.tokens["endless"] = Identity(UserId("ada"))
            await ada.ask("auth", token="endless")
            await stage.pass_time(1e6)
            assert ada.outlet.closed_with is None

    async def test_renewal_may_shorten(self):
        async with Stage(leeway=0) as stage:
            ada = await stage.enter("ada")
            stage.tokens["brief"] = Identity(UserId("ada"), expires_at=stage.clock.time() + 5)
            await ada.ask("auth", token="brief")
            await stage.pass_time(6)
            assert ada.outlet.closed_with == EXPIRED


class TestRenewal:
    async def test_another_user_is_forbidden_and_the_identity_stays(self):
        async with Stage() as stage:
            ada = await stage.enter("ada")
            stage.tokens |= {"bob": Identity(UserId("bob")), "visitor": Identity(UserId(""))}
            for token in ("bob", "visitor"):
                error = one(await ada.ask("auth", token=token, ref=1), "error")
                assert (error["code"], error["ref"]) == ("forbidden", 1)
            assert ada.session.user_id == "ada"
            assert ada.outlet.closed_with is None

    async def test_a_bad_token_ends_the_connection(self):
        async with Stage() as stage:
            ada = await stage.enter("ada")
            error = one(await ada.ask("auth", token="forged", ref=1), "error")
            assert (error["code"], error["ref"]) == ("unauthorized", 1)
            assert ada.outlet.closed_with == (4001, "Invalid token")

    async def test_subscriptions_are_authorized_anew(self):
        async def by_claim(identity: Identity, channel: Channel) -> bool:
            return channel.rest in identity.claims.get("rooms", ())

        async with Stage(quiet(authorizer=by_claim), Namespace("topic")) as stage:
            ada = stage.guest("ada")
            ada.session.identity = Identity(UserId("ada"), {"rooms": ["a", "b"]})
            await stage.node.connections.open(ada.session)
            for name in ("a", "b"):
                await ada.join(name)
            await ada.ask("subscribe", channel="topic:t")
            ada.news()
            stage.tokens["less"] = Identity(UserId("ada"), {"rooms": ["b"]})
            ended, ack = await ada.ask("auth", token="less", ref=1)
            assert (ended["type"], ended["channel"], ended["code"], ended["reason"]) == (
                "unsubscribed",
                ROOM,
                2000,
                "No longer allowed",
            )
            assert ack["type"] == "ack"
            for name in ("a", "b"):
                await stage.say(f"room:{name}", name)
            await stage.say("topic:t", "t")
            await stage.node.publisher.publish("user:ada", "notification", 1)
            await stage.node.publisher.broadcast("news", 1)
            assert [message.get("content", message["type"]) for message in ada.news()] == [
                "b",
                "t",
                "notification",
                "broadcast",
            ]

    @pytest.mark.parametrize(
        "error", [Forbidden("no"), LimitExceeded("no"), ValueError("of the application")]
    )
    async def test_a_hook_that_raises_allows_nothing(self, error, caplog):
        fails: list[str] = []

        async def hook(identity: Identity, channel: Channel) -> bool:
            if channel.rest in fails:
                raise error
            return "revoked" not in identity.claims

        async with Stage(quiet(authorizer=hook)) as stage:
            ada = await stage.enter("ada")
            for name in ("a", "b", "c"):
                await ada.join(name)
            fails.append("a")
            stage.tokens["t"] = Identity(UserId("ada"), {"revoked": True})
            news = await ada.ask("auth", token="t", ref=1)
            assert sorted(message["channel"] for message in news if message["type"] == "unsubscribed") == [
                "room:a",
                "room:b",
                "room:c",
            ]
            assert set(ada.session.subscriptions) == {"user:ada"}

    async def test_what_a_token_of_its_own_allowed_goes_on(self):
        async with Stage(quiet(subscribe=Subscribe.TOKEN)) as stage:
            stage.tokens |= {
                "a": Identity(UserId("ada"), {"channel": ROOM}),
                "fresh": Identity(UserId("ada")),
            }
            ada = await stage.enter("ada")
            await ada.ask("subscribe", channel=ROOM, token="a")
            assert types(await ada.ask("auth", token="fresh")) == []
            assert ROOM in ada.session.subscriptions


class TestVisitors:
    async def test_a_visitor_becomes_a_user(self):
        async with Stage() as stage:
            guest = await stage.enter("")
            stage.tokens["ada"] = Identity(UserId("ada"), expires_at=stage.clock.time() + 100)
            welcome, ack = await guest.ask("auth", token="ada", ref=1)
            assert (welcome["type"], welcome["user_id"], welcome["channel"]) == ("welcome", "ada", "user:ada")
            assert ack["type"] == "ack"
            assert stage.node.connections.of_user(UserId("ada")) == (guest.session,)
            assert await stage.node.attendance.online([UserId("ada")]) == {"ada"}
            await stage.node.publisher.publish("user:ada", "notification", 1)
            assert types(guest.news()) == ["notification"]
            await guest.join("a")
            await stage.pass_time(131)
            assert guest.outlet.closed_with == EXPIRED
            await guest.leave()
            await stage.pass_time(10)
            assert_empty(stage)

    async def test_not_once_they_are_on_something(self):
        async with Stage(room(subscribe=Subscribe.ANYONE)) as stage:
            guest = await stage.enter("")
            await guest.join("a")
            stage.tokens["ada"] = Identity(UserId("ada"))
            assert one(await guest.ask("auth", token="ada"), "error")["code"] == "forbidden"
            assert guest.session.user_id == ""

    async def test_the_limit_of_the_user_holds(self):
        async with Stage(limits=Limits(connections_per_user=1)) as stage:
            await stage.enter("ada")
            guest = await stage.enter("")
            stage.tokens["ada"] = Identity(UserId("ada"))
            assert one(await guest.ask("auth", token="ada"), "error")["code"] == "limit_exceeded"
            assert guest.session.user_id == ""
            assert guest.outlet.closed_with is None

    async def test_the_users_old_connection_is_replaced(self):
        async with Stage(limits=Limits(connections_policy=ConnectionsPolicy.REPLACE)) as stage:
            old = await stage.enter("ada")
            guest = await stage.enter("")
            stage.tokens["ada"] = Identity(UserId("ada"))
            assert types(await guest.ask("auth", token="ada")) == ["welcome"]
            assert old.outlet.closed_with == (1000, "Replaced by new connection")
            assert guest.outlet.closed_with is None


class TestHeartbeats:
    async def test_every_interval_spread_over_its_second_half(self):
        async with Stage(heartbeat=10) as stage:
            guests = [await stage.enter(f"user{number}") for number in range(40)]
            first: dict[int, list[Guest]] = {}
            for second in range(1, 12):
                await stage.pass_time(1)
                for guest in guests:
                    if types(guest.news()) == ["ping"]:
                        first.setdefault(second, []).append(guest)
            assert sum(map(len, first.values())) == 40
            assert min(first) >= 5
            assert len(first) >= 3
            for _ in range(3):
                await stage.pass_time(10.2)
                assert all(types(guest.news()) == ["ping"] for guest in guests)

    async def test_a_client_that_never_answers_stays(self):
        async with Stage(heartbeat=10) as stage:
            ada = await stage.enter("ada")
            for _ in range(50):
                await stage.pass_time(10)
            assert ada.outlet.closed_with is None

    async def test_one_to_which_nothing_could_be_sent_for_a_whole_interval_is_closed(self):
        async with Stage(heartbeat=10) as stage:
            ada, bob = await stage.enter("ada"), await stage.enter("bob")
            await ada.join("a")
            ada.outlet.stall()
            await stage.say(ROOM, "one")
            await stage.pass_time(11)
            assert ada.outlet.closed_with is None
            await stage.pass_time(11)
            assert ada.outlet.closed_with == (4008, "Nothing could be sent for a whole heartbeat")
            await stage.pass_time(1.2)
            assert ada.outlet.aborted
            assert bob.outlet.closed_with is None

    async def test_one_that_is_slow_but_takes_something_now_and_then_stays(self):
        async with Stage(heartbeat=10) as stage:
            ada = await stage.enter("ada")
            await ada.join("a")
            ada.outlet.stall()
            for number in range(20):
                await stage.say(ROOM, str(number))
            for _ in range(8):
                await stage.pass_time(10.2)
                ada.outlet.take(1)
                await stage.settle()
            assert ada.outlet.closed_with is None
            assert "ping" not in types(ada.news())

    async def test_none_after_the_end(self):
        async with Stage(heartbeat=10) as stage:
            timers = len(stage.node.wheel)
            ada = await stage.enter("ada", expires_at=stage.clock.time() + 1e6)
            await ada.leave()
            assert len(stage.node.wheel) == timers
            await stage.pass_time(100)
            assert ada.news() == []


class TestClosing:
    async def test_the_close_is_the_last_word_and_the_abort_comes_a_second_later(self):
        async with Stage() as stage:
            ada = await stage.enter("ada")
            await ada.join("a")
            stage.node.connections.close(ada.session, CloseCode.REVOKED, "Revoked")
            stage.node.connections.close(ada.session, CloseCode.FORBIDDEN, "again")
            assert ada.outlet.closed_with == (4010, "Revoked")
            assert stage.node.statistics.closes == {4010: 1}
            await stage.say(ROOM, "one")
            assert await ada.ask("ping", ref=1) == []
            assert await ada.ask("nonsense") == []
            await stage.pass_time(0.5)
            assert not ada.outlet.aborted
            await stage.pass_time(0.7)
            assert ada.outlet.aborted

    @pytest.mark.parametrize(
        ("code", "at_once"),
        [
            (CloseCode.NORMAL, False),  # replaced: the user is here already
            (CloseCode.INVALID_TOKEN, True),
            (CloseCode.FORBIDDEN, True),
            (CloseCode.REVOKED, True),
            (CloseCode.POLICY_VIOLATION, True),
            (CloseCode.SLOW_CONSUMER, False),
            (CloseCode.TOKEN_EXPIRED, False),
            (CloseCode.SERVICE_RESTART, False),
        ],
    )
    async def test_who_will_not_come_back_has_left(self, code, at_once):
        async with Stage(grace=5) as stage:
            bob, ada = await stage.enter("bob"), await stage.enter("ada")
            await bob.join("a")
            await ada.join("a")
            await stage.all_told()
            bob.news()
            stage.node.connections.close(ada.session, code, "away")
            await ada.leave()
            assert types(bob.news()) == (["user_left"] if at_once else [])
            await stage.pass_time(6)
            assert types(bob.news()) == ([] if at_once else ["user_left"])

    async def test_taken_off_a_channel_by_the_server(self):
        async with Stage() as stage:
            ada = await stage.enter("ada")
            await ada.join("a")
            await stage.node.connections.unsubscribe(
                ada.session, ROOM, UnsubscribeCode.BY_SERVER, "The room is closed"
            )
            assert ada.news() == [
                {
                    "type": "unsubscribed",
                    "room_id": "a",
                    "channel": ROOM,
                    "code": 2000,
                    "reason": "The room is closed",
                }
            ]
            await stage.node.connections.unsubscribe(ada.session, ROOM, UnsubscribeCode.BY_SERVER, "again")
            assert ada.news() == []


class TestTheEnd:
    """Whatever ends a session, nothing of it is left."""

    async def full(self, stage: Stage) -> list[Guest]:
        guests = []
        for user in ("ada", "ada", "bob", ""):
            guest = await stage.enter(user, expires_at=stage.clock.time() + 1000)
            for name in ("a", "b"):
                await guest.ask("join_room", room_id=name)
            await guest.ask("subscribe", channel="topic:t")
            guests.append(guest)
        return guests

    def stage(self) -> Stage:
        return Stage(
            room(subscribe=Subscribe.ANYONE),
            Namespace("topic", subscribe=Subscribe.ANYONE),
            grace=5,
            lease=30,
        )

    @pytest.mark.parametrize("way", ["clean", "cut", "closed", "slow", "overflown"])
    async def test_the_hub_is_empty(self, way):
        async with self.stage() as stage:
            timers = len(stage.node.wheel)
            guests = await self.full(stage)
            assert len(stage.node.connections) == 4
            if way in {"slow", "overflown"}:
                for guest in guests:
                    guest.outlet.stall()
                for _ in range(2 if way == "slow" else 6):
                    await stage.say(ROOM, "x" * 60_000)
            if way == "closed":
                for guest in guests:
                    stage.node.connections.close(guest.session, CloseCode.SERVICE_RESTART, "restart")
            for guest in guests:
                await guest.leave(clean=way == "clean")
            await stage.pass_time(6)
            await stage.all_told()
            await stage.all_told()
            assert_empty(stage)
            assert len(stage.node.wheel) == timers
            assert all(guest.session.subscriptions == {} for guest in guests)

    async def test_in_the_middle_of_a_command(self):
        async with self.stage() as stage:
            timers = len(stage.node.wheel)
            ada = await stage.enter("ada")
            for method in ("subscribe", "read"):
                stage.broker.hold(method)
                joining = stage.start(ada.ask("join_room", room_id=f"in {method}"))
                await stage.broker.held()
                joining.cancel()
                await asyncio.wait([joining])
                stage.broker.let(method)
            assert set(ada.session.subscriptions) == {"user:ada"}
            await ada.leave(clean=False)
            await stage.pass_time(6)
            await stage.all_told()
            assert_empty(stage)
            assert len(stage.node.wheel) == timers

    async def test_ending_twice_is_harmless(self):
        async with self.stage() as stage:
            ada = await stage.enter("ada")
            await ada.leave()
            await ada.leave()
            assert_empty(stage)

    async def test_a_session_that_never_was_opened(self):
        async with self.stage() as stage:
            await stage.guest("ada").leave()
            assert_empty(stage)


async def test_without_a_user_namespace_nobody_has_a_channel_of_their_own():
    stage = Stage(quiet(publish=Publish.NOBODY))
    stage.node.namespaces._by_name.pop("user")
    assert isinstance(stage.node.namespaces, Namespaces)
    async with stage:
        ada: Any = await stage.enter("ada")
        assert set(ada.session.subscriptions) == set()
