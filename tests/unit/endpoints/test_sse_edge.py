"""The edge for server-sent events: who gets a stream, of what, and from where; and who gets a plain answer."""

import asyncio
import json

import pytest
from application import Application, rooms
from streams import stream

from hubbub import CloseCode, ConnectionsPolicy, Forbidden, Identity, Limits
from hubbub.dialects.sse_positions import MAX_CHANNELS
from hubbub.endpoints.sse import accepts_events
from hubbub.types import UserId


def problem(client) -> dict:
    assert client.headers["content-type"] == "application/problem+json"
    document = json.loads(client.body)
    assert document["status"] == client.status
    return document


async def publish(application, channel: str, *numbers: int) -> None:
    for number in numbers:
        await application.hub.publish(channel, "told", number)


def told(events) -> list[tuple[str, int]]:
    return [(each.data["channel"], each.data["data"]) for each in events]


def of(channel: str, everything: list[tuple[str, int]]) -> list[int]:
    return [number for name, number in everything if name == channel]


class TestStream:
    async def test_what_comes_first(self):
        async with Application() as application:
            rooms(application)
            application.hub.namespace("topic")
            async with stream(application, "room:a", "topic:b") as client:
                assert client.status == 200
                assert client.headers["content-type"] == "text/event-stream; charset=utf-8"
                assert client.headers["cache-control"] == "no-store"
                assert client.headers["x-accel-buffering"] == "no"
                assert 1000 <= client.retry <= 5000
                welcome, room, topic = [await client.next() for _ in range(3)]
                assert (welcome.name, welcome.data["user_id"]) == ("welcome", "ada")
                assert (room.name, room.data["channel"], room.data["members"]) == (
                    "subscribed",
                    "room:a",
                    ["ada"],
                )
                assert (topic.name, topic.data["channel"]) == ("subscribed", "topic:b")
                assert not {"recovered", "messages"} & (room.data.keys() | topic.data.keys())

    async def test_pushes_of_its_channels_its_user_and_everybody(self):
        async with Application() as application:
            rooms(application)
            application.hub.namespace("topic")
            bob = await application.member("bob", "a")
            async with stream(application, "room:a", "topic:b") as client:
                assert (await bob.expect("user_joined"))["user_id"] == "ada"
                await bob.send({"type": "message", "content": "hi"})
                ours, theirs = await client.expect("message"), await bob.expect("message")
                assert ours.data == theirs
                await publish(application, "topic:b", 1)
                await publish(application, "topic:c", 2)
                await application.hub.to_user("ada").send("notification", {"title": "x"})
                await application.hub.broadcast("maintenance", {})
                await bob.send({"type": "typing"})
                kinds = [each.data["type"] for each in await client.messages(4)]
                assert kinds == ["event", "notification", "broadcast", "typing"]

    async def test_ids_move_with_what_is_stored(self):
        async with Application() as application:
            application.hub.namespace("topic")
            async with stream(application, "topic:a", "topic:b") as client:
                before = (await client.expect("subscribed")).id, (await client.expect("subscribed")).id
                await publish(application, "topic:a", 1)
                await application.hub.broadcast("x", {})
                await publish(application, "topic:b", 1)
                first, broadcast, second = await client.messages(3)
                assert broadcast.id is None
                assert len({*before, first.id, second.id}) == 4

    async def test_without_channels_there_is_ones_own(self):
        async with Application() as application, stream(application) as client:
            await client.expect("welcome")
            await application.hub.to_user("ada").send("notification", {})
            assert (await client.expect("message")).data["type"] == "notification"

    async def test_one_that_is_named_twice_comes_once(self):
        async with Application(limits=Limits(subscriptions=2)) as application:
            application.hub.namespace("topic")
            async with stream(application, *["topic:a"] * 100, "topic:b") as client:
                await client.expect("subscribed")
                await client.expect("subscribed")
                await publish(application, "topic:a", 1)
                await publish(application, "topic:b", 2)
                assert told(await client.messages(2)) == [("topic:a", 1), ("topic:b", 2)]

    async def test_ones_own_channel_may_be_named_and_comes_once(self):
        async with Application() as application, stream(application, "user:ada") as client:
            await client.expect("welcome")
            await publish(application, "user:ada", 1, 2)
            assert told(await client.messages(2)) == [("user:ada", 1), ("user:ada", 2)]

    async def test_exclude_holds(self):
        async with Application() as application:
            application.hub.namespace("topic")
            async with stream(application, "topic:a") as client:
                await application.hub.publish("topic:a", "told", 1, exclude={"ada"})
                await publish(application, "topic:a", 2)
                assert told(await client.messages(1)) == [("topic:a", 2)]

    async def test_a_ping_each_heartbeat_is_a_comment(self):
        async with Application(heartbeat=10.0) as application, stream(application) as client:
            await client.expect("welcome")
            await application.pass_time(10.0)
            await application.hub.broadcast("x", {})
            await client.expect("message")
            assert client.comments == 1
            assert application.hub.connections == 1


