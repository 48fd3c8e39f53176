"""The in-process client: it never hangs, and it does to a server what a browser or a phone does."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from hubbub.testing import Closed, connect

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]


class Server:
    """An ASGI application that does what each test asks for."""

    def __init__(self, *steps: Callable[[Receive, Send], Awaitable[Any]]) -> None:
        self.steps = steps
        self.scope: Any = None
        self.received: list[Any] = []
        self.failed: Exception | None = None

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        self.scope = scope

        async def recorded() -> Any:
            self.received.append(await receive())
            return self.received[-1]

        for step in self.steps:
            await step(recorded, send)


async def accept(receive: Receive, send: Send) -> None:
    assert (await receive())["type"] == "websocket.connect"
    await send({"type": "websocket.accept", "subprotocol": None})


async def until_gone(receive: Receive, send: Send) -> None:
    while (await receive())["type"] != "websocket.disconnect":
        pass


def says(*texts: str) -> Callable[[Receive, Send], Awaitable[None]]:
    async def step(receive: Receive, send: Send) -> None:
        for text in texts:
            await send({"type": "websocket.send", "text": text})

    return step


def closes(code: int = 4001, reason: str = "why") -> Callable[[Receive, Send], Awaitable[None]]:
    async def step(receive: Receive, send: Send) -> None:
        await send({"type": "websocket.close", "code": code, "reason": reason})

    return step


async def test_what_the_server_sees_of_a_handshake():
    server = Server(accept, until_gone)
    async with connect(
        server, "/ws/ü?token=x", token="t", headers={"Origin": "https://a"}, subprotocols=("hubbub", "b")
    ):
        assert server.scope["type"] == "websocket"
        assert (server.scope["path"], server.scope["query_string"]) == ("/ws/ü", b"token=x")
        assert dict(server.scope["headers"]) == {
            b"host": b"testserver",
            b"origin": b"https://a",
            b"authorization": b"Bearer t",
        }
        assert server.scope["subprotocols"] == ["hubbub", "b"]


async def test_what_the_client_sends():
    server = Server(accept, until_gone)
    async with connect(server, "/") as client:
        await client.send({"a": "ü"})
        await client.send_text("raw")
        await client.send_bytes(b"\x00")
        await client.close(1000, "bye")
    assert [message.get("text", message.get("bytes")) for message in server.received[1:4]] == [
        '{"a": "\\u00fc"}',
        "raw",
        b"\x00",
    ]
    assert server.received[4] == {"type": "websocket.disconnect", "code": 1000, "reason": "bye"}


async def test_a_cut_has_no_words():
    server = Server(accept, until_gone)
    async with connect(server, "/") as client:
        await client.cut()
        await client.cut()
        await client.close()
    assert server.received[1:] == [{"type": "websocket.disconnect", "code": 1006}]


async def test_receiving():
    server = Server(accept, says('{"type":"a"}', '{"type":"b"}', '{"type":"c"}'), until_gone)
    async with connect(server, "/") as client:
        assert await client.receive() == {"type": "a"}
        assert await client.expect("c") == {"type": "c"}
        with pytest.raises(TimeoutError):
            await client.receive(within=0.01)
        with pytest.raises(TimeoutError, match=r"no 'd' within 0\.01 s; there came \[\]"):
            await client.expect("d", within=0.01)


async def test_a_timeout_says_what_came_instead():
    server = Server(accept, says('{"type":"a"}'), until_gone)
    async with connect(server, "/") as client:
        with pytest.raises(TimeoutError, match=r"there came .*'a'"):
            await client.expect("d", within=0.01)
        with pytest.raises(TimeoutError):
            await client.expect_close(within=0.01)


async def test_a_close_is_raised_and_stays():
    server = Server(accept, says('{"type":"a"}'), closes(), until_gone)
    async with connect(server, "/") as client:
        await client.expect("a")
        for _ in range(2):
            with pytest.raises(Closed, match="4001 why") as closed:
                await client.receive()
            assert (closed.value.code, closed.value.reason) == (4001, "why")
        closed = await client.expect_close()
        assert closed is client.closed


async def test_expecting_a_close_passes_over_what_comes_before_it():
    server = Server(accept, says('{"type":"a"}'), closes(), until_gone)
    async with connect(server, "/") as client:
        assert (await client.expect_close()).code == 4001


async def test_looking_without_waiting():
    done = asyncio.Event()

    async def tell(receive: Receive, send: Send) -> None:
        done.set()

    server = Server(accept, says('{"type":"a"}', '{"type":"b"}'), closes(), tell, until_gone)
    async with connect(server, "/") as client:
        async with asyncio.timeout(5):
            await done.wait()
        assert client.waiting() == [{"type": "a"}, {"type": "b"}]
        assert client.waiting() == []
        assert client.closed is not None


async def test_a_refused_handshake():
    with pytest.raises(Closed) as refused:
        async with connect(Server(closes(4003, "foreign")), "/"):
            pass
    assert (refused.value.code, refused.value.reason) == (403, "foreign")


async def test_a_handshake_that_fails_or_ends_without_an_answer():
    async def fail(receive: Receive, send: Send) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        async with connect(Server(fail), "/"):
            pass
    with pytest.raises(TimeoutError, match="did not answer the handshake"):
        async with connect(Server(), "/"):
            pass


async def test_an_application_that_fails_is_not_overlooked():
    async def fail(receive: Receive, send: Send) -> None:
        await receive()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        async with connect(Server(accept, fail), "/") as client:
            await client.send({})


async def test_stalling_and_resuming():
    reached = []

    async def talk(receive: Receive, send: Send) -> None:
        await receive()
        for number in range(3):
            await send({"type": "websocket.send", "text": f'{{"type":"{number}"}}'})
            reached.append(number)

    async with connect(Server(accept, talk, until_gone), "/") as client:
        client.stall()
        await client.send({})
        for _ in range(5):
            await asyncio.sleep(0)
        assert reached == []
        client.resume()
        await client.expect("2")
        assert reached[-1] == 2


async def test_a_stalled_client_that_is_cut_fails_the_servers_send():
    async def talk(receive: Receive, send: Send) -> None:
        await receive()
        with pytest.raises(OSError, match="gone"):
            await send({"type": "websocket.send", "text": "{}"})
        await until_gone(receive, send)

    async with connect(Server(accept, talk), "/") as client:
        client.stall()
        await client.send({})
        for _ in range(5):
            await asyncio.sleep(0)
        await client.cut()


async def test_a_connection_that_the_server_closed_sends_nothing_more():
    async def talk(receive: Receive, send: Send) -> None:
        await send({"type": "websocket.close", "code": 1000})
        with pytest.raises(OSError, match="gone"):
            await send({"type": "websocket.send", "text": "{}"})

    server = Server(accept, talk, until_gone)
    async with connect(server, "/") as client:
        assert (await client.expect_close()).code == 1000
