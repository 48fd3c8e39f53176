"""permessage-deflate as clients may ask for it: every frame inflates with the window that was agreed on, and alone."""

import json
import random
import zlib
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from members import fresh
from raw_socket import Frame, Opcode, RawSocket, frame, text
from serving import Serving, bearer, hubbub_serve

COMPRESSED = 4
"""RSV1."""


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Serving]:
    with hubbub_serve(tmp_path_factory.mktemp("windows"), MESSAGE_RATE="0") as serving:
        yield serving
        assert serving.complaints() == []


def inflate(payload: bytes, bits: int) -> bytes:
    """Inflate a message in pieces so small that zlib looks back into its window, and fails beyond it."""
    inflater = zlib.decompressobj(-bits)
    payload += b"\x00\x00\xff\xff"
    pieces = []
    while piece := inflater.decompress(payload, 64):
        pieces.append(piece)
        payload = inflater.unconsumed_tail
    return b"".join(pieces)


def deflate(payload: bytes, bits: int) -> bytes:
    """Compress a message as a client does that has a window of this size."""
    deflater = zlib.compressobj(wbits=-bits)
    return (deflater.compress(payload) + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]


def test_a_window_that_is_too_small_would_be_noticed():
    data = random.Random(1).randbytes(1000) * 2
    assert inflate(deflate(data, 12), 12) == data
    with pytest.raises(zlib.error, match="too far back"):
        inflate(deflate(data, 12), 9)


def repetitive(distance: int) -> str:
    """Return text that is worth looking back this far, and no nearer."""
    return random.Random(distance).randbytes(distance // 2).hex() * 3


OFFERS = {
    "permessage-deflate": 12,
    "permessage-deflate; client_max_window_bits": 12,
    "permessage-deflate; client_max_window_bits=10": 12,
    "permessage-deflate; server_max_window_bits=9": 9,
    "permessage-deflate; server_max_window_bits=10": 10,
    "permessage-deflate; server_max_window_bits=15": 12,
    'permessage-deflate; server_max_window_bits="11"': 11,
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover": 12,
    "permessage-bzip2, permessage-deflate; server_max_window_bits=10, permessage-deflate": 10,
    "permessage-deflate; server_max_window_bits=8, permessage-deflate; server_max_window_bits=9": 9,
    "permessage-deflate; no_such_parameter, permessage-deflate": 12,
    "permessage-deflate; no_such_parameter": None,
    "permessage-deflate; server_max_window_bits=8": None,
    "permessage-deflate; server_max_window_bits=16": None,
    "permessage-deflate; server_max_window_bits": None,
    "permessage-bzip2": None,
    None: None,
}
"""What is offered, and the server's window."""


async def join(stack: AsyncExitStack, server: Serving, room: str, offer: str | None) -> tuple[RawSocket, str]:
    """Join a room with this offer; return what the server answered to it."""
    socket = await RawSocket.connect(server.port)
    stack.callback(socket.close)
    offered = {} if offer is None else {"Sec-WebSocket-Extensions": offer}
    answer = await socket.upgrade(server.port, f"/ws/{room}", {**bearer(fresh("user")), **offered})
    assert answer.status == 101
    return socket, answer.headers.get("sec-websocket-extensions", "")


def parameters(answer: str) -> dict[str, str]:
    name, *given = answer.split("; ")
    assert name == "permessage-deflate"
    return {key: value for key, _, value in (each.partition("=") for each in given)}


def message_of(received: Frame, bits: int | None) -> dict[str, Any]:
    assert received.reserved in {0, COMPRESSED}
    if received.reserved == COMPRESSED:
        assert bits is not None
        received = Frame(received.opcode, inflate(received.payload, bits))
    message: dict[str, Any] = json.loads(received.payload)
    return message


@pytest.mark.parametrize(("offer", "bits"), OFFERS.items())
async def test_what_is_sent_fits_the_window(server, offer, bits):
    room = fresh("room")
    contents = [repetitive(400), repetitive(900), repetitive(3_500), "語" * 5_000, repetitive(15_000)]
    async with AsyncExitStack() as stack:
        socket, answer = await join(stack, server, room, offer)
        speaker, _ = await join(stack, server, room, None)
        if bits is None:
            assert answer == ""
        else:
            agreed = parameters(answer)
            assert agreed["server_max_window_bits"] == str(bits)
            assert {"server_no_context_takeover", "client_no_context_takeover"} <= agreed.keys()
            assert agreed.get("client_max_window_bits") == (
                "10" if "client_max_window_bits=10" in offer else None
            )
        for content in contents * 2:  # nothing of the first time may be looked back at
            await speaker.send(text({"type": "message", "content": content}))
        heard, compressed = [], 0
        while len(heard) < 2 * len(contents):
            received = await socket.receive()
            message = message_of(received, bits)
            if message["type"] == "message":
                heard.append(message["content"])
                compressed += received.reserved == COMPRESSED
        assert heard == contents * 2
        assert compressed == (0 if bits is None else len(heard))


@pytest.mark.parametrize("bits", [9, 12, 15])
async def test_what_a_client_compresses_is_understood(server, bits):
    """The window of what it sends is its own affair: nothing was asked of it."""
    room, content = fresh("room"), repetitive(4_000)
    said = json.dumps({"type": "message", "content": content}).encode()
    packed = deflate(said, bits)
    frames = {
        "whole": frame(Opcode.TEXT, packed, reserved=COMPRESSED),
        "in fragments": frame(Opcode.TEXT, packed[:10], final=False, reserved=COMPRESSED)
        + frame(Opcode.PING, b"in between")
        + frame(Opcode.CONTINUATION, packed[10:-1], final=False)
        + frame(Opcode.CONTINUATION, packed[-1:]),
        "not compressed": frame(Opcode.TEXT, said),
    }
    async with AsyncExitStack() as stack:
        socket, _ = await join(stack, server, room, "permessage-deflate; client_max_window_bits")
        for sent in (*frames.values(), *frames.values()):
            await socket.send(sent)
        heard = []
        while len(heard) < 2 * len(frames):
            received = await socket.receive()
            if received.opcode is Opcode.TEXT and (message := message_of(received, 12))["type"] == "message":
                heard.append(message["content"])
        assert heard == [content] * 2 * len(frames)


async def test_members_of_one_room_each_have_their_own_window(server):
    room, content = fresh("room"), repetitive(3_500)
    windows: list[tuple[str | None, int | None]] = [
        ("permessage-deflate; server_max_window_bits=9", 9),
        ("permessage-deflate", 12),
        ("permessage-deflate; server_max_window_bits=11", 11),
        (None, None),
        ("permessage-deflate", 12),
    ]
    async with AsyncExitStack() as stack:
        sockets = [(await join(stack, server, room, offer))[0] for offer, _ in windows]
        await sockets[0].send(text({"type": "message", "content": content}))
        frames = {}
        for number, (socket, (_, bits)) in enumerate(zip(sockets, windows, strict=True)):
            while (message := message_of(received := await socket.receive(), bits))["type"] != "message":
                pass
            assert message["content"] == content
            frames[number] = received.payload
        assert frames[1] == frames[4]  # compressed once
        assert len({frames[0], frames[1], frames[3]}) == 3
