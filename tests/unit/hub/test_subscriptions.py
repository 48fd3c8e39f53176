"""Subscribing: who may, how many, and what ends it."""

import asyncio

import pytest
from stage import Stage, one, quiet, room, types

from hubbub.exceptions import Forbidden, SessionClosed, UnknownChannel
from hubbub.hub.channels import Channel
from hubbub.hub.commands import Subscribe as SubscribeCommand
from hubbub.hub.identity import Identity
from hubbub.hub.limits import Limits
from hubbub.hub.namespaces import Namespace, Subscribe
from hubbub.types import UserId

ROOM = "room:a"


async def refusal(guest, channel: str = ROOM, **fields) -> tuple[str, str]:
    before = set(guest.session.subscriptions)
    error = one(await guest.ask("subscribe", channel=channel, ref=7, **fields), "error")
    assert error["ref"] == 7
    assert set(guest.session.subscriptions) == before
    return error["code"], error["message"]


@pytest.mark.parametrize("policy", ["anyone", "authenticated", "owner", "token"])
@pytest.mark.parametrize("user", ["", "ada", "a"])
async def test_who_may_subscribe(policy, user):
    async with Stage(quiet(subscribe=Subscribe(policy))) as stage:
        guest = await stage.enter(user)
        allowed = {
            "anyone": True,
            "authenticated": bool(user),
            "owner": user == "a",  # of room:a
            "token": False,
        }[policy]
        if allowed:
            assert one(await guest.ask("subscribe", channel=ROOM), "subscribed")["channel"] == ROOM
        else:
            code, message = await refusal(guest)
            assert code == "forbidden"
            assert ("Sign in" in message) == (user == "")


@pytest.mark.parametrize("policy", ["authenticated", "hook"])
async def test_a_hook_is_asked_after_the_policy(policy):
    asked: list[tuple[str, str]] = []

    async def only_ada(identity: Identity, channel: Channel) -> bool:
        asked.append((identity.user_id, channel.name))
        if identity.user_id == "eve":
            raise Forbidden("Not you.")
        return identity.user_id == "ada"

    namespace = quiet(subscribe=Subscribe(policy), authorizer=only_ada)
    async with Stage(namespace) as stage:
        ada, bob, eve, visitor = [await stage.enter(name) for name in ("ada", "bob", "eve", "")]
        assert types(await ada.ask("subscribe", channel=ROOM)) == ["subscribed"]
        assert await refusal(bob) == ("forbidden", "You may not subscribe to 'room:a'.")
        assert await refusal(eve) == ("forbidden", "Not you.")
        assert (await refusal(visitor))[0] == "forbidden"
        assert asked == [(name, ROOM) for name in ("ada", "bob", "eve", *([""] if policy == "hook" else []))]


@pytest.mark.parametrize(
    "channel", ["", "room:", "lobby", "other:a", "room:\n", "room:" + "ü" * 126, ":a", "user:"]
)
async def test_names_that_are_no_channel(channel):
    async with Stage() as stage:
        ada = await stage.enter("ada")
        assert (await refusal(ada, channel))[0] == "unknown_channel"


async def test_names_with_colons_and_the_longest_are_channels():
    async with Stage() as stage:
        ada = await stage.enter("ada")
        for name in ("a:b:c", "x" * 250, ":"):
            joined = await ada.join(name)
            assert (joined["room_id"], joined["channel"]) == (name, f"room:{name}")


async def test_others_own_channels_are_closed_and_ones_own_is_open_from_the_start():
    async with Stage() as stage:
        ada = await stage.enter("ada")
        assert (await refusal(ada, "user:bob"))[0] == "forbidden"
        await stage.node.publisher.publish("user:ada", "notification", {"n": 1})
        assert types(ada.news()) == ["notification"]
        again = one(await ada.ask("subscribe", channel="user:ada"), "subscribed")
        assert again["offset"] == 1


async def test_as_many_channels_as_the_limit_says_ones_own_not_counted():
    async with Stage(limits=Limits(subscriptions=2, message_rate=0)) as stage:
        ada = await stage.enter("ada")
        await ada.join("a")
        await ada.join("b")
        code, message = await refusal(ada, "room:c")
        assert (code, message) == ("limit_exceeded", "A connection may be on 2 channels; leave one first.")
        await ada.join("a")  # on which she is
        await ada.ask("leave_room", room_id="a")
        await ada.join("c")


async def test_no_limit():
    async with Stage(quiet(), limits=Limits(subscriptions=0, message_rate=0)) as stage:
        ada = await stage.enter("ada")
        for number in range(200):
            await ada.join(str(number))


async def test_a_subscribe_that_is_refused_does_not_count():
    async with Stage(limits=Limits(subscriptions=1, message_rate=0)) as stage:
        ada = await stage.enter("ada")
        for _ in range(3):
            assert (await refusal(ada, "user:bob"))[0] == "forbidden"
        await ada.join("a")


