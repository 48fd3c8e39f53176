"""Server-sent events over real sockets: nothing missed over lost connections, slow readers, bad input, and the end."""

import asyncio
import json
import random
import signal
import time
from contextlib import AbstractContextManager, AsyncExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from event_source import Event, EventSource, event_source, target
from members import Member, connected, fresh
from raw_socket import RawSocket, raw
from server_process import hubbub, operated
from serving import Serving, application, bearer, eventually, hubbub_serve

SIZE = 30_000
ROUNDS = 200


def contents(events: list[Event]) -> list[tuple[str, str]]:
    return [(each.data["channel"], each.data["content"]) for each in events if each.data["type"] == "message"]


async def taken(publisher: Member, message: dict[str, Any]) -> bool:
    """Say something; false where the rate limit refuses."""
    return (await publisher.ask(message))["type"] == "ack"


async def connections(serving: Serving) -> float:
    return (await serving.counts())("hubbub_connections")


async def test_the_head_of_a_stream(either):
    room = f"room:{fresh('room')}"
    async with event_source(either.port, room, headers=bearer(fresh("ada"))) as source:
        assert source.status == 200
        assert source.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert source.headers["cache-control"] == "no-store"
        assert source.headers["x-accel-buffering"] == "no"
        assert source.headers["transfer-encoding"] == "chunked"
        assert (await source.next()).name == "welcome"
        assert 1000 <= source.retry <= 5000
        assert (await source.next()).data["channel"] == room


async def test_a_line_that_breaks_again_and_again_misses_nothing(either):
    """Several channels, cut at random places with what was on the way lost; each publication once and in order."""
    rooms = [f"room:{fresh('room')}" for _ in range(3)]
    user, chance = fresh("ada"), random.Random(7)
    expected: list[tuple[str, str]] = []
    got: list[tuple[str, str]] = []
    done = asyncio.Event()
    async with connected(either, fresh("publisher")) as publisher:
        for room in rooms:
            await publisher.join(room.removeprefix("room:"))

        async def talk() -> None:
            for number in range(150):
                room = chance.choice(rooms)
                message = {"type": "message", "room_id": room.removeprefix("room:"), "content": str(number)}
                await eventually(partial(taken, publisher, message))
                expected.append((room, str(number)))
            done.set()

        last = ""
        async with event_source(either.port, *rooms, headers=bearer(user)) as source:
            for _ in rooms:
                await source.expect_event("subscribed")
            last = source.last_event_id
        talking = asyncio.create_task(talk())
        while not (done.is_set() and len(got) >= len(expected)):
            chance.shuffle(rooms)
            async with event_source(either.port, *rooms, headers=bearer(user), last_event_id=last) as source:
                for _ in range(chance.randrange(12)):
                    if done.is_set() and len(got) >= len(expected):
                        break
                    event = await source.next()
                    assert event.data.get("recovered") is not False
                    last = event.last_event_id
                    got += contents([event])
                source.reset()
        await talking
    for room in rooms:
        assert [each for each in got if each[0] == room] == [each for each in expected if each[0] == room]


async def test_one_that_vanishes_leaves_after_the_grace(tmp_path):
    settings = {"PRESENCE_GRACE": "1s", "HEARTBEAT_INTERVAL": "1s"}
    with hubbub_serve(tmp_path, **settings) as serving:
        async with connected(serving, "bob", "/ws/a") as bob:
            await bob.expect("joined")
            async with event_source(serving.port, "room:a", headers=bearer("ada")) as source:
                await bob.expect("user_joined", user_id="ada")
                await source.expect_event("subscribed")
                await eventually(lambda: nudged(source))
                begun = time.monotonic()
                source.reset()
                await bob.expect("user_left", user_id="ada")
                assert time.monotonic() - begun > 0.9
            await eventually(lambda: is_at(serving, 1))
        assert serving.complaints() == []


async def nudged(source: EventSource) -> bool:
    """Whether a keep-alive came."""
    with suppress(TimeoutError):
        await source.next(0.1)
    return source.comments > 0


async def is_at(serving: Serving, expected: int) -> bool:
    return await connections(serving) == expected