class TestComingBack:
    async def test_everything_that_was_missed_in_order_and_once(self):
        async with Application() as application:
            application.hub.namespace("topic")
            channels = ("topic:a", "topic:b", "topic:c")
            async with stream(application, *channels) as client:
                [await client.expect("subscribed") for _ in channels]
                for channel in channels:
                    await publish(application, channel, 1)
                    await client.expect("message")
                last = client.last_event_id
            await publish(application, "topic:a", 2, 3)
            await publish(application, "topic:c", 2)
            await publish(application, "user:ada", 9)
            # In another order, and with one more.
            async with stream(
                application, "topic:c", "topic:d", "topic:b", "topic:a", headers={"Last-Event-ID": last}
            ) as client:
                welcome = await client.expect("welcome")
                assert welcome.data["recovered"] is True
                assert told([await client.next()]) == [("user:ada", 9)]
                answers = []
                for _ in range(7):
                    event = await client.next()
                    answers.append(
                        (event.data["channel"], event.data.get("recovered"))
                        if event.name == "subscribed"
                        else (event.data["channel"], event.data["data"])
                    )
                assert answers == [
                    ("topic:c", True),
                    ("topic:c", 2),
                    ("topic:d", None),
                    ("topic:b", True),
                    ("topic:a", True),
                    ("topic:a", 2),
                    ("topic:a", 3),
                ]
                await publish(application, "topic:a", 4)
                assert told(await client.messages(1)) == [("topic:a", 4)]

    async def test_cut_after_any_event_nothing_is_missed_or_doubled(self):
        async with Application() as application:
            application.hub.namespace("topic")
            channels = ("topic:a", "topic:b")
            async with stream(application, *channels) as client:
                [await client.expect("subscribed") for _ in channels]
                ids, seen = [client.last_event_id], []
                for number in range(4):
                    await publish(application, channels[number % 2], number)
                    seen.append(await client.expect("message"))
                    ids.append(seen[-1].id)
            everything = told(seen)
            for cut, last in enumerate(ids):
                for again in range(len(everything) - cut + 1):
                    got = []
                    async with stream(application, *channels, headers={"Last-Event-ID": last}) as client:
                        got += await client.messages(again)
                        position = got[-1].id if got else last
                    left = len(everything) - cut - again
                    async with stream(application, *channels, headers={"Last-Event-ID": position}) as client:
                        got += await client.messages(left)
                        await application.hub.broadcast("end", {})
                        assert (await client.expect("message")).data["type"] == "broadcast"
                    for channel in channels:
                        assert of(channel, told(got)) == of(channel, everything[cut:])

    @pytest.mark.parametrize(
        "junk", ["x", "null", "41", "~~~", "ü", "%00", "closed.4003x", "x" * 100_000, "abcde.1.. .e"]
    )
    async def test_what_is_no_position_is_told_to_be_none(self, junk):
        async with Application() as application:
            application.hub.namespace("topic")
            await publish(application, "topic:a", 1)
            async with stream(application, "topic:a", headers={"Last-Event-ID": junk}) as client:
                assert client.status == 200
                assert (await client.expect("welcome")).data["recovered"] is False
                assert (await client.expect("subscribed")).data["recovered"] is False
                await publish(application, "topic:a", 2)
                assert told(await client.messages(1)) == [("topic:a", 2)]

    async def test_where_nothing_is_kept_nothing_is_recovered(self):
        async with Application() as application:
            application.hub.namespace("topic", recovery=False)
            url = await application.hub.sse_url("topic:a")
            position = {"last_event_id": url.partition("last_event_id=")[2]}
            async with stream(application, "topic:a", query=position) as client:
                assert (await client.expect("subscribed")).data["recovered"] is False

    async def test_the_header_wins(self):
        async with Application() as application:
            application.hub.namespace("topic")
            old = (await application.hub.sse_url("topic:a")).partition("last_event_id=")[2]
            await publish(application, "topic:a", 1)
            new = (await application.hub.sse_url("topic:a")).partition("last_event_id=")[2]
            await publish(application, "topic:a", 2)
            for headers, numbers in (
                ({}, [1, 2]),
                ({"Last-Event-ID": new}, [2]),
                ({"Last-Event-ID": ""}, [1, 2]),
            ):
                async with stream(
                    application, "topic:a", query={"last_event_id": old}, headers=headers
                ) as client:
                    assert [number for _, number in told(await client.messages(len(numbers)))] == numbers

    async def test_of_two_in_an_address_the_last_counts(self):
        async with Application() as application:
            application.hub.namespace("topic")
            old, new = [
                (await application.hub.sse_url("topic:a")).partition("?")[2]
                for _ in range(2)
                if await application.hub.publish("topic:a", "told", 0)
            ]
            scope = {"query_string": f"{old}&{new}".encode()}
            async with stream(application, scope=scope) as client:
                assert (await client.expect("subscribed")).data["recovered"] is True
                await publish(application, "topic:a", 3)
                assert told(await client.messages(1)) == [("topic:a", 3)]

    async def test_a_stream_that_is_over_for_good_is_not_begun_again(self):
        async with Application() as application:
            async with stream(application) as client:
                await client.expect("welcome")
                await application.hub.disconnect("ada", code=CloseCode.REVOKED, reason="Revoked")
                close = (await client.rest())[-1]
                assert close.data == {"type": "close", "code": 4010, "reason": "Revoked", "reconnect": False}
                assert client.complete
            async with stream(application, token="bad", headers={"Last-Event-ID": close.id}) as client:
                assert (client.status, client.body) == (204, b"")
            assert application.hub.connections == 0


