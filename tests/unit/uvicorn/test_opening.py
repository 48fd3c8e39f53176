"""Which handshakes are usual: never one that websockets, which uvicorn has, would refuse."""

import asyncio
import contextlib
import functools
from typing import Any

import pytest
import uvicorn
from handshakes import ACCEPT, KEY, USUAL, Transport, head
from hypothesis import given
from hypothesis import strategies as st
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol

from hubbub.uvicorn.opening import LINE_BYTES, LINES, read_opening


def written_down(*lines: str, **changed: Any) -> bytes:
    """Write a head as uvicorn hands it on: names in lower case."""
    first, *fields = head(*lines, **changed).split(b"\r\n")
    pairs = (field.partition(b": ") for field in fields)
    return b"\r\n".join([first, *(name.lower() + separator + value for name, separator, value in pairs)])


def oracle(written: bytes) -> Response | None:
    """Return how websockets answers; `None` when it gives up."""
    server = ServerProtocol(extensions=[ServerPerMessageDeflateFactory()])
    server.receive_data(written)
    requests = [event for event in server.events_received() if isinstance(event, Request)]
    return server.accept(requests[0]) if requests else None


def check(written: bytes) -> bool:
    """Fail if websockets does not agree; return whether the handshake was a usual one."""
    opening = read_opening(written)
    if opening is None:
        return False
    response = oracle(written)
    assert response is not None
    assert response.status_code == 101
    answer = opening.answer([], None, None)
    assert answer.endswith(
        b"sec-websocket-accept: %s\r\n\r\n" % response.headers["Sec-WebSocket-Accept"].encode()
    )
    return True


def test_what_is_read():
    opening = read_opening(
        written_down(
            "Sec-WebSocket-Protocol: hubbub, hubbub.bearer.a-b_c",
            "Sec-WebSocket-Protocol: other",
            "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits, x-other",
            "Sec-WebSocket-Extensions: x-third; a=1",
            "X-Empty: ",
            "X-Colon: a: b",
            "X-Latin: \xe9",
            target="/ws/a%20b?x=%31",
        )
    )
    assert opening is not None
    assert (opening.path, opening.raw_path, opening.query_string) == ("/ws/a b", b"/ws/a%20b", b"x=%31")
    assert opening.key == KEY
    assert opening.subprotocols == ["hubbub", "hubbub.bearer.a-b_c", "other"]
    assert opening.offers == [
        ("permessage-deflate", [("client_max_window_bits", None)]),
        ("x-other", []),
        ("x-third", [("a", "1")]),
    ]
    assert opening.headers[0] == (b"host", b"localhost")
    assert opening.headers[-3:] == [(b"x-empty", b""), (b"x-colon", b"a: b"), (b"x-latin", b"\xe9")]


def test_the_answer():
    opening = read_opening(written_down())
    assert opening is not None
    lines = opening.answer([(b"server", b"test"), (b"date", b"now")], "hubbub", "permessage-deflate").split(
        b"\r\n"
    )
    assert lines[0] == b"HTTP/1.1 101 Switching Protocols"
    assert set(lines[1:-2]) == {
        b"upgrade: websocket",
        b"connection: Upgrade",
        b"sec-websocket-accept: " + ACCEPT.encode(),
        b"server: test",
        b"date: now",
        b"sec-websocket-protocol: hubbub",
        b"sec-websocket-extensions: permessage-deflate",
    }
    assert lines[-2:] == [b"", b""]


@pytest.mark.parametrize(
    "written",
    [
        written_down(),
        written_down(target="/"),
        written_down(target="http://localhost/ws"),
        written_down(Connection="keep-alive, Upgrade"),
        written_down(Connection="UPGRADE"),
        written_down(Connection="upgrade,keep-alive , x"),
        written_down(Upgrade="WebSocket"),
        written_down("Origin: https://example.org"),
        written_down("Content-Length: 0"),
        written_down("Sec-WebSocket-Protocol: a,b"),
        written_down('Sec-WebSocket-Extensions: a; b="c", permessage-deflate'),
        written_down("Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=99"),
        written_down(*[f"X-{number}: x" for number in range(LINES - len(USUAL))]),
        written_down(f"X: {'x' * (LINE_BYTES - 3)}"),
        written_down(target="/" + "x" * (LINE_BYTES - len("GET / HTTP/1.1"))),
    ],
)
def test_usual_ones(written):
    assert check(written)


