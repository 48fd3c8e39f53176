"""The WebSocket edge: a connection from its path to its end, whoever ends it."""

import asyncio
import logging
from typing import Any

import pytest
from application import UNLIMITED, Application, rooms

from hubbub import CloseCode, Forbidden, Identity, Limits
from hubbub.endpoints.websocket import said_goodbye
from hubbub.testing import Closed
from hubbub.types import UserId


async def settled(application: Application) -> None:
    """Let everything that was sent be handled: an answer to a ping comes behind all other answers."""
    await application.node.background.settle()


class TestPaths:
    async def test_no_room_to_begin_with(self):
        async with Application() as application:
            rooms(application)
            client = await application.client(token="ada")
            await client.send({"type": "ping"})
            assert [(await client.receive())["type"] for _ in range(2)] == ["welcome", "pong"]
            await client.send({"type": "message", "content": "hi"})
            assert "room_id" in (await client.expect("error"))["message"]

    @pytest.mark.parametrize("room", ["general", "a:b", "a/b", "ü 😀"])
    async def test_a_room(self, room):
        async with Application() as application:
            rooms(application)
            client = await application.client(f"/ws/{room}", token="ada")
            assert (await client.receive())["type"] == "welcome"
            joined = await client.receive()
            assert (joined["type"], joined["room_id"], joined["channel"]) == ("joined", room, f"room:{room}")
            await client.send({"type": "message", "content": "hi"})
            assert (await client.expect("message"))["room_id"] == room
            await client.send({"type": "message", "room_id": "other", "content": "hi"})
            assert (await client.expect("error"))["code"] == "not_subscribed"

    async def test_a_topic(self):
        async with Application() as application:
            application.hub.namespace("topic")
            client = await application.client("/ws/notifications/orders", token="ada")
            assert (await client.expect("subscribed"))["channel"] == "topic:orders"
            await application.hub.publish("topic:orders", "created", {"id": 1})
            assert (await client.expect("event"))["data"] == {"id": 1}
            await client.send({"type": "message", "content": "hi"})
            assert (await client.expect("error"))["code"] == "bad_request"

    @pytest.mark.parametrize("path", ["/ws/general", "/ws/notifications/t", "/ws/"])
    async def test_one_that_is_refused_leaves_the_connection_open(self, path):
        async with Application() as application:
            handle = rooms(application, subscribe="hook")

            @handle.authorize
            def nobody() -> bool:
                raise Forbidden("Not here.")

            client = await application.client(path, token="ada")
            error = await client.expect("error")
            assert error["code"] == ("forbidden" if path == "/ws/general" else "unknown_channel")
            await client.send({"type": "ping"})
            await client.expect("pong")

    async def test_leaving_and_joining_the_room_of_the_path(self):
        async with Application() as application:
            rooms(application)
            client = await application.member("ada", "general")
            await client.send({"type": "leave_room", "room_id": "general"})
            await client.expect("left")
            await client.send({"type": "message", "content": "hi"})
            assert (await client.expect("error"))["code"] == "not_subscribed"
            await client.send({"type": "join_room", "room_id": "general"})
            await client.expect("joined")


