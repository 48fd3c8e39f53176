"""The outlet of an event stream: bounded, in nobody's way, and over when it is told to be."""

import asyncio
from collections.abc import Callable

import pytest
from application import Application
from streams import stream

from hubbub import CloseCode
from hubbub.codes import UnsubscribeCode
from hubbub.endpoints.event_stream import LINE, EventEncoding, as_close_code
from hubbub.exceptions import BadRequest
from hubbub.hub.replies import Unsubscribed

SIZE = 10_000


class Line:
    """The connection below a response, as a web server gives it away."""

    def __init__(self) -> None:
        self.aborted = asyncio.Event()
        self.callback: Callable[[], None] | None = None

    def abort(self) -> None:
        self.aborted.set()

    def at_stop(self, callback: Callable[[], None]) -> None:
        self.callback = callback


def session_of(application, user="ada"):
    (session,) = application.node.connections.of_user(user)
    return session


async def publish(application, *numbers: int) -> None:
    """Publish, each in a turn of its own."""
    for number in numbers:
        await application.hub.publish("topic:a", "told", [number, "x" * SIZE])
        application.node.turn.end()


def numbers(events) -> list[int]:
    return [each.data["data"][0] for each in events]


class TestSlowReaders:
    async def test_one_that_stalls_holds_nobody_up_and_is_bounded_and_catches_up(self):
        async with Application() as application:
            application.hub.namespace("topic", overflow_bytes=10_000_000)
            async with (
                stream(application, "topic:a") as slow,
                stream(application, "topic:a", token="bob") as quick,
            ):
                await slow.expect("subscribed")
                slow.reading.clear()
                for first in range(0, 100, 10):
                    await publish(application, *range(first, first + 10))
                    assert numbers(await quick.messages(10)) == list(range(first, first + 10))
                session = session_of(application)
                assert session.slow
                # One that is being sent, the bound, and the one that was over it.
                assert session.outlet.pending < 65_536 + 2 * (SIZE + 500)
                slow.reading.set()
                assert numbers(await slow.messages(100)) == list(range(100))
                await publish(application, 100)
                assert numbers(await slow.messages(1)) == [100]

    async def test_one_that_is_too_far_behind_comes_back_with_its_position(self):
        async with Application() as application:
            application.hub.namespace("topic", overflow_bytes=100_000)
            async with stream(application, "topic:a") as client:
                await client.expect("subscribed")
                client.reading.clear()
                await publish(application, *range(40))
                client.reading.set()
                events = await client.rest()
                assert (events[-1].name, events[-1].data["code"]) == ("close", CloseCode.SLOW_CONSUMER)
                got = numbers(events[:-1])
                assert got == list(range(len(got)))
                last = client.last_event_id
            async with stream(application, "topic:a", headers={"Last-Event-ID": last}) as client:
                assert (await client.expect("subscribed")).data["recovered"] is True
                assert numbers(await client.messages(40 - len(got))) == list(range(len(got), 40))

    @pytest.mark.parametrize("overflow", ["drop_oldest", "conflate"])
    async def test_one_that_is_told_the_gap_stands_behind_it(self, overflow):
        async with Application() as application:
            application.hub.namespace("topic", overflow=overflow, overflow_bytes=100_000)
            async with stream(application, "topic:a") as client:
                await client.expect("subscribed")
                client.reading.clear()
                await publish(application, *range(40))
                client.reading.set()
                gap = await client.expect("gap")
                newest = await client.messages(40 - gap.data["to"])
                assert newest[0].offset == gap.data["to"] + 1
                assert numbers(newest)[-1] == 39
            # What was in the gap does not come when the client returns from there.
            async with stream(application, "topic:a", headers={"Last-Event-ID": gap.id}) as client:
                assert (await client.expect("subscribed")).data["recovered"] is True
                assert [each.offset for each in await client.messages(len(newest))] == [
                    each.offset for each in newest
                ]

    async def test_one_that_takes_nothing_for_a_heartbeat_is_given_up(self):
        async with Application(heartbeat=10.0) as application:
            application.hub.namespace("topic")
            line = Line()
            async with stream(application, "topic:a", scope={"extensions": {LINE: line}}) as client:
                await client.expect("subscribed")
                client.reading.clear()
                await publish(application, 1)
                await application.pass_time(11.0)
                await application.pass_time(11.0)
                assert session_of(application).close_code is CloseCode.SLOW_CONSUMER
                assert not line.aborted.is_set()
                await application.pass_time(1.1)
                async with asyncio.timeout(5):
                    await line.aborted.wait()

    async def test_without_a_line_the_task_is_given_up(self):
        async with Application(heartbeat=10.0) as application:
            application.hub.namespace("topic")
            async with stream(application, "topic:a") as client:
                await client.expect("subscribed")
                client.reading.clear()
                await publish(application, 1)
                for seconds in (11.0, 11.0, 1.1):
                    await application.pass_time(seconds)
                await client.over()
                assert application.hub.connections == 0

    async def test_what_comes_while_it_opens_is_bounded_too(self):
        async with Application() as application:
            application.hub.namespace("topic", overflow_bytes=10_000_000)
            put_on = application.node.subscriptions.put_on
            opened = asyncio.Event()
            waiting = asyncio.Event()

            async def slow(session, command):
                subscription = await put_on(session, command)
                waiting.set()
                await opened.wait()
                return subscription

            application.node.subscriptions.put_on = slow

            async def watch() -> None:
                async with stream(application, "topic:a") as client:
                    got.extend(numbers(await client.messages(50)))

            got: list[int] = []
            watching = asyncio.create_task(watch())
            async with asyncio.timeout(5):
                await waiting.wait()
                await publish(application, *range(50))
                assert session_of(application).outlet.pending < 65_536 + 2 * (SIZE + 500)
                opened.set()
                await watching
            assert got == list(range(50))