class TestRefusals:
    @pytest.mark.parametrize(
        ("options", "status", "code"),
        [
            ({"token": None}, 401, "unauthorized"),
            ({"token": "bad"}, 401, "unauthorized"),
            ({"token": "old"}, 401, "unauthorized"),
            ({"headers": {"Origin": "http://evil.test"}}, 403, "forbidden"),
            ({"headers": {"Sec-Fetch-Site": "cross-site"}}, 403, "forbidden"),
            ({"headers": {"Content-Length": "5"}}, 400, "bad_request"),
            ({"headers": {"Transfer-Encoding": "chunked"}}, 400, "bad_request"),
            ({"tokens": ("bad",)}, 403, "forbidden"),
        ],
    )
    async def test_a_request(self, options, status, code):
        async with Application() as application:
            application.hub.namespace("topic")
            async with stream(application, "topic:a", **options) as client:
                assert client.status == status
                document = problem(client)
                assert document["type"] == f"urn:hubbub:error:{code}"
                assert ("www-authenticate" in client.headers) is (status == 401)
            assert application.node.statistics.refused_connections[code] == 1

    @pytest.mark.parametrize(
        ("channel", "status", "code"),
        [
            ("nope:a", 404, "unknown_channel"),
            ("", 404, "unknown_channel"),
            ("bare", 404, "unknown_channel"),
            ("topic:", 404, "unknown_channel"),
            ("topic:" + "x" * 300, 404, "unknown_channel"),
            ("topic:\x00", 404, "unknown_channel"),
            ("user:bob", 403, "forbidden"),
            ("secret:a", 403, "forbidden"),
            ("asked:no", 403, "forbidden"),
        ],
    )
    async def test_one_channel_of_several_and_nothing_is_half(self, channel, status, code):
        async with Application() as application:
            rooms(application)
            application.hub.namespace("topic")
            application.hub.namespace("secret", subscribe="token")
            asked = application.hub.namespace("asked", subscribe="hook")

            @asked.authorize
            def authorize() -> bool:
                raise Forbidden("Not you.")

            bob = await application.member("bob", "a")
            async with stream(application, "room:a", channel, "topic:a") as client:
                assert client.status == status
                assert problem(client)["type"] == f"urn:hubbub:error:{code}"
            await bob.send({"type": "ping"})
            assert (await bob.receive())["type"] == "pong"  # nobody came, nobody left
            assert (application.hub.connections, application.hub.channels) == (1, 2)

    async def test_too_many_channels(self):
        async with Application(limits=Limits(subscriptions=3)) as application:
            application.hub.namespace("topic")
            async with stream(application, *(f"topic:{number}" for number in range(3))) as client:
                assert client.status == 200
            async with stream(application, *(f"topic:{number}" for number in range(4))) as client:
                assert client.status == 400
                assert "3 channels" in problem(client)["detail"]

    async def test_no_limit_is_what_a_vector_can_hold(self):
        async with Application(limits=Limits(subscriptions=0)) as application:
            application.hub.namespace("topic")
            names = [f"topic:{number}" for number in range(MAX_CHANNELS + 1)]
            async with stream(application, *names[:-1]) as client:
                assert client.status == 200
                await client.expect("subscribed")
                await publish(application, names[0], 1)
                last = (await client.expect("message")).id
            async with stream(application, *names) as client:
                assert client.status == 400
            await publish(application, names[5], 2)
            async with stream(application, *names[:-1], headers={"Last-Event-ID": last}) as client:
                assert told(await client.messages(1)) == [(names[5], 2)]

    async def test_a_full_server_and_a_user_with_enough(self):
        limits = Limits(connections=2, connections_per_user=1)
        async with (
            Application(limits=limits) as application,
            stream(application),
            stream(application) as second,
        ):
            assert (second.status, second.headers["retry-after"]) == (429, "5")
            problem(second)
            async with stream(application, token="bob"), stream(application, token="eve") as fourth:
                assert (fourth.status, fourth.headers["retry-after"]) == (503, "5")
                problem(fourth)
                assert application.hub.connections == 2

    async def test_a_fault_while_it_opens_is_no_stream(self, caplog):
        async with Application() as application:
            rooms(application)

            async def fail(*_):
                raise RuntimeError("The disk is on fire.")

            application.node.subscriptions.put_on = fail
            async with stream(application, "room:a") as client:
                assert client.status == 500
                assert "fire" not in problem(client)["detail"]
            await application.node.background.settle()
            assert application.hub.connections == 0
        assert "fire" in caplog.text

    @pytest.mark.parametrize("method", ["HEAD", "POST", "DELETE"])
    async def test_other_methods(self, method):
        async with Application() as application, stream(application, method=method) as client:
            assert (client.status, client.headers["allow"]) == (405, "GET")

    @pytest.mark.parametrize(
        ("accept", "status"), [("text/event-stream", 200), ("*/*", 200), ("application/json", 406)]
    )
    async def test_what_the_client_accepts(self, accept, status):
        async with Application() as application, stream(application, headers={"Accept": accept}) as client:
            assert client.status == status

    @pytest.mark.parametrize(
        ("accept", "expected"),
        [
            ([], True),
            ([""], True),
            (["text/html, text/*;q=0.1"], True),
            (["text/html", "Text/Event-Stream;level=1"], True),
            (["text/event-stream; q=0"], False),
            (["text/html, application/*"], False),
        ],
    )
    def test_accept(self, accept, expected):
        assert accepts_events(accept) is expected