async def test_leaving():
    async with Stage() as stage:
        ada = await stage.enter("ada")
        for kind, fields in (("leave_room", {"room_id": "a"}), ("unsubscribe", {"channel": ROOM})):
            error = one(await ada.ask(kind, **fields), "error")
            assert error["code"] == "not_subscribed"
        await ada.join("a")
        assert types(await ada.ask("leave_room", room_id="a", ref=1)) == ["left", "ack"]
        await ada.join("a")
        ended = one(await ada.ask("unsubscribe", channel=ROOM), "unsubscribed")
        assert (ended["code"], ended["channel"]) == (0, ROOM)
        await stage.say(ROOM, "one")
        assert ada.news() == []


@pytest.mark.parametrize(
    ("channel", "code"), [("user:ada", "forbidden"), ("", "not_subscribed"), ("user:bob", "not_subscribed")]
)
async def test_what_one_cannot_leave(channel, code):
    async with Stage() as stage:
        ada = await stage.enter("ada")
        assert one(await ada.ask("unsubscribe", channel=channel), "error")["code"] == code
        await stage.node.publisher.publish("user:ada", "notification", 1)
        await stage.node.publisher.broadcast("news", 2)
        assert types(ada.news()) == ["notification", "broadcast"]


async def test_a_read_that_fails_takes_nobody_in_and_the_members_hear_of_coming_and_going():
    async with Stage(room()) as stage:
        ada, bob = await stage.enter("ada"), await stage.enter("bob")
        await bob.join("a")
        await stage.all_told()
        stage.broker.hold("read", when="after")
        joining = stage.start(ada.ask("join_room", room_id="a", ref=1))
        (await stage.broker.held()).fail(ConnectionError("no broker"))
        stage.broker.let("read")
        assert one(await joining, "error")["code"] == "internal"
        assert (await stage.node.attendance.roster(ROOM)).users == ("bob",)
        await stage.all_told()
        await stage.say(ROOM, "one")
        assert ada.news() == []
        assert types(bob.news()) == ["user_joined", "user_left", "message"]
        assert (await ada.join("a"))["active_users"] == 2


async def test_a_read_that_fails_for_who_was_on_it_tells_them_that_they_are_off():
    async with Stage(quiet()) as stage:
        ada = await stage.enter("ada")
        await ada.join("a")
        stage.broker.hold("read", when="after")
        joining = stage.start(ada.ask("join_room", room_id="a", ref=1))
        (await stage.broker.held()).fail(ConnectionError("no broker"))
        stage.broker.let("read")
        ended, error = await joining
        assert (ended["type"], ended["code"], ended["channel"]) == ("unsubscribed", 2500, ROOM)
        assert (error["code"], error["ref"]) == ("internal", 1)
        await stage.settle()
        await stage.say(ROOM, "one")
        assert ada.news() == []


@pytest.mark.parametrize("clean", [True, False])
async def test_a_connection_that_ends_while_it_reads_leaves_nothing(clean):
    async with Stage(room(), grace=5) as stage:
        ada = await stage.enter("ada")
        stage.broker.hold("read")
        joining = stage.start(ada.ask("join_room", room_id="a", ref=1))
        read = await stage.broker.held()
        stage.node.end(ada.session, clean=clean)
        await asyncio.sleep(0)
        read.release()
        stage.broker.let("read")
        assert await joining == []
        await stage.settle()
        await stage.pass_time(6)
        assert (await stage.node.attendance.roster(ROOM)).total == 0
        assert len(stage.node.feeds) == 0
        assert len(stage.node.attendance) == 0


async def test_a_connection_that_ends_while_a_hook_thinks_leaves_nothing():
    thinking, go_on = asyncio.Event(), asyncio.Event()

    async def slow(identity: Identity, channel: Channel) -> bool:
        if identity.user_id == "ada":
            thinking.set()
            await go_on.wait()
        return True

    async with Stage(room(authorizer=slow)) as stage:
        bob = await stage.enter("bob")
        await bob.join("a")
        ada = await stage.enter("ada")
        joining = stage.start(ada.ask("join_room", room_id="a", ref=1))
        await thinking.wait()
        await ada.leave()
        go_on.set()
        assert await joining == []
        assert ada.session.subscriptions == {}
        assert bob.news() == []
        await bob.leave()
        assert len(stage.node.feeds) == 0


