"""The proxy of the tests does to connections what it says."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from proxy import Proxy, RedisProxy
from redis.asyncio import Redis
from redis.exceptions import TimeoutError as RedisTimeoutError

MOMENT = 0.2
"""Seconds in which nothing may come; what is not held back takes a thousandth of it."""
DEADLINE = 10.0

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Echo:
    """A server that answers with what it hears, and notes how its connections end."""

    def __init__(self) -> None:
        self.heard = bytearray()
        self.ends: asyncio.Queue[str] = asyncio.Queue()
        self._clients: set[asyncio.Task[None]] = set()

    def begin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._clients.add(task)
        task.add_done_callback(self._clients.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                self.heard += data
                writer.write(data)
                await writer.drain()
            self.ends.put_nowait("end")
        except ConnectionResetError:
            self.ends.put_nowait("reset")
        finally:
            writer.close()

    async def close(self) -> None:
        for task in self._clients:
            task.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)


@pytest.fixture
async def echo() -> AsyncIterator[tuple[Echo, Proxy]]:
    """An echo and a proxy before it."""
    echo = Echo()
    server = await asyncio.start_server(echo.begin, "127.0.0.1", 0)
    async with server, Proxy("127.0.0.1", server.sockets[0].getsockname()[1]) as proxy:
        yield echo, proxy
        await echo.close()


@asynccontextmanager
async def called(port: int) -> AsyncIterator[Streams]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def answers(streams: Streams, said: bytes = b"hello") -> bytes:
    """Say something; return what comes back."""
    reader, writer = streams
    writer.write(said)
    async with asyncio.timeout(DEADLINE):
        return await reader.readexactly(len(said))


async def is_silent(streams: Streams) -> bool:
    """Whether nothing comes, not even an end."""
    try:
        async with asyncio.timeout(MOMENT):
            await streams[0].read(1)
    except TimeoutError:
        return True
    return False


async def test_what_is_sent_passes_whole_and_ends_are_handed_on(echo):
    server, proxy = echo
    sent = bytes(range(256)) * 20_000
    async with called(proxy.port) as streams:
        assert await answers(streams, sent) == sent
        streams[1].write_eof()
        assert await streams[0].read() == b""
    assert await server.ends.get() == "end"
    assert bytes(server.heard) == sent
    async with asyncio.timeout(DEADLINE):
        await proxy.is_idle.wait()


async def test_a_stalled_connection_holds_everything_until_it_flows(echo):
    server, proxy = echo
    async with called(proxy.port) as streams:
        await answers(streams)
        proxy.stall()
        streams[1].write(b"held")
        streams[1].write_eof()
        assert await is_silent(streams)
        assert server.heard == b"hello"
        assert server.ends.empty()
        proxy.flow()
        assert await streams[0].read() == b"held"
    assert await server.ends.get() == "end"


async def test_a_connection_made_while_stalled_works_when_it_flows(echo):
    _, proxy = echo
    proxy.stall()
    async with called(proxy.port) as streams:
        streams[1].write(b"early ")
        assert await is_silent(streams)
        proxy.flow()
        assert await answers(streams, b"late") == b"earl"
        assert await streams[0].readexactly(6) == b"y late"


async def test_who_sends_into_a_stalled_connection_has_to_wait(echo):
    _, proxy = echo
    async with called(proxy.port) as streams:
        await answers(streams)
        proxy.stall()
        streams[1].write(bytes(20_000_000))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(MOMENT):
                await streams[1].drain()
        proxy.cut()


async def test_a_cut_resets_both_sides_and_new_connections_work(echo):
    server, proxy = echo
    async with called(proxy.port) as streams:
        await answers(streams)
        proxy.cut()
        with pytest.raises(ConnectionResetError):
            await streams[0].read(1)
    assert await server.ends.get() == "reset"
    async with called(proxy.port) as streams:
        assert await answers(streams) == b"hello"


async def test_a_half_open_connection_loses_everything_and_nobody_hears_of_its_end(echo):
    server, proxy = echo
    async with called(proxy.port) as streams:
        await answers(streams)
        proxy.half_open()
        streams[1].write(b"lost")
        await streams[1].drain()
        assert await is_silent(streams)
        async with called(proxy.port) as another:
            assert await answers(another, b"new") == b"new"
        assert await server.ends.get() == "end"  # of the new one
    assert server.heard == b"hellonew"
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(MOMENT):
            await server.ends.get()


async def test_the_end_of_the_server_does_not_reach_the_client_of_a_half_open_connection(echo):
    server, proxy = echo
    async with called(proxy.port) as streams:
        await answers(streams)
        proxy.half_open()
        await server.close()
        assert await is_silent(streams)


async def test_one_link_alone_can_be_hurt(echo):
    _, proxy = echo
    async with called(proxy.port) as one, called(proxy.port) as other:
        await answers(one)
        await answers(other)
        proxy.links[0].half_open()
        one[1].write(b"lost")
        assert await is_silent(one)
        assert await answers(other) == b"hello"


async def test_refused_connections_work_again_when_they_are_accepted(echo):
    _, proxy = echo
    async with called(proxy.port) as streams:
        await proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", proxy.port)
        assert await answers(streams) == b"hello"
        await proxy.accept()
        async with called(proxy.port) as another:
            assert await answers(another) == b"hello"


async def test_a_swallowed_connection_is_made_and_never_answered(echo):
    server, proxy = echo
    await proxy.swallow()
    async with called(proxy.port) as streams:
        streams[1].write(b"lost")
        assert await is_silent(streams)
    assert server.heard == b""


async def test_in_a_black_out_the_old_are_silent_and_the_new_wait_for_its_end(echo):
    server, proxy = echo
    async with called(proxy.port) as streams:
        await answers(streams)
        await proxy.black_out()
        streams[1].write(b"lost")
        assert await is_silent(streams)
        calling = asyncio.create_task(asyncio.open_connection("127.0.0.1", proxy.port))
        done, _ = await asyncio.wait([calling], timeout=MOMENT)
        assert not done
        await proxy.accept()
        async with asyncio.timeout(DEADLINE):
            another = await calling
        assert await answers(another, b"back") == b"back"
        another[1].close()
        assert await is_silent(streams)
    assert server.heard == b"helloback"


async def test_a_target_that_is_not_there_resets_its_client():
    async with Proxy("127.0.0.1", 1) as proxy, called(proxy.port) as streams:
        with pytest.raises(ConnectionResetError):
            await streams[0].read(1)


async def test_a_stalled_redis_times_out(redis):
    async with (
        RedisProxy("127.0.0.1", redis.port) as proxy,
        Redis.from_url(proxy.url, socket_timeout=MOMENT, retry=None) as client,
    ):
        assert await client.ping()
        proxy.stall()
        with pytest.raises(RedisTimeoutError):
            await client.ping()
        proxy.flow()
        assert await client.ping()


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("is_sharded", [False, True], ids=["PUBLISH", "SPUBLISH"])
async def test_exactly_one_message_is_lost(redis, protocol, is_sharded):
    async with (
        RedisProxy("127.0.0.1", redis.port) as proxy,
        Redis.from_url(proxy.url, protocol=protocol) as client,
        client.pubsub() as listener,
    ):
        await (listener.ssubscribe if is_sharded else listener.subscribe)("room:1", "room:2")
        arriving = listener.listen()
        for _ in "12":
            assert (await anext(arriving))["type"].endswith("subscribe")

        lost = (proxy.drop_smessage if is_sharded else proxy.drop_message)(b":1")
        for channel, text in [("2", "a"), ("1", "\r\n$1\r\nb\r\n"), ("1", "c"), ("2", "d")]:
            assert await redis.cli("SPUBLISH" if is_sharded else "PUBLISH", f"room:{channel}", text) == "1"
        async with asyncio.timeout(DEADLINE):
            heard = [await anext(arriving) for _ in "acd"]
            assert b"\r\nb\r\n" in await lost
        assert [(each["channel"], each["data"]) for each in heard] == [
            (b"room:2", b"a"),
            (b"room:1", b"c"),
            (b"room:2", b"d"),
        ]


async def test_any_reply_can_be_lost(redis):
    async with RedisProxy("127.0.0.1", redis.port) as proxy, called(proxy.port) as streams:
        lost = proxy.drop_next(lambda reply: reply == b"+PONG\r\n")
        streams[1].write(b"PING\r\nPING\r\nECHO after\r\n")
        assert await streams[0].readexactly(18) == b"+PONG\r\n$5\r\nafter\r\n"
        assert await lost == b"+PONG\r\n"
