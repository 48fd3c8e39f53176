"""uvicorn's part without a network: from the head of a handshake to a socket that somebody else has."""

import asyncio
import gc
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from handshakes import Link, Receive, Scope, Send, Server, Taker, head
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame

from hubbub.endpoints.websocket import SOCKET
from hubbub.uvicorn import BoundedHTTP, DirectWebSocket, KeepaliveWebSocket
from hubbub.uvicorn.direct import EARLY_BYTES
from hubbub.uvicorn.opening import Opening


@pytest.fixture(autouse=True)
async def quiet(caplog: pytest.LogCaptureFixture) -> AsyncIterator[list[str]]:
    """What asyncio complains of; nothing, unless a test takes it out."""
    complaints: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: complaints.append(str(context)))
    yield complaints
    gc.collect()  # what nobody asked for is told of then
    loop.set_exception_handler(None)
    assert complaints == []


@pytest.fixture
async def taker() -> AsyncIterator[Taker]:
    taker = Taker()
    yield taker
    taker.go_on.set()
    await asyncio.sleep(0)


class TestTakingOver:
    async def test_the_link_has_the_socket_and_nobody_else(self, taker):
        server = Server(taker)
        server.shake_hands()
        await server.settle()
        assert server.protocol is taker.link
        assert server.state.connections == {taker.link}
        assert taker.link.window_bits is None
        assert server.response().status_code == 101
        server.send("hi")
        assert len(taker.link.received) == 2 + 4 + 2  # as it was sent

    async def test_the_end_of_the_applications_task_does_not_close_it(self, taker, caplog):
        server = Server(taker)
        server.shake_hands()
        await server.settle()
        taker.go_on.set()
        with caplog.at_level(logging.WARNING):
            await asyncio.gather(*server.state.tasks)
            await server.settle()
        assert (server.transport.closed, taker.link.lost) == (False, False)
        assert server.state.tasks == set()
        assert caplog.records == []

    async def test_an_application_that_fails_afterwards_is_logged_and_closed(self, caplog):
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            scope["extensions"][SOCKET](Link, None)
            raise ValueError("of the application")

        server = Server(app)
        server.shake_hands()
        with caplog.at_level(logging.ERROR):
            await server.settle()
        assert server.transport.closed
        assert "of the application" in caplog.text
        assert server.response().status_code == 101

    async def test_nothing_of_the_handshake_is_kept(self, taker):
        def left() -> list[str]:
            kinds = (DirectWebSocket, BoundedHTTP, Opening, WebSocketsSansIOProtocol, asyncio.Task)
            objects = gc.get_objects()
            alive = [
                each for each in objects if isinstance(each, kinds) and each is not asyncio.current_task()
            ]
            scopes = [each for each in objects if type(each) is dict and "subprotocols" in each]
            return [type(each).__name__ for each in alive + scopes]

        gc.collect()
        before = left()
        gc.disable()
        try:
            server = Server(taker)
            server.shake_hands(authorization="Bearer secret")
            await server.settle()
            taker.go_on.set()
            await server.settle()
            taker.scope = None
            assert server.state.connections == {taker.link}
            assert left() == before
        finally:
            gc.enable()

    async def test_the_scope_is_as_uvicorns(self, taker):
        server = Server(taker, root_path="/root")
        server.shake_hands(origin="https://example.org", x_empty="")
        await server.settle()
        scope = taker.scope
        assert (scope["type"], scope["scheme"], scope["http_version"]) == ("websocket", "ws", "1.1")
        assert (scope["path"], scope["root_path"], scope["query_string"]) == ("/root/ws/a", "/root", b"x=1")
        assert (scope["client"], scope["server"]) == (("127.0.0.1", 5000), ("127.0.0.1", 8000))
        assert (b"origin", b"https://example.org") in scope["headers"]
        assert (b"x-empty", b"") in scope["headers"]
        assert scope["subprotocols"] == []

    async def test_the_answer_has_the_subprotocol_and_the_default_headers(self):
        taker = Taker(subprotocol="hubbub")
        server = Server(taker)
        server.shake_hands(sec_websocket_protocol="other, hubbub")
        await server.settle()
        assert taker.scope["subprotocols"] == ["other", "hubbub"]
        assert b"sec-websocket-protocol: hubbub\r\n" in server.transport.written.lower()
        assert b"server: of the test\r\n" in server.transport.written
        taker.go_on.set()
        await server.settle()

    @pytest.mark.parametrize("is_on", [True, False])
    async def test_compression_is_agreed_on_where_it_is_on(self, taker, is_on):
        server = Server(taker, deflate=True, ws_per_message_deflate=is_on)
        server.shake_hands()
        await server.settle()
        answer = server.response().headers.get("Sec-WebSocket-Extensions", "")
        assert taker.link.window_bits == (12 if is_on else None)
        assert ("server_no_context_takeover" in answer) == is_on
        assert ("client_no_context_takeover" in answer) == is_on

    async def test_what_comes_too_early_is_kept_for_the_link(self):
        ready = asyncio.Event()
        links: list[Link] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await ready.wait()
            links.append(scope["extensions"][SOCKET](Link, None))

        server = Server(app)
        server.shake_hands()
        server.receive(b"early, ")
        server.receive(b"earlier")
        ready.set()
        await server.settle()
        server.receive(b", and now")
        assert links[0].received == b"early, earlier, and now"

    async def test_too_much_that_comes_too_early_closes_it(self):
        app = Late()
        server = Server(app)
        server.shake_hands()
        server.receive(b"x" * EARLY_BYTES)
        assert not server.transport.closed
        server.receive(b"x")
        assert server.status == 400
        assert server.transport.closed
        server.receive(b"x" * EARLY_BYTES)  # was on its way
        app.go_on.set()
        await server.settle()
        assert app.seen == AFTER_THE_END
        assert server.is_empty

    async def test_one_that_is_lost_before(self, caplog):
        app = Late()
        server = Server(app)
        server.shake_hands()
        await server.settle()
        server.lose()
        app.go_on.set()
        with caplog.at_level(logging.WARNING):
            await server.settle()
        assert caplog.records == []
        assert app.seen == AFTER_THE_END
        assert server.is_empty
        assert server.transport.written == b""

    async def test_one_that_is_about_to_be_lost(self):
        """Between the transport's `close` and its `connection_lost`."""
        app = Late()
        server = Server(app)
        server.shake_hands()
        await server.settle()
        app.go_on.set()
        server.transport.close()
        await server.settle()
        assert app.seen == AFTER_THE_END
        assert server.is_empty

    async def test_shutdown_before(self):
        app = Late()
        server = Server(app)
        server.shake_hands()
        await server.settle()
        server.protocol.shutdown()
        assert server.status == 503
        assert server.transport.closed
        app.go_on.set()
        await server.settle()
        assert app.seen == AFTER_THE_END
        assert server.is_empty

    async def test_shutdown_before_the_application_ran(self, taker):
        server = Server(taker)
        server.shake_hands()
        (connection,) = server.state.connections
        connection.shutdown()
        await server.settle()
        assert server.status == 503
        assert taker.link is None
        assert server.is_empty

    async def test_it_can_be_taken_once(self):
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            offer = scope["extensions"][SOCKET]
            assert isinstance(offer(Link, None), Link)
            with pytest.raises(ClientDisconnected):
                offer(Link, None)
            assert (await receive())["type"] == "websocket.connect"
            assert (await receive())["type"] == "websocket.disconnect"
            with pytest.raises(ClientDisconnected):
                await send({"type": "websocket.accept"})

        server = Server(app)
        server.shake_hands()
        await server.settle()
        assert not server.transport.closed
        assert server.transport.written.count(b"HTTP/1.1") == 1

    async def test_one_who_answered_by_asgi_cannot_take_it_any_more(self):
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            await send({"type": "websocket.accept"})
            assert scope["extensions"][SOCKET](Link, None) is None
            await send({"type": "websocket.send", "text": "still here"})

        server = Server(app)
        server.shake_hands()
        await server.settle()
        assert [event.data for event in server.events()[1:]] == [b"still here"]

    async def test_a_link_that_cannot_be_made(self, caplog):
        def fail(window_bits: int | None) -> Any:
            raise ValueError("of the link")

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            scope["extensions"][SOCKET](fail, None)

        server = Server(app)
        server.shake_hands()
        with caplog.at_level(logging.ERROR):
            await server.settle()
        assert "of the link" in caplog.text
        assert server.transport.closed
        assert server.is_empty

    async def test_cancelled_after(self):
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            scope["extensions"][SOCKET](Link, None)
            await asyncio.Event().wait()

        server = Server(app)
        server.shake_hands()
        await server.settle()
        (task,) = server.state.tasks
        task.cancel()
        await server.settle()
        assert server.transport.closed
        assert server.state.tasks == set()

    async def test_the_target_is_logged_at_debug_level_without_its_token(self, taker, caplog):
        server = Server(taker)
        with caplog.at_level(logging.DEBUG, "hubbub.uvicorn"):
            server.receive(head(target="/ws/a?token=secret"))
            await server.settle()
        assert "/ws/a" in caplog.text
        assert "secret" not in caplog.text

    async def test_it_is_offered_behind_uvicorns_other_http_protocol_too(self, taker):
        server = Server(taker, http=H11Protocol)
        server.shake_hands()
        await server.settle()
        assert server.protocol is taker.link


