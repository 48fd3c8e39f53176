"""Members that stop reading: the others get everything in order and in time, and the server's memory stays where it is."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import msgspec
import pytest
from members import Member, bystander, connected, fresh
from raw_socket import Opcode, RawSocket, frame, raw, text
from serving import Serving, application, bearer, eventually, hubbub_serve

HEARTBEAT = 2.0
SIZE = 30_000
"""Characters of one message. What the kernel buffers for one socket is some hundred of them at most."""
ROUNDS = 200
READERS = 49
STALLED = 10
OVERFLOW = 100_000

NAMESPACES = f"""
[namespaces.newest]
publish = "subscriber"
overflow = "drop_oldest"
overflow_bytes = {OVERFLOW}

[namespaces.latest]
publish = "subscriber"
overflow = "conflate"
overflow_bytes = {OVERFLOW}
"""


@pytest.fixture(scope="module")
def crowded(tmp_path_factory):
    """`hubbub serve`, with a publisher that may publish as fast as it can."""
    folder = tmp_path_factory.mktemp("crowded")
    (folder / "hubbub.toml").write_text(NAMESPACES)
    settings = {"MESSAGE_RATE": "0", "HEARTBEAT_INTERVAL": f"{HEARTBEAT:g}s", "PRESENCE_GRACE": "1s"}
    with hubbub_serve(folder, **settings) as serving:
        yield serving
        assert serving.complaints() == []


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """The library in an application of one's own, under plain uvicorn."""
    # So long between heartbeats that only the bound in bytes can end a member here.
    hub = '{"heartbeat": 600.0, "presence_grace": 1.0, "limits": {"message_rate": 0}}'
    with application("rooms", tmp_path_factory.mktemp("plain"), HUB=hub) as serving:
        yield serving
        assert serving.complaints() == []


@asynccontextmanager
async def stalled(serving: Serving, room: str, number: int = 1) -> AsyncIterator[list[RawSocket]]:
    """Let members join who read no further."""
    async with AsyncExitStack() as stack:
        members = []
        for _ in range(number):
            path, headers = f"/ws/{room}", bearer(fresh("stalled"))
            member = await stack.enter_async_context(
                raw(serving.port, path, headers=headers, receive_buffer=4096)
            )
            await member.expect("joined")
            members.append(member)
        yield members


async def counted(serving: Serving, name: str, least: float, within: float = 20.0, **labels: str) -> None:
    """Wait until a metric is at least so much."""

    async def reached() -> bool:
        return (await serving.counts())(name, **labels) >= least

    await eventually(reached, within=within)


@pytest.mark.parametrize("server", ["crowded", "plain"])
async def test_ten_members_of_sixty_that_never_read_hold_up_nobody(server, request):
    serving: Serving = request.getfixturevalue(server)
    room = fresh("room")
    async with AsyncExitStack() as stack:
        readers = [
            await stack.enter_async_context(connected(serving, fresh("reader"))) for _ in range(READERS)
        ]
        publisher = await stack.enter_async_context(connected(serving, fresh("publisher")))
        asleep = await stack.enter_async_context(stalled(serving, room, STALLED))
        for reader in readers:
            await reader.join(room)
        assert (await publisher.join(room))["active_users"] == READERS + STALLED + 1
        before = await serving.counts()
        memory = serving.memory()

        listening = [asyncio.create_task(listen(reader)) for reader in readers]
        said: list[float] = []
        most = memory
        for number in range(ROUNDS):
            said.append(time.monotonic())
            answer = await publisher.ask(
                {"type": "message", "room_id": room, "content": f"{number} " + "x" * SIZE}
            )
            assert answer["type"] == "ack"
            most = max(most, serving.memory())
        heard = await asyncio.gather(*listening)

        slowest = 0.0
        for each in heard:
            assert [number for number, _ in each] == list(range(ROUNDS))
            slowest = max(slowest, *(at - said[number] for number, at in each))
        # Each is asked for after the one before was acknowledged; a member that is waited for would cost seconds.
        assert slowest < 2.0

        # The stalled ones are given up at their bound, and the room is told.
        def slow(counts) -> float:
            return counts("hubbub_connections_closed_total", code="4008")

        await counted(serving, "hubbub_connections_closed_total", slow(before) + STALLED, code="4008")
        await counted(serving, "hubbub_pauses_total", before("hubbub_pauses_total") + STALLED)

        async def have_left() -> bool:
            roster = await publisher.ask({"type": "presence", "channel": f"room:{room}"})
            return roster["active_users"] == READERS + 1

        await eventually(have_left, within=15)
        assert (await serving.counts())("hubbub_connections") == READERS + 1
        # The stream's 6 MB, and what one slow member may hold: a queue and a transport's buffer.
        assert most - memory < 40_000

        # Whoever was given up comes back with a position and has lost nothing.
        asleep[0].close()
        async with connected(serving, fresh("back"), max_size=None) as back:
            top = await back.join(room)
            since = {"epoch": top["epoch"], "offset": top["offset"] - ROUNDS}
            again = await back.join(room, since=since)
            assert again["recovered"] is True
            assert [int(each["content"].split()[0]) for each in again["messages"]] == list(range(ROUNDS))
    await serving.check_health()


async def listen(reader: Member) -> list[tuple[int, float]]:
    """Hear every round; return its number and when it came."""
    heard: list[tuple[int, float]] = []
    while len(heard) < ROUNDS:
        message = await reader.expect("message", 60)
        heard.append((int(message["content"].split()[0]), time.monotonic()))
    return heard


