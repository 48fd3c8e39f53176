"""Handshakes of clients as they are, answered by websockets with our factory."""

import zlib

import pytest
from websockets.client import ClientProtocol
from websockets.datastructures import Headers
from websockets.extensions.permessage_deflate import (
    ClientPerMessageDeflateFactory,
    PerMessageDeflate,
    enable_client_permessage_deflate,
)
from websockets.frames import Frame
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from hubbub.uvicorn.negotiation import SERVER_WINDOW_BITS, agreed_window_bits, deflate_factory
from hubbub.websocket.deflate import Compressor
from hubbub.websocket.frames import compressed_text_frame
from hubbub.websocket.reader import FrameReader

ALWAYS = "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits="


def answer(offer: str | None) -> tuple[str | None, int | None]:
    """Return the answer to an offer, and the window that was agreed on."""
    headers = Headers(
        {
            "Host": "localhost",
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Version": "13",
        }
    )
    if offer is not None:
        headers["Sec-WebSocket-Extensions"] = offer
    server = ServerProtocol(extensions=[deflate_factory()])
    response = server.accept(Request("/ws", headers))
    assert response.status_code == 101
    return response.headers.get("Sec-WebSocket-Extensions"), agreed_window_bits(server.extensions)


@pytest.mark.parametrize(
    ("offer", "accepted", "window_bits"),
    [
        ("permessage-deflate", f"{ALWAYS}12", 12),
        ("permessage-deflate; client_max_window_bits", f"{ALWAYS}12", 12),
        ("permessage-deflate; client_max_window_bits=11", f"{ALWAYS}12; client_max_window_bits=11", 12),
        ("permessage-deflate; server_max_window_bits=10", f"{ALWAYS}10", 10),
        ("permessage-deflate; server_max_window_bits=15", f"{ALWAYS}12", 12),
        ("permessage-deflate; server_no_context_takeover; client_no_context_takeover", f"{ALWAYS}12", 12),
        ("permessage-deflate; server_max_window_bits=8, permessage-deflate", f"{ALWAYS}12", 12),
        ("x-unknown, permessage-deflate; client_max_window_bits", f"{ALWAYS}12", 12),
    ],
    ids=[
        "no parameters",
        "Chromium, Node ws, websockets",
        "its own window",
        "10",
        "15",
        "no contexts",
        "second",
        "other",
    ],
)
def test_offers_that_are_taken(offer: str, accepted: str, window_bits: int):
    assert answer(offer) == (accepted, window_bits)


@pytest.mark.parametrize(
    "offer",
    [
        None,
        "permessage-deflate; server_max_window_bits=8",  # zlib cannot
        "permessage-deflate; server_max_window_bits=16",
        "permessage-deflate; server_max_window_bits",
        "permessage-deflate; unheard_of",
        "permessage-deflate; client_no_context_takeover; client_no_context_takeover",
        "x-webkit-deflate-frame",
    ],
)
def test_offers_that_are_not_taken(offer: str | None):
    assert answer(offer) == (None, None)


def test_without_the_factory():
    assert agreed_window_bits(ServerProtocol().extensions) is None


@pytest.mark.parametrize(
    ("factories", "window_bits"),
    [
        (enable_client_permessage_deflate(None), 12),  # what connect() does by itself
        ([ClientPerMessageDeflateFactory(server_max_window_bits=10)], 10),
        ([ClientPerMessageDeflateFactory(server_no_context_takeover=True, client_max_window_bits=9)], 12),
        ([ClientPerMessageDeflateFactory(client_max_window_bits=None)], 12),
        ([], None),
    ],
    ids=["default", "10", "smallest", "no parameters", "none"],
)
def test_a_client_that_agrees_and_understands(factories, window_bits: int | None):
    client = ClientProtocol(parse_uri("ws://localhost/ws"), extensions=factories or None)
    server = ServerProtocol(extensions=[deflate_factory()])
    client.send_request(client.connect())
    server.receive_data(b"".join(client.data_to_send()))
    [request] = server.events_received()
    assert isinstance(request, Request)
    server.send_response(server.accept(request))
    client.receive_data(b"".join(server.data_to_send()))
    [response] = client.events_received()
    assert isinstance(response, Response)
    assert client.handshake_exc is None
    assert agreed_window_bits(server.extensions) == window_bits
    client.send_text(b"from the client" * 30)
    sent = b"".join(client.data_to_send())
    reader = FrameReader(65_536, inflate=window_bits is not None)
    for _ in range(2):  # the second as if there had been no first
        reader.feed(sent)
        assert reader.read() == "from the client" * 30
    if window_bits is not None:
        frame = compressed_text_frame(Compressor(window_bits).compress(b"from the server" * 999))
        client.receive_data(frame * 2)
        for event in client.events_received():
            assert isinstance(event, Frame)
            assert bytes(event.data) == b"from the server" * 999


def test_nothing_is_kept_for_a_connection():
    server = ServerProtocol(extensions=[deflate_factory(15)])
    _, [extension] = server.process_extensions(Headers({"Sec-WebSocket-Extensions": "permessage-deflate"}))
    assert isinstance(extension, PerMessageDeflate)
    assert not hasattr(extension, "encoder")
    assert not hasattr(extension, "decoder")
    assert agreed_window_bits([extension]) == 15
    assert SERVER_WINDOW_BITS <= zlib.MAX_WBITS