@pytest.mark.parametrize("server", ["serve", "plain", "bounded"])
async def test_readers_that_stall_hold_nobody_up_and_are_bounded(tmp_path, server):
    """Ten that never read among twenty that do; then they are given up, and lose nothing when they return."""
    room = fresh("room")
    name = f"room:{room}"
    with running(server, tmp_path) as serving:
        async with AsyncExitStack() as stack:
            readers = [
                await stack.enter_async_context(
                    event_source(serving.port, name, headers=bearer(fresh("reader")))
                )
                for _ in range(20)
            ]
            publisher = await stack.enter_async_context(connected(serving, fresh("publisher")))
            asleep = [
                await stack.enter_async_context(
                    event_source(serving.port, name, headers=bearer(fresh("asleep")), receive_buffer=4096)
                )
                for _ in range(10)
            ]
            for each in (*readers, *asleep):
                await each.expect_event("subscribed")
            await publisher.join(room)
            memory, said = serving.memory(), []
            listening = [asyncio.create_task(hear(each, said)) for each in readers]
            most = memory
            for number in range(ROUNDS):
                said.append(time.monotonic())
                message = {"type": "message", "room_id": room, "content": f"{number} " + "x" * SIZE}
                assert (await publisher.ask(message))["type"] == "ack"
                most = max(most, serving.memory())
            for heard, slowest in await asyncio.gather(*listening):
                assert heard == list(range(ROUNDS))
                assert slowest < 2.0
            # The stream's 6 MB, and what a slow one may hold: a queue, a transport's buffer, one message more.
            assert most - memory < 40_000

            async def given_up() -> bool:
                return (await serving.counts())("hubbub_connections_closed_total", code="4008") == 10

            await eventually(given_up, within=20)
            await eventually(lambda: is_at(serving, 21), within=20)
            last = asleep[0].last_event_id
            async with event_source(serving.port, name, headers=bearer("back"), last_event_id=last) as back:
                assert (await back.expect_event("subscribed")).data["recovered"] is True
                assert [await next_number(back) for _ in range(ROUNDS)] == list(range(ROUNDS))
        if server != "plain":  # which has no word for cutting a response off, and says so in its log
            assert serving.complaints() == []


def running(server: str, folder: Path) -> AbstractContextManager[Serving]:
    """Run one of three servers, with a limit that lets a publisher speak as fast as it can."""
    if server == "serve":
        return hubbub_serve(folder, MESSAGE_RATE="0", HEARTBEAT_INTERVAL="2s")
    options = ("--http", "hubbub.uvicorn:BoundedHTTP") if server == "bounded" else ()
    hub = json.dumps({"heartbeat": 2.0, "limits": {"message_rate": 0}})
    return application("rooms", folder, *options, HUB=hub)


async def next_number(reader: EventSource) -> int:
    """Return what was said next, passing over who came and went."""
    while (event := await reader.expect_event("message", 60)).data["type"] != "message":
        pass
    return int(event.data["content"].split()[0])


async def hear(reader: EventSource, said: list[float]) -> tuple[list[int], float]:
    """Hear every round; return their numbers, and how long the slowest took."""
    heard: list[int] = []
    slowest = 0.0
    while len(heard) < ROUNDS:
        heard.append(await next_number(reader))
        slowest = max(slowest, time.monotonic() - said[heard[-1]])
    return heard, slowest


class TestBadInput:
    @pytest.mark.parametrize(
        ("path", "headers", "status"),
        [
            (target(["room:a", "nope:b"]), {}, 404),
            (target(["room:a", "user:somebody-else"]), {}, 403),
            (target([f"room:{number}" for number in range(129)]), {}, 400),
            (target(["room:a"] * 300), {}, 200),
            (target(["room:\x00"]), {}, 404),
            ("/sse?channel=room%3A%FF", {}, 200),
            ("/sse?channel=%ED%A0%80", {}, 404),
            (target(["room:a"]), {"Last-Event-ID": "\xff\x00junk"}, 400),
            (target(["room:a"]), {"Last-Event-ID": "\xffjunk"}, 200),
            (target(["room:a"]), {"Last-Event-ID": "x" * 1_000_000}, 431),
            (target(["room:a"], last_event_id="x" * 1_000_000), {}, 431),
            (target(["room:a"], token="x"), {"Authorization": "Basic x"}, 401),
            (target(["room:a"]), {"Origin": "http://evil.test"}, 403),
            (target(["room:a"]), {"Accept": "image/png"}, 406),
            (target(["room:a"]), {"Content-Length": "10"}, 400),
        ],
    )
    async def test_it_is_answered(self, server, path, headers, status):
        source = await EventSource.connect(server.port)
        try:
            credential = {} if "Authorization" in headers else bearer(fresh("mallory"))
            await source.ask(server.port, path, {**credential, **headers})
            assert source.status == status
            if status == 200:
                await source.expect_event("subscribed")
        finally:
            source.close()
        await server.check_health()

    async def test_errors_are_problems(self, server):
        for path, status in ((target(["nope:b"]), 404), (target(["user:bob"]), 403)):
            response = await server.get(path, headers=bearer("ada"))
            assert (response.status_code, response.headers["content-type"]) == (
                status,
                "application/problem+json",
            )
            assert response.json()["status"] == status
        response = await server.request("HEAD", "/sse", headers=bearer("ada"))
        assert (response.status_code, response.headers["allow"]) == (405, "GET")


