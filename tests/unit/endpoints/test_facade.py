"""`Hub`: what an application holds."""

import asyncio
import logging
from typing import Annotated, Any

import pytest
from application import Application, authenticate, rooms
from fastapi import Depends, FastAPI, WebSocket

from hubbub import (
    ChatMessage,
    CloseCode,
    ConfigurationError,
    Event,
    History,
    Hub,
    Identity,
    NotAvailable,
    Position,
    Subject,
    TooLarge,
    UnknownChannel,
)
from hubbub.brokers.memory import MemoryBroker
from hubbub.testing import Closed, FakeClock
from hubbub.types import UserId


class OrderCreated(Event, name="created"):
    id: int


class TestLifespan:
    @pytest.mark.parametrize(
        "use",
        [
            lambda hub: hub.publish("topic:t", "e", 1),
            lambda hub: hub.to_user("ada").send("e", 1),
            lambda hub: hub.broadcast("e", 1),
            lambda hub: hub.disconnect("ada"),
            lambda hub: hub.revoke(user_id="ada"),
            lambda hub: hub.cluster.nodes(),
            lambda hub: hub.online({"ada"}),
            lambda hub: hub.presence("topic:t"),
            lambda hub: hub.history("topic:t"),
        ],
    )
    async def test_nothing_works_without_it_and_that_is_said(self, use):
        hub = Hub(authenticate=authenticate)
        hub.namespace("topic")
        with pytest.raises(RuntimeError, match=r"pass lifespan=hub\.lifespan to FastAPI"):
            await use(hub)
        assert not hub.is_running

    async def test_a_connection_without_it(self):
        application = Application()
        with pytest.raises(RuntimeError, match="The hub is not running"):
            await application.client(token="ada")

    async def test_twice_in_sequence(self):
        application = Application()
        rooms(application)
        epochs = []
        for _ in range(2):
            async with application.hub.lifespan(application.app):
                assert application.hub.is_running
                ada = await application.client("/ws/a", token="ada")
                epochs.append((await ada.expect("joined"))["epoch"])
                await ada.close()
                await application.hang_up()
            assert not application.hub.is_running
        assert len(set(epochs)) == 2

    async def test_twice_at_once_is_an_error(self):
        async with Application() as application:
            with pytest.raises(ConfigurationError, match="already running"):
                async with application.hub.lifespan(FastAPI()):
                    pass
            assert application.hub.is_running

    async def test_a_broker_of_ones_own_outlives_it(self):
        clock = FakeClock()
        broker = MemoryBroker(clock)
        application = Application(broker=broker, clock=clock)
        rooms(application)
        async with application.hub.lifespan(application.app):
            first = await application.hub.publish("room:a", "message", {"content": "one"})
        async with application.hub.lifespan(application.app):
            second = await application.hub.publish("room:a", "message", {"content": "two"})
        assert (first.epoch, first.offset + 1) == (second.epoch, second.offset)

    async def test_what_is_registered_while_it_runs_holds(self):
        async with Application() as application:
            application.hub.namespace("late")
            assert (await application.hub.publish("late:x", "e", 1)).offset == 1

    async def test_tokens_are_masked_in_the_servers_log_as_long_as_it_runs(self, caplog):
        logger = logging.getLogger("uvicorn.access")
        with caplog.at_level(logging.INFO, "uvicorn.access"):
            async with Application():
                logger.info('"WebSocket /ws?token=secret" [accepted]')
            assert "secret" not in caplog.text
            assert "token=***" in caplog.text
            assert logger.filters == []

    async def test_an_application_that_fails_ends_it(self):
        application = Application()
        with pytest.raises(ZeroDivisionError):
            async with application.hub.lifespan(application.app):
                raise ZeroDivisionError
        assert not application.hub.is_running

    @pytest.mark.parametrize("name", ["heartbeat", "presence_lease", "drain_time"])
    @pytest.mark.parametrize("seconds", [0, -1.0])
    def test_times_that_cannot_work(self, name, seconds):
        with pytest.raises(ConfigurationError, match=name):
            Hub(authenticate=authenticate, **{name: seconds})

    def test_a_broker_that_is_an_address(self):
        with pytest.raises(ConfigurationError, match="begins with redis://"):
            Hub(authenticate=authenticate, broker="memcached://localhost")
        assert Hub(authenticate=authenticate, broker="redis://localhost").problem == "not running"

    def test_without_an_authenticator_it_warns(self, caplog):
        Hub()
        assert "lets nobody in" in caplog.text
        caplog.clear()
        Hub(allow_anonymous=True)
        assert caplog.records == []