async def test_the_sockets_of_stalled_members_are_given_back(crowded):
    """They keep their end open and read nothing for ever."""
    room = fresh("room")
    async with bystander(crowded, room) as witness:
        before = crowded.descriptors()
        async with stalled(crowded, room, 5), connected(crowded, fresh("publisher")) as publisher:
            await publisher.join(room)
            closed = (await crowded.counts())("hubbub_connections_closed_total", code="4008")

            async def given_up() -> bool:
                await publisher.ask({"type": "message", "room_id": room, "content": "x" * SIZE})
                counts = await crowded.counts()
                return counts("hubbub_connections_closed_total", code="4008") >= closed + 5

            await eventually(given_up, within=30, every=0)
            await eventually(
                lambda: crowded.descriptors() <= before + 1,
                within=4 * HEARTBEAT + 5,
                seen=crowded.descriptors,
            )
    assert len(witness.of_type("message", user=publisher.user)) > 5


async def test_a_member_that_is_alive_and_takes_nothing_is_given_up_after_two_heartbeats(crowded):
    """Less waits for it than would be too much, and it sends what a living client sends."""
    room = fresh("room")
    async with stalled(crowded, room) as (member,), connected(crowded, fresh("publisher")) as publisher:
        await publisher.join(room)
        closed = (await crowded.counts())("hubbub_connections_closed_total", code="4008")
        await until_paused(crowded, publisher, f"room:{room}")

        async def given_up() -> bool:
            with suppress(ConnectionError):
                await member.send(frame(Opcode.PONG) + text({"type": "pong"}))
            return (await crowded.counts())("hubbub_connections_closed_total", code="4008") == closed + 1

        await eventually(given_up, within=3 * HEARTBEAT)


async def test_a_member_that_pings_and_never_reads_holds_no_memory(tmp_path):
    # On a server of its own: one that has held more before would not show what it holds now.
    with hubbub_serve(tmp_path) as serving:
        room = fresh("room")
        async with bystander(serving, room), stalled(serving, room) as (mallory,):
            before = serving.memory()
            burst = frame(Opcode.PING, b"x" * 125) * 1000
            # A server that does not take them all has found the right answer: to read no further either.
            with suppress(TimeoutError, ConnectionError):
                for _ in range(400):
                    await mallory.send(burst, 1.0)
            assert serving.memory() - before < 20_000


async def until_paused(serving: Serving, publisher: Member, channel: str) -> int:
    """Publish until somebody cannot keep up; return the offset of the last one."""
    pauses = (await serving.counts())("hubbub_pauses_total")
    async with asyncio.timeout(30):
        while True:
            offset = await publish(publisher, channel)
            if (await serving.counts())("hubbub_pauses_total") > pauses:
                return offset


async def publish(publisher: Member, channel: str, size: int = SIZE) -> int:
    answer = await publisher.ask({"type": "publish", "channel": channel, "event": "row", "data": "x" * size})
    assert answer["type"] == "ack", answer
    return answer["offset"]


async def read_up_to(member: RawSocket, offset: int) -> list[dict]:
    """Return the publications and gaps that come, up to this offset."""
    received = []
    async with asyncio.timeout(20):
        while not received or received[-1].get("offset", 0) < offset:
            incoming = await member.receive()
            assert incoming.opcode is not Opcode.CLOSE, (incoming.close_code, incoming.reason)
            if incoming.opcode is Opcode.TEXT:
                message = msgspec.json.decode(incoming.payload)
                if message["type"] in {"event", "gap"}:
                    received.append(message)
            else:
                await member.send(frame(Opcode.PONG, incoming.payload))
    return received


@pytest.mark.parametrize("server", ["crowded", "plain"])
async def test_a_member_that_reads_again_in_time_gets_everything_once_and_in_order(server, request):
    serving: Serving = request.getfixturevalue(server)
    room = fresh("room")
    async with stalled(serving, room) as (sleeper,), connected(serving, fresh("publisher")) as publisher:
        await publisher.join(room)
        await until_paused(serving, publisher, f"room:{room}")
        for _ in range(5):
            await publish(publisher, f"room:{room}")
        reading = asyncio.create_task(read_up_to(sleeper, await publish(publisher, f"room:{room}") + 50))
        # And more while it catches up.
        for _ in range(50):
            last = await publish(publisher, f"room:{room}", 100)
        received = await reading
        assert [each["offset"] for each in received] == list(range(1, last + 1))
        await counted(serving, "hubbub_catch_ups_total", 1)


@pytest.mark.parametrize("namespace", ["newest", "latest"])
async def test_where_messages_may_be_dropped_the_member_is_told_which(crowded, namespace):
    channel = f"{namespace}:{fresh('prices')}"
    async with raw(crowded.port, headers=bearer(fresh("sleeper")), receive_buffer=4096) as sleeper:
        await sleeper.say({"type": "subscribe", "channel": channel})
        await sleeper.expect("subscribed")
        async with connected(crowded, fresh("publisher")) as publisher:
            await publisher.ask({"type": "subscribe", "channel": channel})
            await until_paused(crowded, publisher, channel)
            for _ in range(20):
                last = await publish(publisher, channel)
            received = await read_up_to(sleeper, last)

    covered: list[int] = []
    for each in received:
        covered += range(each["from"], each["to"] + 1) if each["type"] == "gap" else [each["offset"]]
    assert covered == list(range(1, last + 1))
    gaps = [each for each in received if each["type"] == "gap"]
    assert len(gaps) == 1
    kept = [each for each in received[received.index(gaps[0]) :] if each["type"] == "event"]
    assert 1 <= len(kept) <= (OVERFLOW // SIZE if namespace == "newest" else 1)
    counts = await crowded.counts()
    overflow = "drop_oldest" if namespace == "newest" else "conflate"
    assert counts("hubbub_gap_publications_total", overflow=overflow) == gaps[0]["to"] - gaps[0]["from"] + 1