AFTER_THE_END = ["ClientDisconnected", {"type": "websocket.disconnect", "code": 1006}]


class Late:
    """An application that answers when it is told to, and notes what it learns of a connection that is gone."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.seen: list[Any] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert (await receive())["type"] == "websocket.connect"
        await self.go_on.wait()
        try:
            self.seen.append(scope["extensions"][SOCKET](Link, None))
        except ClientDisconnected as error:
            self.seen.append(type(error).__name__)
        self.seen.append(await receive())
        await send({"type": "websocket.accept"})
        self.seen.append("never")


class TestTheOrdinaryWay:
    """Whoever does not take the socket gets a WebSocket as from uvicorn."""

    async def test_both_ways(self):
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            assert (await receive())["type"] == "websocket.connect"
            await send({"type": "websocket.accept"})
            while (message := await receive())["type"] == "websocket.receive":
                await send({"type": "websocket.send", "text": message["text"] * 2})

        server = Server(app, ws_per_message_deflate=False)
        server.shake_hands()
        await server.settle()
        assert server.response().status_code == 101
        assert isinstance(server.protocol, KeepaliveWebSocket)
        assert server.state.connections == {server.protocol}
        for text in ("one", "two"):
            server.send(text)
            await server.settle()
            assert [frame.data for frame in server.events()] == [text.encode() * 2]
        server.client.send_close(1000)
        server.receive(b"".join(server.client.data_to_send()))
        await server.settle()
        assert server.transport.closed
        await server.settle()
        assert (server.state.connections, server.state.tasks) == (set(), set())

    async def test_what_came_early_is_received(self):
        ready = asyncio.Event()
        received: list[str] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            await ready.wait()
            await send({"type": "websocket.accept"})
            received.append((await receive())["text"])
            await ready.wait()

        server = Server(app)
        server.shake_hands()
        server.receive(Frame(1, b"early").serialize(mask=True))
        ready.set()
        await server.settle()
        assert received == ["early"]

    async def test_refused(self):
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            await send({"type": "websocket.close", "code": 4003, "reason": "no"})

        server = Server(app)
        server.shake_hands()
        await server.settle()
        assert server.response().status_code == 403
        assert server.transport.closed

    @pytest.mark.parametrize("fails", [True, False])
    async def test_an_application_that_does_not_answer(self, fails, caplog):
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            if fails:
                raise ValueError("of the application")

        server = Server(app)
        server.shake_hands()
        with caplog.at_level(logging.ERROR):
            await server.settle()
        assert server.response().status_code == 500
        assert ("of the application" if fails else "without completing handshake") in caplog.text
        assert server.transport.closed

    @pytest.mark.parametrize(
        ("request_head", "status"),
        [
            (head(method="POST"), 405),
            (head(Sec_WebSocket_Version="8"), 400),
            (head(Sec_WebSocket_Key=None), 400),
            (head(Connection="upgrade, a b"), 400),
            (head("Sec-WebSocket-Extensions: @@@"), 400),
            (head("Sec-WebSocket-Protocol: a b"), 400),
            (head("Origin: https://a.example", "Origin: https://b.example"), 400),
            (head("Content-Length: 3"), 400),
            (head("Transfer-Encoding: chunked"), 400),
            (head(*[f"X-{number}: x" for number in range(130)]), 400),
            (head(f"X: {'x' * 9000}"), 400),
        ],
    )
    async def test_what_is_wrong_is_answered_and_no_application_sees_it(self, taker, request_head, status):
        server = Server(taker, http=HttpToolsProtocol)  # which has no bounds of its own
        server.receive(request_head)
        await server.settle()
        assert server.status == status
        assert taker.scope is None
        assert server.transport.closed
        assert server.is_empty

    async def test_what_is_unusual_works_without_an_offer(self):
        scopes: list[Any] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            scopes.append(scope)
            await receive()
            await send({"type": "websocket.accept"})
            await receive()

        server = Server(app)
        server.receive(head("Connection: Upgrade", Connection="keep-alive"))
        await server.settle()
        assert server.status == 101
        assert SOCKET not in scopes[0]["extensions"]
        assert isinstance(server.protocol, KeepaliveWebSocket)
        server.lose()
        await server.settle()
        assert server.is_empty

    async def test_a_refusal_with_a_response_of_its_own(self):
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            assert "websocket.http.response" in scope["extensions"]
            await receive()
            await send(
                {"type": "websocket.http.response.start", "status": 418, "headers": [(b"x-tea", b"1")]}
            )
            await send({"type": "websocket.http.response.body", "body": b"short ", "more_body": True})
            await send({"type": "websocket.http.response.body", "body": b"and stout"})
            assert (await receive())["code"] == 1006

        server = Server(app)
        server.shake_hands()
        await server.settle()
        response = server.response()
        assert (response.status_code, response.headers["x-tea"]) == (418, "1")
        assert response.body == b"short and stout"
        assert server.transport.closed
        assert server.is_empty

    async def test_an_application_that_fails_after_it_accepted(self, caplog):
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            await send({"type": "websocket.accept"})
            raise ValueError("of the application")

        server = Server(app)
        server.shake_hands()
        with caplog.at_level(logging.ERROR):
            await server.settle()
        assert server.response().status_code == 101
        assert caplog.text.count("ValueError: of the application") == 1
        assert server.transport.closed
        assert server.is_empty

    async def test_an_application_that_is_cancelled_before_it_answers(self):
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await asyncio.Event().wait()

        server = Server(app)
        server.shake_hands()
        await server.settle()
        (task,) = server.state.tasks
        task.cancel()
        await server.settle()
        assert server.status == 500
        assert server.is_empty

    async def test_one_that_is_lost_while_the_application_waits(self):
        received: list[Any] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            await send({"type": "websocket.accept"})
            received.append(await receive())
            with pytest.raises(ClientDisconnected):
                await send({"type": "websocket.send", "text": "too late"})

        server = Server(app)
        server.shake_hands()
        await server.settle()
        server.lose()
        await server.settle()
        assert received == [{"type": "websocket.disconnect", "code": 1005}]
        assert server.is_empty

    async def test_one_that_is_lost_while_the_application_waits_for_more_than_the_connect(self):
        received: list[Any] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            received.extend([await receive(), await receive()])

        server = Server(app)
        server.shake_hands()
        await server.settle()
        server.lose()
        await server.settle()
        assert [message["type"] for message in received] == ["websocket.connect", "websocket.disconnect"]
        assert server.is_empty

    @pytest.mark.parametrize("accepts", [True, False])
    async def test_shutdown(self, accepts):
        received: list[Any] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            if accepts:
                await send({"type": "websocket.accept"})
            received.append(await receive())

        server = Server(app)
        server.shake_hands()
        await server.settle()
        (connection,) = server.state.connections
        connection.shutdown()
        await server.settle()
        assert received[0]["type"] == "websocket.disconnect"
        response, *frames = server.events()
        assert response.status_code == (101 if accepts else 500)
        assert [frame.data[:2] for frame in frames] == ([(1012).to_bytes(2)] if accepts else [])
        assert server.is_empty

    async def test_an_application_that_writes_without_end_is_held_up(self):
        """The transport says that it is full while the application has not let go of the loop once."""
        sent = 0

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            nonlocal sent
            await receive()
            await send({"type": "websocket.accept"})
            while sent < 1000:
                await send({"type": "websocket.send", "bytes": bytes(1000)})
                sent += 1

        server = Server(app)
        write = server.transport.write

        def full(data: bytes) -> None:
            write(data)
            if len(server.transport.written) > 10_000:
                server.protocol.pause_writing()

        server.transport.write = full
        server.shake_hands()
        await server.settle()
        assert 5 < sent < 15
        server.protocol.resume_writing()
        await server.settle()
        assert sent < 25

    async def test_the_applications_task_is_not_begun_in_the_middle_of_the_upgrade(self):
        """As an eager task factory, of Python 3.12, would: uvicorn puts this protocol in its place after that."""
        made: list[Any] = []

        def factory(loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> Any:
            made.append(coro)
            return asyncio.Task(coro, loop=loop, **options)

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            scope["extensions"][SOCKET](Link, None)

        asyncio.get_running_loop().set_task_factory(factory)
        try:
            server = Server(app)
            server.receive(head())
        finally:
            asyncio.get_running_loop().set_task_factory(None)
        assert made == []
        await server.settle()
        assert isinstance(server.protocol, Link)