class TestPublishing:
    async def test_a_typed_event_and_its_position(self):
        async with Application() as application:
            application.hub.namespace("topic")
            client = await application.client("/ws/notifications/orders", token="ada")
            await client.expect("subscribed")
            position = await application.hub.publish("topic:orders", OrderCreated(id=7))
            assert isinstance(position, Position)
            push = await client.expect("event")
            assert (push["event"], push["data"]) == ("created", {"id": 7})
            assert (push["offset"], push["id"]) == (position.offset, position.id) == (1, push["id"])

    async def test_words_and_data(self):
        async with Application() as application:
            application.hub.namespace("topic")
            client = await application.client("/ws/notifications/t", token="ada")
            await client.expect("subscribed")
            for data in (None, 1.5, "ü", [1, {"a": None}], {}):
                await application.hub.publish("topic:t", "e", data)
                assert (await client.expect("event"))["data"] == data

    async def test_exclude(self):
        async with Application() as application:
            rooms(application)
            ada, bob = await application.member("ada", "a"), await application.member("bob", "a")
            await application.hub.publish("room:a", "message", {"content": "1"}, exclude={"ada"})
            await application.hub.publish("room:a", ChatMessage(content="2"))
            assert (await ada.expect("message"))["content"] == "2"
            assert [(await bob.expect("message"))["content"] for _ in range(2)] == ["1", "2"]

    async def test_a_repeated_key(self):
        async with Application() as application:
            application.hub.namespace("topic")
            positions = [
                await application.hub.publish("topic:t", "e", number, idempotency_key="o-7")
                for number in range(3)
            ]
            assert len(set(positions)) == 1

    async def test_errors(self):
        async with Application() as application:
            application.hub.namespace("topic", max_message_bytes=10)
            with pytest.raises(
                UnknownChannel, match="There is no channel 'nowhere:x' here; channels are named topic:"
            ):
                await application.hub.publish("nowhere:x", "e", 1)
            with pytest.raises(TooLarge):
                await application.hub.publish("topic:t", "e", "x" * 20)

    async def test_at_once(self):
        async with Application() as application:
            application.hub.namespace("topic")
            positions = await asyncio.gather(*(application.hub.publish("topic:t", "e", n) for n in range(50)))
            assert sorted(position.offset for position in positions) == list(range(1, 51))