class TestCredentials:
    async def test_every_way_in(self):
        async with Application(
            session_cookie="session", allowed_origins=["https://app.example.com"]
        ) as application:
            headers = {"Authorization": "Bearer ada"}
            ticket = (await application.http("POST", "/api/v1/ws-ticket", headers=headers)).json()["ticket"]
            ways = [
                {"token": "ada"},
                {"query": {"ticket": ticket}},
                {"query": {"token": "ada"}},
                {"headers": {"Cookie": "session=ada"}},
                {"headers": {"Cookie": "session=ada", "Origin": "http://testserver"}},
                {"headers": {"Cookie": "session=ada", "Origin": "https://app.example.com"}},
                {"headers": {"Cookie": "session=ada", "Sec-Fetch-Site": "same-origin"}},
            ]
            for way in ways:
                async with stream(application, **{"token": None, **way}) as client:
                    assert (await client.expect("welcome")).data["user_id"] == "ada", way
            async with stream(application, token=None, query={"ticket": ticket}) as client:
                assert client.status == 401

    async def test_anonymous(self):
        async with Application(allow_anonymous=True) as application:
            application.hub.namespace("topic", subscribe="anyone")
            application.hub.namespace("members")
            async with stream(application, "topic:a", token=None) as client:
                assert (await client.expect("welcome")).data["user_id"] == ""
                await publish(application, "topic:a", 1)
                assert told(await client.messages(1)) == [("topic:a", 1)]
            async with stream(application, "topic:a", "members:a", token=None) as client:
                assert client.status == 403

    async def test_a_token_for_each_channel_that_asks_for_one(self):
        async def authenticate(token: str) -> Identity:
            user, _, channel = token.partition("/")
            expires = application.clock.time() + 60.0 if channel.endswith("brief") else None
            return Identity(UserId(user), {"channel": channel} if channel else {}, expires)

        application = Application(authenticate=authenticate, leeway=0.0)
        async with application:
            application.hub.namespace("doc", subscribe="token")
            names = ("doc:a", "doc:brief")
            async with stream(application, *names, tokens=("ada/doc:brief", "ada/doc:a")) as client:
                await client.expect("subscribed")
                await client.expect("subscribed")
                await application.pass_time(61.0)
                ended = await client.expect("unsubscribed")
                assert (ended.data["channel"], ended.data["code"]) == ("doc:brief", 2501)
                await publish(application, "doc:brief", 1)
                await publish(application, "doc:a", 2)
                assert told(await client.messages(1)) == [("doc:a", 2)]
            for tokens in ((), ("ada/doc:a",), ("bob/doc:a", "ada/doc:brief"), ("ada/doc:a",) * 129):
                async with stream(application, *names, tokens=tokens) as client:
                    assert client.status == (400 if len(tokens) > 2 else 403)