UNUSUAL = {
    "another method": written_down(method="POST"),
    "a path that is not ASCII": written_down(target="/\xff"),
    "another version of HTTP": written_down().replace(b"HTTP/1.1", b"HTTP/1.0"),
    "no request line": b"",
    "no headers": b"GET / HTTP/1.1\r\n\r\n",
    "no Connection": written_down(Connection=None),
    "no upgrade in Connection": written_down(Connection="keep-alive"),
    "something else in Connection": written_down(Connection="upgraded"),
    "two words in Connection": written_down(Connection="upgrade, a b"),
    "Connection without end": written_down(Connection="upgrade;"),
    "an empty Connection": written_down(Connection=""),
    "Connection that is not ASCII": written_down(Connection="upgrade, \xe9"),
    "two Connections": written_down("Connection: Upgrade"),
    "no Upgrade": written_down(Upgrade=None),
    "another Upgrade": written_down(Upgrade="h2c"),
    "several Upgrades": written_down(Upgrade="websocket, h2c"),
    "two Upgrades": written_down("Upgrade: websocket"),
    "no key": written_down(Sec_WebSocket_Key=None),
    "a short key": written_down(Sec_WebSocket_Key="AAAA"),
    "a long key": written_down(Sec_WebSocket_Key="A" * 44),
    "a key that is not base64": written_down(Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25j!Q=="),
    "a key without padding": written_down(Sec_WebSocket_Key=KEY.rstrip("=")),
    "a key with more behind it": written_down(Sec_WebSocket_Key=KEY + "AAAA"),
    "a key that is not ASCII": written_down(Sec_WebSocket_Key="\xe9" * 24),
    "two keys": written_down(f"Sec-WebSocket-Key: {KEY}"),
    "no version": written_down(Sec_WebSocket_Version=None),
    "an old version": written_down(Sec_WebSocket_Version="8"),
    "several versions": written_down(Sec_WebSocket_Version="13, 8"),
    "two versions": written_down("Sec-WebSocket-Version: 13"),
    "two origins": written_down("Origin: https://a.example", "Origin: https://a.example"),
    "an empty extension": written_down("Sec-WebSocket-Extensions: "),
    "an extension that cannot be read": written_down("Sec-WebSocket-Extensions: @@@"),
    "an extension that cannot be read behind one that can": written_down(
        "Sec-WebSocket-Extensions: permessage-deflate", "Sec-WebSocket-Extensions: a;"
    ),
    "an extension that is not ASCII": written_down("Sec-WebSocket-Extensions: \xe9"),
    "an empty subprotocol": written_down("Sec-WebSocket-Protocol: "),
    "a subprotocol of two words": written_down("Sec-WebSocket-Protocol: a b"),
    "a subprotocol that is not ASCII": written_down("Sec-WebSocket-Protocol: \xe9"),
    "a control character": written_down("X: a\x01"),
    "a delete character": written_down("X: a\x7f"),
    "half a line's end": written_down("X: a\nb"),
    "a body": written_down("Content-Length: 3"),
    "a body of two lengths": written_down("Content-Length: 3", "Content-Length: 0"),
    "a body of unknown length": written_down("Transfer-Encoding: chunked"),
    "a header without a name's end": written_down("X"),
    "too many headers": written_down(*[f"X-{number}: x" for number in range(LINES - len(USUAL) + 1)]),
    "a header that is too long": written_down(f"X: {'x' * (LINE_BYTES - 2)}"),
    "a path that is too long": written_down(target="/" + "x" * (LINE_BYTES - len("GET / HTTP/1.1") + 1)),
}


@pytest.mark.parametrize("written", UNUSUAL.values(), ids=UNUSUAL.keys())
def test_unusual_ones_are_left_to_others(written):
    assert read_opening(written) is None


def test_the_bounds_are_those_of_websockets():
    for name in ("too many headers", "a header that is too long", "a path that is too long"):
        assert oracle(UNUSUAL[name]) is None


TOKENS = [
    "upgrade",
    "Upgrade",
    "websocket",
    "keep-alive",
    "13",
    KEY,
    "permessage-deflate",
    "a=1",
    'a="b"',
    "0",
    "3",
]
TEXT = st.text('aUp,;=" \t@/\x7f\xe9-.', max_size=6)
VALUES = st.lists(st.sampled_from(TOKENS) | TEXT, max_size=4).flatmap(
    lambda parts: st.sampled_from([",", ", ", ";", "; ", " ", ""]).map(
        lambda glue: glue.join(parts).strip(" \t")
    )
)
NAMES = st.sampled_from(
    [
        *USUAL,
        "Origin",
        "Sec-WebSocket-Extensions",
        "Sec-WebSocket-Protocol",
        "Content-Length",
        "Transfer-Encoding",
        "X",
    ]
)


@given(st.dictionaries(NAMES, st.none() | VALUES, max_size=2), st.lists(st.tuples(NAMES, VALUES), max_size=3))
def test_whatever_the_headers_say_a_usual_one_is_accepted_by_websockets(changed, more):
    lines = [f"{name}: {value}" for name, value in more]
    check(written_down(*lines, **{name.replace("-", "_"): value for name, value in changed.items()}))


@given(st.sampled_from(["Connection", "Sec-WebSocket-Extensions", "Sec-WebSocket-Protocol"]), VALUES)
def test_a_list_is_read_as_websockets_reads_it(name, value):
    written = written_down(**{name.replace("-", "_"): value})
    response = oracle(written)
    assert (read_opening(written) is not None) == (
        response is not None and response.status_code == 101 and value.isascii()
    )


class Heard:
    """Stands for `DirectWebSocket`: keeps the head that it is given."""

    def __init__(self, heads: list[bytes], **_: Any) -> None:
        self.heads = heads

    def connection_made(self, transport: Any) -> None:
        pass

    def data_received(self, data: bytes) -> None:
        self.heads.append(data)


@pytest.fixture(scope="module", params=[HttpToolsProtocol, H11Protocol])
def handed_on(request):
    """What uvicorn's HTTP protocols hand on of a request."""

    def feed(sent: bytes) -> list[bytes]:
        heads: list[bytes] = []

        async def run() -> None:
            async def app(scope: Any, receive: Any, send: Any) -> None:
                pass

            config = uvicorn.Config(
                app, http=request.param, ws=functools.partial(Heard, heads), lifespan="off", log_config=None
            )
            config.load()
            state = ServerState()
            http = request.param(config=config, server_state=state, app_state={})
            transport = Transport()
            transport.set_protocol(http)
            http.connection_made(transport)
            with contextlib.suppress(AttributeError):  # uvicorn's, for a body that comes with an upgrade
                http.data_received(sent)
            await asyncio.gather(*state.tasks)  # of those that are no handshakes

        asyncio.run(run())
        return heads

    return feed


def test_what_uvicorn_hands_on_is_read(handed_on):
    (written,) = handed_on(head("Origin: https://example.org", "X-Mixed-Case: Yes"))
    assert check(written)
    opening = read_opening(written)
    assert opening is not None
    assert opening.target == b"/ws/a?x=1"
    assert (b"x-mixed-case", b"Yes") in opening.headers


@given(data=st.data())
def test_whatever_bytes_uvicorn_hands_on_a_usual_one_is_accepted_by_websockets(handed_on, data):
    sent = bytearray(
        head("Sec-WebSocket-Protocol: a, b", "Sec-WebSocket-Extensions: permessage-deflate; a=1")
    )
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(sent) - 1))
        kind = data.draw(st.sampled_from(["change", "insert", "remove"]))
        byte = data.draw(st.sampled_from([*b' \t,;:="@\r\nA0\x00\x7f\xff']) | st.integers(0, 255))
        if kind == "change":
            sent[at] = byte
        elif kind == "insert":
            sent.insert(at, byte)
        else:
            del sent[at]
    for written in handed_on(bytes(sent)):
        check(written)
