"""uvicorn's own protocol with its overrides, without a network.

What is shown over real sockets stands in `tests/integration/test_lost_connections.py` and `test_slow_receivers.py`.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from handshakes import Receive, Scope, Send, Server
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame, Opcode

from hubbub.uvicorn import KeepaliveWebSocket


def test_every_override_replaces_something_of_uvicorns():
    own = {name for name, value in vars(KeepaliveWebSocket).items() if callable(value)}
    assert own == {
        "__init__",
        "start_keepalive",
        "data_received",
        "keepalive_timeout",
        "handle_ping",
        "shutdown",
    }
    assert own <= set(vars(WebSocketsSansIOProtocol))


async def listens(scope: Scope, receive: Receive, send: Send) -> None:
    """Accept, and receive until the end."""
    await receive()
    await send({"type": "websocket.accept"})
    while (await receive())["type"] != "websocket.disconnect":
        pass


class Timers:
    """A loop's timers that fire when the test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self._due: list[tuple[float, Callable[..., Any], Any]] = []
        loop = asyncio.get_running_loop()
        monkeypatch.setattr(loop, "time", lambda: self.now, raising=False)
        monkeypatch.setattr(loop, "call_later", self._call_later, raising=False)

    def _call_later(self, delay: float, callback: Callable[..., Any], *arguments: Any) -> Any:
        entry = (self.now + delay, callback, arguments)
        self._due.append(entry)

        class Handle:
            def cancel(handle) -> None:
                if entry in self._due:
                    self._due.remove(entry)

        return Handle()

    def advance(self, seconds: float) -> None:
        end = self.now + seconds
        while due := [entry for entry in self._due if entry[0] <= end]:
            entry = min(due, key=lambda entry: entry[0])
            self._due.remove(entry)
            self.now = entry[0]
            entry[1](*entry[2])
        self.now = end


@pytest.fixture
async def accepted() -> Server:
    """A connection that was accepted, of an application that has no use for its socket."""
    return Server(
        listens, ws="hubbub.uvicorn:KeepaliveWebSocket", ws_ping_interval=20.0, ws_ping_timeout=10.0
    )


async def shaken(server: Server) -> None:
    server.shake_hands()
    await server.settle()
    assert server.response().status_code == 101


async def test_a_peer_that_sends_anything_is_alive(accepted, monkeypatch):
    timers = Timers(monkeypatch)
    await shaken(accepted)
    for _ in range(20):  # it answers no ping
        timers.advance(10)
        accepted.send("still here")
        await accepted.settle()
    assert not accepted.transport.closed
    pings = [frame for frame in accepted.events() if frame.opcode is Opcode.PING]
    assert pings != []


async def test_a_peer_that_is_silent_for_an_interval_and_a_timeout_is_given_up(accepted, monkeypatch):
    timers = Timers(monkeypatch)
    await shaken(accepted)
    accepted.send("hi")
    await accepted.settle()
    timers.advance(29.9)
    assert not accepted.transport.closed
    timers.advance(0.2)
    assert accepted.transport.closed
    ping, close = accepted.events()
    assert ping.opcode is Opcode.PING
    assert (close.opcode, close.data[:2]) == (Opcode.CLOSE, (1011).to_bytes(2))
    await accepted.settle()
    assert accepted.is_empty


async def test_pings_are_answered_only_while_the_peer_reads(accepted):
    await shaken(accepted)
    ping = Frame(Opcode.PING, b"?").serialize(mask=True)
    accepted.receive(ping)
    assert [frame.opcode for frame in accepted.events()] == [Opcode.PONG]
    accepted.protocol.pause_writing()
    for _ in range(10):
        accepted.receive(ping)
    assert accepted.transport.written == b""
    accepted.protocol.resume_writing()
    assert accepted.transport.written == b""
    accepted.receive(ping)
    assert [frame.opcode for frame in accepted.events()] == [Opcode.PONG]


async def test_nothing_follows_a_close():
    """RFC 6455 section 5.5.1 forbids data frames only; the contract says: nothing."""

    async def closes(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close", "code": 4008, "reason": "Too slow"})
        while (await receive())["type"] != "websocket.disconnect":
            pass

    server = Server(closes, ws="hubbub.uvicorn:KeepaliveWebSocket")
    server.shake_hands()
    await server.settle()
    response, close = server.events()
    assert (response.status_code, close.opcode) == (101, Opcode.CLOSE)
    server.receive(Frame(Opcode.PING, b"ping").serialize(mask=True))
    assert server.transport.written == b""
    server.receive(Frame(Opcode.CLOSE, b"\x0f\xa8").serialize(mask=True))
    await server.settle()
    assert server.transport.closed


async def test_nothing_of_the_handshake_is_kept(accepted):
    await shaken(accepted)
    assert not hasattr(accepted.protocol, "request")
    assert not hasattr(accepted.protocol, "response")


async def test_it_closes_with_a_reason_for_a_restart(accepted):
    await shaken(accepted)
    accepted.protocol.shutdown()
    (close,) = accepted.events()
    assert close.data == (1012).to_bytes(2) + b"The server is restarting"
    assert accepted.transport.closed
    await accepted.settle()
    assert accepted.is_empty


async def test_one_that_was_closed_by_its_peer_is_not_closed_again(accepted):
    await shaken(accepted)
    protocol = accepted.protocol
    accepted.say_goodbye()
    assert [frame.opcode for frame in accepted.events()] == [Opcode.CLOSE]
    protocol.shutdown()  # before the transport has told it of the end
    assert accepted.transport.written == b""
    await accepted.settle()
    assert accepted.is_empty


@pytest.mark.parametrize("is_on", [True, False])
async def test_what_is_agreed_about_compression_is_what_the_direct_outlet_agrees_to(is_on):
    server = Server(listens, deflate=True, ws=KeepaliveWebSocket, ws_per_message_deflate=is_on)
    server.shake_hands()
    await server.settle()
    extensions = server.response().headers.get("Sec-WebSocket-Extensions")
    assert extensions == (
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=12"
        if is_on
        else None
    )
    server.lose()
    await server.settle()