class TestFrames:
    @pytest.mark.parametrize("data", [b"", b'{"type":"ping"}', b"\xff"])
    async def test_binary_ones_are_not_supported(self, data):
        async with Application() as application:
            client = await application.client(token="ada")
            await client.expect("welcome")
            await client.send_bytes(data)
            assert (await client.receive())["code"] == "bad_request"
            closed = await client.expect_close()
            assert (closed.code, closed.reason) == (1003, "Binary frames are not supported")

    @pytest.mark.parametrize(("character", "number"), [("x", 1000), ("ü", 500), ("😀", 250)])
    @pytest.mark.parametrize("over", [0, 1])
    async def test_one_that_is_too_big(self, character, number, over):
        async with Application(limits=Limits(message_bytes=1000)) as application:
            rooms(application)
            client = await application.member("ada", "general")
            frame = '{"type":"ping","x":""}'
            filling = (1000 - len(frame)) // len(character.encode())
            text = frame[:-2] + character * filling + frame[-2:]
            text += " " * (1000 - len(text.encode()) + over)
            await client.send_text(text)
            if not over:
                await client.expect("pong")
                return
            error = await client.expect("error")
            assert (error["code"], error["message"]) == (
                "too_large",
                "The frame has 1001 bytes; at most 1000 are taken.",
            )
            closed = await client.expect_close()
            assert (closed.code, closed.reason) == (1009, "Message too big")
            assert number

    async def test_no_limit(self):
        async with Application(limits=Limits(message_bytes=0)) as application:
            client = await application.client(token="ada")
            await client.send_text('{"type":"ping"}' + " " * 1_000_000)
            await client.expect("pong")

    async def test_lone_surrogates(self):
        async with Application() as application:
            client = await application.client(token="ada")
            for text in ('"\ud800"', '"\ud800' + "x" * 20_000 + '"'):
                await client.send_text(text)
                assert (await client.expect("error"))["code"] == "bad_request"
            await client.send_text("\ud800" * 65_000)
            assert (await client.expect_close()).code == 1009

    async def test_what_comes_after_the_close_is_passed_over(self):
        async with Application() as application:
            client = await application.client(token="ada")
            await client.expect("welcome")
            client.stall()
            await client.send_bytes(b"")
            for _ in range(10):
                await client.send({"type": "ping"})
            client.resume()
            assert (await client.receive())["type"] == "error"
            with pytest.raises(Closed):
                await client.receive()
            assert client.waiting() == []


class TestLimits:
    async def test_a_server_that_drains(self):
        async with Application() as app:
            ada = await app.client(token="ada")
            await ada.expect("welcome")
            assert not app.hub.is_draining
            draining = asyncio.ensure_future(app.hub.drain())
            told = await ada.expect("reconnect")
            assert app.hub.is_draining
            bob = await app.client(token="bob")
            assert (await bob.expect("reconnect"))["after"] > told["after"]
            assert (await bob.expect_close()).code == 1012
            await app.pass_time(2)
            assert (await ada.expect_close()).code == 1012
            await app.gone(ada)
            await app.pass_time(0.5)
            async with asyncio.timeout(5):
                await draining

    async def test_a_full_server(self):
        async with Application(limits=Limits(connections=1)) as application:
            first = await application.client(token="ada")
            await first.expect("welcome")
            client = await application.client(token="bob")
            assert (await client.expect("error"))["code"] == "limit_exceeded"
            closed = await client.expect_close()
            assert (closed.code, closed.reason) == (1013, "Server full")
            assert application.hub.statistics.refused_connections == {"limit_exceeded": 1}
            await first.close()
            await application.gone(first)
            await (await application.client(token="bob")).expect("welcome")

    async def test_a_server_that_fills_while_a_token_is_checked(self):
        checking, go_on = asyncio.Semaphore(0), asyncio.Event()

        async def slow(token: str) -> Identity:
            checking.release()
            await go_on.wait()
            return Identity(UserId(token))

        async with Application(authenticate=slow, limits=Limits(connections=1)) as application:
            clients = [await application.client(token=name) for name in ("ada", "bob")]
            for _ in clients:
                await checking.acquire()
            go_on.set()
            await clients[0].expect("welcome")
            # A server that is full is no fault of this user: they may come back.
            assert (await clients[1].expect_close()).code == 1013

    async def test_too_many_of_one_user(self):
        async with Application(limits=Limits(connections_per_user=1)) as application:
            await (await application.client(token="ada")).expect("welcome")
            client = await application.client(token="ada")
            assert (await client.expect("error"))["code"] == "limit_exceeded"
            closed = await client.expect_close()
            assert (closed.code, closed.reason) == (1008, "Too many connections")
            await (await application.client(token="bob")).expect("welcome")

    async def test_those_who_say_nothing_take_a_place(self):
        async with Application(limits=Limits(connections=1)) as application:
            silent = await application.client()
            client = await application.client(token="ada")
            assert (await client.expect_close()).code == 1013
            await silent.send({"type": "auth", "token": "bob"})
            await silent.expect("welcome")

    async def test_a_new_connection_replaces_the_old_one(self):
        async with Application(limits=Limits(connections_policy="replace")) as application:
            old = await application.client(token="ada")
            await old.expect("welcome")
            new = await application.client(token="ada")
            await new.expect("welcome")
            closed = await old.expect_close()
            assert (closed.code, closed.reason) == (1000, "Replaced by new connection")
            await new.send({"type": "ping"})
            await new.expect("pong")
            assert application.hub.connections == 1