class TestTheEnd:
    async def test_an_expired_identity(self):
        async def authenticate(token: str) -> Identity:
            return Identity(UserId(token), expires_at=application.clock.time() + 60.0)

        application = Application(authenticate=authenticate, leeway=5.0)
        async with application:
            async with stream(application) as client:
                await client.expect("welcome")
                last = client.last_event_id
                await application.pass_time(66.0)
                close = (await client.rest())[-1]
                assert (close.data["code"], close.data["reconnect"]) == (4002, True)
                assert client.last_event_id == last
                await client.over()
            assert application.hub.connections == 0

    async def test_replaced(self):
        limits = Limits(connections_policy=ConnectionsPolicy.REPLACE)
        async with (
            Application(limits=limits) as application,
            stream(application) as first,
            stream(application) as second,
        ):
            close = (await first.rest())[-1]
            assert (close.data["code"], close.data["reason"]) == (1000, "Replaced by new connection")
            await second.expect("welcome")
            async with stream(application, headers={"Last-Event-ID": first.last_event_id}) as third:
                assert third.status == 204
            assert application.hub.connections == 1

    async def test_a_client_that_vanishes_is_present_for_the_grace(self):
        async with Application(presence_grace=5.0) as application:
            rooms(application)
            bob = await application.member("bob", "a")
            async with stream(application, "room:a"):
                await bob.expect("user_joined")
            await application.pass_time(4.0)
            assert (await application.hub.presence("room:a")).users == ("ada", "bob")
            await application.pass_time(2.0)
            assert (await bob.expect("user_left"))["user_id"] == "ada"
            assert application.hub.connections == 1

    async def test_the_node_stops(self):
        async with Application() as application, stream(application) as client:
            await client.expect("welcome")
            node = application.node
            async with asyncio.timeout(5):
                await node.__aexit__(None, None, None)
            assert (await client.rest())[-1].data["code"] == 1012
            await client.over()

    async def test_one_that_is_ended_while_it_opens_is_told_why(self):
        async with Application() as application:
            rooms(application, subscribe="hook")
            put_on = application.node.subscriptions.put_on

            async def slow(session, command):
                application.node.connections.close(session, CloseCode.REVOKED, "Revoked")
                return await put_on(session, command)

            application.node.subscriptions.put_on = slow
            handle = application.hub._namespaces.resolve("room:a")[1]

            async def everybody(*_) -> bool:
                return True

            handle.authorizer = everybody
            async with stream(application, "room:a") as client:
                assert [each.name for each in await client.rest()] == ["welcome", "close"]