class TestTokens:
    """The policy `token`."""

    def stage(self, **policy) -> Stage:
        stage = Stage(quiet(subscribe=Subscribe.TOKEN, **policy), Namespace("topic"), leeway=0)
        self.now = stage.clock.time()
        for name, user, channel, seconds in (
            ("good", "ada", ROOM, None),
            ("brief", "ada", ROOM, 60),
            ("long", "ada", ROOM, 600),
            ("bobs", "bob", ROOM, None),
            ("other", "ada", "room:b", None),
        ):
            expires_at = None if seconds is None else self.now + seconds
            stage.tokens[name] = Identity(UserId(user), {"channel": channel}, expires_at)
        stage.tokens["plain"] = Identity(UserId("ada"))
        return stage

    @pytest.mark.parametrize(
        ("token", "says"),
        [
            (None, "needs a `token` with the claims `sub` and `channel`"),
            ("bobs", "not for you and 'room:a'"),
            ("other", "not for you and 'room:a'"),
            ("plain", "not for you and 'room:a'"),
            ("forged", "The subscription's token is not valid: The token is not valid."),
        ],
    )
    async def test_tokens_that_do_not_fit_do_not_end_the_connection(self, token, says):
        async with self.stage() as stage:
            ada = await stage.enter("ada")
            code, message = await refusal(ada, **({} if token is None else {"token": token}))
            assert code == "forbidden"
            assert says in message
            assert ada.outlet.closed_with is None

    @pytest.mark.parametrize("kind", ["subscribe", "join_room"])
    async def test_the_right_token(self, kind):
        async with self.stage() as stage:
            ada = await stage.enter("ada")
            fields = {"channel": ROOM} if kind == "subscribe" else {"room_id": "a"}
            assert types(await ada.ask(kind, token="good", **fields)) == [
                "subscribed" if kind == "subscribe" else "joined"
            ]
            await stage.pass_time(1e6)
            assert ROOM in ada.session.subscriptions

    async def test_the_subscription_ends_with_its_token(self):
        async with self.stage() as stage:
            ada = await stage.enter("ada")
            await ada.ask("subscribe", channel=ROOM, token="brief")
            await stage.pass_time(59)
            assert "unsubscribed" not in types(ada.news())
            await stage.pass_time(1.2)
            ended = one(ada.news(), "unsubscribed")
            assert (ended["code"], ended["channel"], ended["reason"]) == (
                2501,
                ROOM,
                "The subscription's token expired",
            )
            await stage.say(ROOM, "one")
            assert ada.contents() == []
            assert ada.outlet.closed_with is None

    @pytest.mark.parametrize("fresh", ["long", "good"])
    async def test_a_fresh_token_in_time_prolongs_it(self, fresh):
        async with self.stage() as stage:
            ada = await stage.enter("ada")
            await ada.ask("subscribe", channel=ROOM, token="brief")
            await stage.pass_time(30)
            await ada.ask("subscribe", channel=ROOM, token=fresh)
            await stage.pass_time(60)
            assert ROOM in ada.session.subscriptions
            await stage.say(ROOM, "one")
            assert ada.contents() == ["one"]

    async def test_leaving_in_time_is_not_followed_by_an_expiry(self):
        async with self.stage() as stage:
            ada = await stage.enter("ada")
            timers = len(stage.node.wheel)
            await ada.ask("subscribe", channel=ROOM, token="brief")
            await ada.ask("unsubscribe", channel=ROOM)
            assert len(stage.node.wheel) == timers
            await stage.pass_time(120)
            assert "unsubscribed" not in types(ada.news())

    async def test_an_expiry_in_the_middle_of_a_renewal_leaves_it_off_the_channel(self):
        async with self.stage() as stage:
            ada = await stage.enter("ada")
            await ada.ask("subscribe", channel=ROOM, token="brief")
            stage.broker.hold("read")
            renewing = stage.start(ada.ask("subscribe", channel=ROOM, token="long", ref=1))
            read = await stage.broker.held()
            await stage.pass_time(61)
            read.release()
            stage.broker.let("read")
            messages = [message for message in await renewing if message["type"] != "ping"]
            assert types(messages) == ["unsubscribed", "error"]
            assert (messages[0]["code"], messages[1]["code"]) == (2501, "not_subscribed")
            assert ROOM not in ada.session.subscriptions
            await stage.say(ROOM, "one")
            assert ada.contents() == []
            assert ROOM not in stage.node.feeds._feeds
            await ada.ask("subscribe", channel=ROOM, token="long")
            await stage.say(ROOM, "two")
            assert ada.contents() == ["two"]

    async def test_a_token_where_none_is_asked_for_binds_nothing(self):
        async with self.stage() as stage:
            ada = await stage.enter("ada")
            stage.tokens["topic"] = Identity(UserId("ada"), {"channel": "topic:a"}, self.now + 10)
            await ada.ask("subscribe", channel="topic:a", token="topic")
            await stage.pass_time(100)
            assert "topic:a" in ada.session.subscriptions


async def test_asking_first_and_going_on_later():
    asked: list[str] = []

    async def only_ada(identity: Identity, channel: Channel) -> bool:
        asked.append(identity.user_id)
        return identity.user_id == "ada"

    async with Stage(quiet(authorizer=only_ada)) as stage:
        subscriptions = stage.node.subscriptions
        with pytest.raises(Forbidden):
            await subscriptions.permit(Identity(UserId("bob")), ROOM)
        with pytest.raises(UnknownChannel):
            await subscriptions.permit(Identity(UserId("ada")), "nowhere:a")
        await subscriptions.permit(Identity(UserId("ada")), ROOM)
        ada = await stage.enter("ada")
        await subscriptions.put_on(ada.session, SubscribeCommand(channel=ROOM))
        assert one(ada.news(), "subscribed")["channel"] == ROOM
        assert asked == ["bob", "ada"]
        ada.session.closed = True
        with pytest.raises(SessionClosed):
            await subscriptions.put_on(ada.session, SubscribeCommand(channel="room:b"))
        ada.session.closed = False