class TestUsers:
    async def test_every_device_of_one_user(self):
        async with Application() as application:
            phone, laptop = [await application.client(token="ada") for _ in range(2)]
            bob = await application.client(token="bob")
            for client in (phone, laptop, bob):
                await client.expect("welcome")
            position = await application.hub.to_user("ada").send("notification", {"id": 1})
            assert position.offset == 1
            for client in (phone, laptop):
                push = await client.expect("notification")
                assert (push["data"], push["channel"]) == ({"id": 1}, "user:ada")
            await application.hub.to_user("ada").send(OrderCreated(id=3), idempotency_key="k")
            assert (await phone.expect("event"))["data"] == {"id": 3}
            assert bob.waiting() == []

    async def test_one_who_is_away_gets_it_on_their_return(self):
        async with Application() as application:
            client = await application.client(token="ada")
            welcome = await client.expect("welcome")
            await application.gone(client)
            await application.hub.to_user("ada").send("notification", {"id": 1})
            client = await application.client(token="ada")
            assert (await client.expect("welcome"))["offset"] == 1
            since = {"epoch": welcome["epoch"], "offset": welcome["offset"]}
            await client.send({"type": "subscribe", "channel": "user:ada", "since": since})
            subscribed = await client.expect("subscribed")
            assert subscribed["recovered"] is True
            assert [each["data"] for each in subscribed["messages"]] == [{"id": 1}]

    async def test_broadcast(self):
        async with Application(allow_anonymous=True) as application:
            clients = [await application.client(token=token) for token in ("ada", "bob", None)]
            for client in clients:
                await client.expect("welcome")
            await application.hub.broadcast("maintenance", {"at": 5}, exclude={"bob"})
            for client in (clients[0], clients[2]):
                push = await client.expect("broadcast")
                assert (push["event"], push["data"]) == ("maintenance", {"at": 5})
            await application.hub.broadcast(OrderCreated(id=1))
            assert (await clients[1].expect("broadcast"))["event"] == "created"

    async def test_online(self):
        async with Application() as application:
            client = await application.client(token="ada")
            await client.expect("welcome")
            assert await application.hub.online({"ada", "bob"}) == {"ada"}
            assert await application.hub.online([]) == set()
            await client.close()
            await application.gone(client)
            assert await application.hub.online({"ada"}) == set()

    @pytest.mark.parametrize("code", [CloseCode.FORBIDDEN, CloseCode.REVOKED, 4003, 1012])
    async def test_disconnect(self, code):
        async with Application() as application:
            clients = [await application.client(token="ada") for _ in range(2)]
            bob = await application.client(token="bob")
            for client in (*clients, bob):
                await client.expect("welcome")
            assert await application.hub.disconnect("ada", code=code, reason="away") == 2
            for client in clients:
                closed = await client.expect_close()
                assert (closed.code, closed.reason) == (code, "away")
            assert await application.hub.disconnect("nobody") == 0
            await bob.send({"type": "ping"})
            await bob.expect("pong")
            await application.gone(*clients)
            assert application.hub.connections == 1

    async def test_revoke_a_user(self):
        async with Application() as application:
            ada = await application.client(token="ada")
            await ada.expect("welcome")
            revocation = await application.hub.revoke(user_id="ada", until=application.clock.time() + 60)
            assert (revocation.subject, revocation.value) == (Subject.USER, "ada")
            closed = await ada.expect_close()
            assert (closed.code, closed.reason) == (CloseCode.REVOKED, "Revoked")
            response = await application.http(
                "POST", "/api/v1/ws-ticket", headers={"Authorization": "Bearer ada"}
            )
            assert response.status_code == 401
            await application.pass_time(60)
            again = await application.client(token="ada")
            await again.expect("welcome")

    async def test_a_revoked_subscription_token_opens_no_channel(self):
        async def lend(token: str) -> Identity:
            claims = {} if token == "ada" else {"channel": "board:1"}
            return Identity(UserId("ada"), claims, token_id=token)

        async with Application(authenticate=lend) as application:
            application.hub.namespace("board", subscribe="token")
            ada = await application.client(token="ada")
            await ada.expect("welcome")
            await application.hub.revoke(token_id="lent")
            await ada.send({"type": "subscribe", "channel": "board:1", "token": "lent"})
            error = await ada.expect("error")
            assert (error["code"], "revoked" in error["message"]) == ("forbidden", True)

    async def test_a_websocket_route_of_ones_own_refuses_a_revoked_user(self):
        async with Application() as application:

            @application.app.websocket("/own")
            async def own(
                socket: WebSocket, identity: Annotated[Identity, Depends(application.hub.identity)]
            ) -> None: ...

            await application.hub.revoke(user_id="ada")
            with pytest.raises(Closed, match="revoked"):
                await application.client("/own", token="ada")

    async def test_the_cluster_is_this_node_alone(self):
        async with Application() as application:
            rooms(application)
            await application.member("ada", "a")
            (node,) = (await application.hub.cluster.nodes()).rows
            assert (node.id, node.connections) == (application.hub.cluster.node_id, 1)
            assert (await application.hub.cluster.readers("room:a")).sessions == 1

    async def test_disconnect_with_a_code_that_does_not_exist(self):
        async with Application() as application:
            await (await application.client(token="ada")).expect("welcome")
            with pytest.raises(ValueError, match="4999"):
                await application.hub.disconnect("ada", code=4999)
            assert application.hub.connections == 1

    async def test_on_offline_with_dependencies(self):
        gone: list[Any] = []
        called = asyncio.Event()

        application = Application(presence_grace=5)

        def state() -> list[Any]:
            return gone

        @application.hub.on_offline
        async def away(user_id: str, log: Annotated[list[Any], Depends(state)]) -> None:
            log.append(user_id)
            called.set()

        async with application:
            clients = [await application.client(token="ada") for _ in range(2)]
            for client in clients:
                await client.expect("welcome")
            for client in clients:
                assert gone == []
                await client.close()
                await application.gone(client)
            async with asyncio.timeout(5):
                await called.wait()
            assert gone == ["ada"]


class TestReading:
    async def test_presence(self):
        async with Application() as application:
            rooms(application)
            for user in ("bob", "ada", "eve"):
                await application.member(user, "a")
            roster = await application.hub.presence("room:a", limit=2)
            assert (roster.users, roster.total, roster.cursor) == (("ada", "bob"), 3, "bob")
            rest = await application.hub.presence("room:a", after=roster.cursor)
            assert (rest.users, rest.cursor) == (("eve",), None)
            assert (await application.hub.presence("room:empty")).total == 0
            with pytest.raises(UnknownChannel):
                await application.hub.presence("nowhere:x")
            application.hub.namespace("topic")
            with pytest.raises(NotAvailable, match="define it with presence=True"):
                await application.hub.presence("topic:t")

    async def test_history(self):
        async with Application() as application:
            rooms(application, history=History(size=5))
            for number in range(8):
                await application.hub.publish("room:a", "message", {"content": str(number)}, exclude={"ada"})
            reading = await application.hub.history("room:a", limit=2)
            assert [each.value()["content"] for each in reading.publications] == ["6", "7"]
            assert reading.top.offset == 8
            older = await application.hub.history("room:a", before=7)
            assert [each.offset for each in older.publications] == [4, 5, 6]
            assert older.publications[0].exclude == {"ada"}
            with pytest.raises(UnknownChannel):
                await application.hub.history("")

    async def test_counts(self):
        async with Application() as application:
            rooms(application)
            assert (application.hub.connections, application.hub.channels) == (0, 0)
            await application.member("ada", "a")
            assert (application.hub.connections, application.hub.channels) == (1, 2)
            assert application.hub.statistics.connections == 1