class TestLine:
    async def test_a_web_server_that_stops_has_the_stream_ended(self):
        async with Application() as application:
            line = Line()
            async with stream(application, scope={"extensions": {LINE: line}}) as client:
                await client.expect("welcome")
                assert line.callback is not None
                line.callback()
                close = (await client.rest())[-1]
                assert (close.data["code"], close.data["reconnect"]) == (1012, True)
                await client.over()
                assert not line.aborted.is_set()
                line.callback()  # harmless


async def test_a_stream_whose_place_is_lost_is_begun_again():
    async with Application() as application:
        application.hub.namespace("topic")
        async with stream(application, "topic:a", "topic:b") as client:
            await client.expect("subscribed")
            await client.expect("subscribed")
            last = client.last_event_id
            session = session_of(application)
            session.send(Unsubscribed(channel="topic:a", code=UnsubscribeCode.EXPIRED))
            await publish(application, 1)
            assert numbers(await client.messages(1)) == [1]
            session.send(Unsubscribed(channel="topic:a", code=UnsubscribeCode.INSUFFICIENT_STATE))
            unsubscribed, close = await client.rest()
            assert (unsubscribed.name, close.data["code"]) == ("unsubscribed", 1013)
            assert close.data["reconnect"] is True
        async with stream(application, "topic:a", "topic:b", headers={"Last-Event-ID": last}) as client:
            assert numbers(await client.messages(1)) == [1]


async def test_a_client_that_is_gone_before_it_begins():
    async with Application() as application:
        async with stream(application, scope={"extensions": None}) as client:
            await client.expect("welcome")

        class Gone:
            asked = False

        async def send(message):
            raise OSError

        async def receive():
            return {"type": "http.request", "body": b"", "more_body": False}

        scope = {
            "type": "http",
            "method": "GET",
            "path": "/sse",
            "root_path": "",
            "query_string": b"",
            "headers": [(b"authorization", b"Bearer ada")],
        }
        await application.app(scope, receive, send)
        await application.node.background.settle()
        assert application.hub.connections == 0


def test_nothing_is_read():
    with pytest.raises(BadRequest):
        EventEncoding().decode("{}")


@pytest.mark.parametrize("code", list(CloseCode))
def test_close_codes_are_found_by_their_number(code):
    assert as_close_code(int(code)) is code