class TestTheEnd:
    async def test_a_clean_goodbye(self):
        async with Application() as application:
            rooms(application)
            bob, ada = await application.member("bob", "a"), await application.member("ada", "a")
            await bob.expect("user_joined")
            await application.pass_time(0.5)
            await ada.close()
            assert (await bob.expect("user_left"))["user_id"] == "ada"

    @pytest.mark.parametrize("way", ["cut", "reload"])
    async def test_a_lost_connection_has_a_grace(self, way):
        async with Application(presence_grace=5) as application:
            rooms(application)
            bob, ada = await application.member("bob", "a"), await application.member("ada", "a")
            await bob.expect("user_joined")
            await application.pass_time(0.5)
            await (ada.cut() if way == "cut" else ada.close(1001))
            await application.gone(ada)
            assert bob.waiting() == []
            await application.pass_time(6)
            assert (await bob.expect("user_left"))["user_id"] == "ada"

    async def test_one_in_the_middle_of_a_command(self):
        inside, go_on = asyncio.Event(), asyncio.Event()

        async with Application() as application:
            handle = rooms(application)

            @handle.authorize
            async def slow() -> bool:
                inside.set()
                await go_on.wait()
                return True

            client = await application.client("/ws/a", token="ada")
            await inside.wait()
            await client.cut()
            go_on.set()
            await application.gone(client)
            assert application.hub.channels == 0

    async def test_a_peer_that_is_gone_in_the_middle_of_a_send(self):
        async with Application() as application:
            rooms(application)
            ada, bob = await application.member("ada", "a"), await application.member("bob", "a")
            ada.stall()
            await application.hub.publish("room:a", "message", {"content": "hi"})
            ada._gone = True  # what a server tells by an error from `send` alone
            ada.resume()
            await application.gone(ada)
            assert application.hub.connections == 1
            assert (await bob.expect("message"))["content"] == "hi"

    async def test_a_task_that_is_cancelled_cleans_up_and_stays_cancelled(self):
        async with Application() as application:
            rooms(application)
            messages: asyncio.Queue[Any] = asyncio.Queue()
            await messages.put({"type": "websocket.connect"})
            joined = asyncio.Event()

            async def send(message: Any) -> None:
                if "joined" in message.get("text", ""):
                    joined.set()

            scope = {
                "type": "websocket",
                "path": "/ws/a",
                "headers": [(b"authorization", b"Bearer ada")],
                "query_string": b"",
                "subprotocols": [],
            }
            task = asyncio.ensure_future(application.app(scope, messages.get, send))
            async with asyncio.timeout(5):
                await joined.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await application.gone()
            assert application.hub.channels == 0

    async def test_stalled_and_closed_it_is_cut_off_a_second_later(self):
        async with Application() as application:
            rooms(application, overflow_bytes=1000)
            ada = await application.member("ada", "a")
            ada.stall()
            for _ in range(20):
                await application.hub.publish("room:a", "message", {"content": "x" * 10_000})
                application.node.turn.end()
            assert application.hub.statistics.closes == {4008: 1}
            await application.pass_time(1.2)
            await application.gone(ada)
            assert application.hub.channels == 0

    async def test_no_word_follows_the_close(self):
        async with Application() as application:
            rooms(application)
            ada, bob = await application.member("ada", "a"), await application.member("bob", "a")
            ada.stall()
            await bob.send({"type": "message", "content": "before"})
            await bob.expect("message")
            await application.hub.disconnect("ada", code=CloseCode.REVOKED)
            await bob.send({"type": "message", "content": "after"})
            await bob.expect("message")
            ada.resume()
            assert (await ada.expect("message"))["content"] == "before"
            with pytest.raises(Closed) as closed:
                await ada.receive()
            assert (closed.value.code, closed.value.reason) == (4010, "Disconnected by the server")

    async def test_the_end_of_the_hub(self, caplog: pytest.LogCaptureFixture):
        application = Application()
        rooms(application)
        with caplog.at_level(logging.WARNING):
            async with application.hub.lifespan(application.app):
                ada = await application.client("/ws/a", token="ada")
                await ada.expect("joined")
            closed = await ada.expect_close()
            assert (closed.code, closed.reason) == (1012, "The server is restarting")
            await application.hang_up()
        assert caplog.records == []

    async def test_the_end_of_the_hub_while_a_client_stalls(self):
        application = Application()
        rooms(application)
        async with application.hub.lifespan(application.app):
            ada = await application.client("/ws/a", token="ada")
            await ada.expect("joined")
            ada.stall()
            for _ in range(3):
                await application.hub.publish("room:a", "message", {"content": "x" * 60_000})
            await ada.send({"type": "message", "content": "never read"})
            await settled(application)
        await application.hang_up()  # the client leaves, and its task ends in time