class TestTheEnd:
    async def test_a_token_that_expires(self, tmp_path):
        with application("rooms", tmp_path, HUB='{"leeway": 0.0}') as serving:
            headers = bearer("ada", ttl=2.0)
            async with event_source(serving.port, "room:a", headers=headers) as source:
                *_, close = await source.until_over()
                assert (close.name, close.data["code"], close.data["reconnect"]) == ("close", 4002, True)
                assert source.is_complete
            async with event_source(
                serving.port, "room:a", headers=headers, last_event_id=source.last_event_id
            ) as source:
                assert source.status == 401

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    async def test_a_server_that_stops_is_not_held_up(self, tmp_path, number):
        async with operated(tmp_path) as server, AsyncExitStack() as stack:
            _, output, _ = await hubbub(tmp_path, "token", "--user", "ada")
            headers = {"Authorization": f"Bearer {output.splitlines()[0]}"}
            sources = [
                await stack.enter_async_context(event_source(server.port, "room:a", headers=headers))
                for _ in range(5)
            ]
            for source in sources:
                await source.expect_event("subscribed")
            begun = time.monotonic()
            assert await server.stop(number) == 0
            assert time.monotonic() - begun < 10
            for source in sources:
                *_, close = await source.until_over()
                assert (close.data["code"], close.data["reconnect"]) == (1012, True)
                await source.expect_end()
        assert "Traceback" not in server.log
        assert '"level": "error"' not in server.log

    async def test_one_that_never_reads_holds_no_stop_up(self, tmp_path):
        async with operated(tmp_path, MESSAGE_RATE="0") as server, AsyncExitStack() as stack:
            _, output, _ = await hubbub(tmp_path, "token", "--user", "ada")
            headers = {"Authorization": f"Bearer {output.splitlines()[0]}"}
            source = await stack.enter_async_context(
                event_source(server.port, "room:a", headers=headers, receive_buffer=4096)
            )
            await source.expect_event("subscribed")
            talker = await stack.enter_async_context(raw(server.port, "/ws/a", headers=headers))
            await say_too_much(talker)
            begun = time.monotonic()
            assert await server.stop() == 0
            assert time.monotonic() - begun < 10
        assert "Traceback" not in server.log
        assert '"level": "error"' not in server.log


async def say_too_much(talker: RawSocket) -> None:
    """Say so much that no buffer holds it, and less than would have a slow reader given up."""
    for _ in range(12):
        await talker.say({"type": "message", "content": "x" * SIZE})
        await talker.expect("message")


async def test_no_object_of_a_stream_outlives_it(tmp_path):
    hub = '{"presence_grace": 0.2, "presence_lease": 1.0}'
    options = ("--log-level", "error", "--http", "hubbub.uvicorn:BoundedHTTP")
    with application("rooms", tmp_path, *options, HUB=hub) as serving:

        async def visit() -> dict[str, int]:
            for _ in range(10):
                async with AsyncExitStack() as stack:
                    for number in range(20):
                        room = f"room:{number}"  # the names of channels are remembered
                        source = await stack.enter_async_context(
                            event_source(serving.port, room, headers=bearer(f"visitor{number}"))
                        )
                        await source.expect_event("subscribed")
                        if number % 2:
                            source.reset()
            counted: dict = {}

            async def settled() -> bool:
                counted.update((await serving.get("/objects")).json())
                return (
                    counted["tasks"] < 10 and "hubbub.brokers.memory_presence.Members" not in counted["alive"]
                )

            await eventually(settled, seen=lambda: counted["alive"])
            return counted["alive"]

        before, after = await visit(), await visit()
        # Of 200 streams; the frames of 128 publications are kept.
        assert {kind: each for kind, each in after.items() if each > before.get(kind, 0) + 150} == {}
        assert serving.complaints() == []