class TestLinks:
    async def test_nothing_falls_between_a_page_and_its_stream(self):
        async with Application() as application:
            application.hub.namespace("topic")
            await publish(application, "topic:a b", 1)
            link = await application.hub.sse_link("topic:a b", "user:ada", path="/live/sse")
            await publish(application, "topic:a b", 2, 3)
            await publish(application, "user:ada", 4)
            assert link.startswith("</live/sse?channel=topic%3Aa+b&channel=user%3Aada&last_event_id=")
            assert link.endswith('>; rel="monitor"; type="text/event-stream"')
            position = {"last_event_id": link.partition("last_event_id=")[2].partition(">")[0]}
            async with stream(application, "topic:a b", "user:ada", query=position) as client:
                assert told(await client.messages(3)) == [("user:ada", 4), ("topic:a b", 2), ("topic:a b", 3)]

    async def test_where_a_channel_stands(self):
        async with Application() as application:
            application.hub.namespace("topic")
            assert (await application.hub.position("topic:a")).offset == 0
            stored = await application.hub.publish("topic:a", "told", 1)
            assert await application.hub.position("topic:a") == stored


async def test_a_parameter_that_is_misspelt_is_no_empty_stream():
    async with Application() as application:
        rooms(application)
        async with stream(application, query={"chanel": "room:a"}) as client:
            assert client.status == 400
            assert "no parameter 'chanel'" in problem(client)["detail"]
        async with stream(application, "room:a", query={"_": "1"}) as client:
            assert client.status == 200


async def test_the_api_document_has_it():
    async with Application() as application:
        operation = application.app.openapi()["paths"]["/sse"]["get"]
        assert list(operation["responses"]["200"]["content"]) == ["text/event-stream"]
        named = {each["name"]: each["in"] for each in operation["parameters"]}
        assert named == {
            "channel": "query",
            "channel_token": "query",
            "last_event_id": "query",
            "Last-Event-ID": "header",
            "ticket": "query",
            "token": "query",
        }