class TestSlowClients:
    async def test_one_stalls_and_the_others_do_not_notice(self):
        async with Application(limits=UNLIMITED) as application:
            rooms(application)
            ada, bob = await application.member("ada", "a"), await application.member("bob", "a")
            ada.stall()
            for number in range(50):
                await bob.send({"type": "message", "content": f"{number}".ljust(5000)})
                assert (await bob.expect("message"))["content"].strip() == str(number)
            assert application.hub.statistics.pauses == 1
            ada.resume()
            contents = []
            while len(contents) < 50:
                contents.append((await ada.expect("message"))["content"].strip())
            assert contents == [str(number) for number in range(50)]
            await ada.send({"type": "message", "content": "back"})
            assert (await bob.expect("message"))["content"] == "back"

    async def test_its_commands_wait(self):
        async with Application() as application:
            rooms(application)
            ada, bob = await application.member("ada", "a"), await application.member("bob", "a")
            ada.stall()
            for _ in range(3):
                await application.hub.publish("room:a", "message", {"content": "x" * 60_000})
            await ada.send({"type": "message", "content": "from the slow one"})
            for _ in range(3):
                await bob.expect("message")
            await settled(application)
            assert bob.waiting() == []
            ada.resume()
            assert (await bob.expect("message"))["content"] == "from the slow one"


async def test_a_connection_that_ends_before_it_begins():
    async with Application() as application:
        scope = {"type": "websocket", "path": "/ws", "headers": [], "query_string": b"", "subprotocols": []}

        async def receive() -> Any:
            return {"type": "websocket.disconnect", "code": 1006}

        async def send(message: Any) -> None:
            raise AssertionError(message)

        await application.app(scope, receive, send)


@pytest.mark.parametrize(
    ("message", "clean"),
    [
        ({"code": 1000}, True),
        ({"code": 1005, "reason": ""}, True),
        ({"code": 1005}, False),
        ({}, False),
        ({"code": 1001, "reason": ""}, False),
        ({"code": 1006, "reason": ""}, False),
        ({"code": 4000, "reason": "of the application"}, False),
    ],
)
def test_what_is_a_goodbye(message, clean):
    assert said_goodbye({"type": "websocket.disconnect", **message}) is clean
