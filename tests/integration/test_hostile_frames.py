"""What a client may send below the messages: frames and handshakes that no library makes."""

import asyncio
import base64
import os
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from members import bystander, connected, fresh
from raw_socket import Opcode, RawSocket, frame, raw, text
from serving import Serving, bearer, eventually


@asynccontextmanager
async def intruder(server: Serving, room: str) -> AsyncIterator[RawSocket]:
    """Somebody in the room who makes frames by hand."""
    async with raw(server.port, f"/ws/{room}", headers=bearer(fresh("mallory"))) as mallory:
        await mallory.expect("joined")
        yield mallory


CLOSED = {
    "a frame of 1 MiB": (frame(Opcode.TEXT, b" " * 2**20), 1009),
    "a frame that says it has 1 EiB": (b"\x81\xff" + (2**60).to_bytes(8, "big") + b"mask", 1009),
    "a length with its first bit set": (b"\x81\xff" + b"\xff" * 8 + b"mask", (1002, 1009)),
    "a binary frame": (frame(Opcode.BINARY, b'{"type":"ping"}'), 1003),
    "a binary frame with nothing": (frame(Opcode.BINARY), 1003),
    "text that is not UTF-8": (frame(Opcode.TEXT, b'{"type":"ping","x":"\xff\xfe"}'), 1007),
    "a surrogate in UTF-8": (frame(Opcode.TEXT, b'"\xed\xa0\x80"'), 1007),
    "half a character at the end": (frame(Opcode.TEXT, b'"\xe2\x82'), 1007),
    "half a character in the last fragment": (
        frame(Opcode.TEXT, b'"\xe2', final=False) + frame(Opcode.CONTINUATION, b"\x82"),
        1007,
    ),
    "a frame without a mask": (text({"type": "ping"}, masked=False), 1002),
    "a ping without a mask": (frame(Opcode.PING, masked=False), 1002),
    "a reserved bit": (text({"type": "ping"}, reserved=1), 1002),
    "compression that was not negotiated": (text({"type": "ping"}, reserved=4), 1002),
    "a reserved data opcode": (frame(3, b"x"), 1002),
    "a reserved control opcode": (frame(11, b"x"), 1002),
    "a ping of 126 bytes": (frame(Opcode.PING, b"x" * 126), 1002),
    "a ping in fragments": (frame(Opcode.PING, b"x", final=False), 1002),
    "a continuation of nothing": (frame(Opcode.CONTINUATION, b"x"), 1002),
    "a message within a message": (
        frame(Opcode.TEXT, b'{"type":', final=False) + text({"type": "ping"}),
        1002,
    ),
    "fragments that add up to too much": (
        frame(Opcode.TEXT, b" " * 40_000, final=False) + frame(Opcode.CONTINUATION, b" " * 40_000),
        1009,
    ),
    "a Close frame of one byte": (frame(Opcode.CLOSE, b"\x03"), 1002),
    "a Close frame with a code that may not be sent": (frame(Opcode.CLOSE, b"\x03\xee"), 1002),
    "a Close frame whose reason is not UTF-8": (frame(Opcode.CLOSE, b"\x03\xe8\xff"), 1007),
}


@pytest.mark.parametrize(("sent", "code"), CLOSED.values(), ids=CLOSED.keys())
async def test_a_frame_that_may_not_be_closes_its_own_connection_alone(either, sent, code):
    room = fresh("room")
    async with bystander(either, room), intruder(either, room) as mallory:
        await mallory.send(sent)
        closed = await mallory.expect_close()
        assert closed.close_code in (code if isinstance(code, tuple) else (code,))
        assert len(closed.payload) <= 125
        await mallory.expect_end()


async def test_what_follows_a_bad_frame_is_not_carried_out(server):
    room = fresh("room")
    async with bystander(server, room) as witness, intruder(server, room) as mallory:
        said = text({"type": "message", "content": "after the end"})
        await mallory.send(frame(Opcode.BINARY, b"x") + said * 10)
        await mallory.expect_close()
        await mallory.expect_end()
    assert [each["content"] for each in witness.of_type("message") if "tick" not in each["content"]] == []


async def test_a_message_in_many_fragments_with_pings_between_is_one_message(server):
    room = fresh("room")
    async with bystander(server, room) as witness, intruder(server, room) as mallory:
        payload = '{"type":"message","content":"häppchen 語"}'.encode()
        await mallory.send(frame(Opcode.TEXT, payload[:1], final=False))
        for index in range(1, len(payload)):  # through the middle of characters too
            await mallory.send(frame(Opcode.PING, b"%d" % index))
            await mallory.send(frame(Opcode.CONTINUATION, payload[index : index + 1], final=False))
        await mallory.send(frame(Opcode.CONTINUATION))
        pongs = []
        while len(pongs) < len(payload) - 1:
            received = await mallory.receive()
            if received.opcode is Opcode.PONG:
                pongs.append(received.payload)
        assert pongs == [b"%d" % index for index in range(1, len(payload))]

        async def heard() -> bool:
            return any(each["content"] == "häppchen 語" for each in witness.of_type("message"))

        await eventually(heard)


async def test_a_frame_that_comes_byte_by_byte_is_one_frame(server):
    room = fresh("room")
    async with bystander(server, room), intruder(server, room) as mallory:
        for byte in text({"type": "ping", "ref": 1}):
            await mallory.send(bytes([byte]))
            await asyncio.sleep(0)
        await mallory.expect("pong")


async def test_many_messages_in_one_segment_are_all_carried_out_in_order(server):
    room = fresh("room")
    async with bystander(server, room) as witness, intruder(server, room) as mallory:
        await mallory.send(b"".join(text({"type": "message", "content": f"{n}"}) for n in range(40)))
        await mallory.send(text({"type": "ping", "ref": "done"}))
        await mallory.expect("pong")
    said = [each["content"] for each in witness.of_type("message") if "tick" not in each["content"]]
    assert said == [str(number) for number in range(40)]


async def test_a_flood_of_pings_is_answered_and_delays_nobody(server):
    room = fresh("room")
    async with bystander(server, room), intruder(server, room) as mallory:
        burst = frame(Opcode.PING, b"x" * 125) * 500
        for _ in range(20):
            await mallory.send(burst)
            answered = 0
            while answered < 500:
                answered += (await mallory.receive()).opcode is Opcode.PONG
        await mallory.say({"type": "ping"})
        await mallory.expect("pong")


async def test_a_flood_of_pongs_and_empty_fragments_delays_nobody(server):
    room = fresh("room")
    async with bystander(server, room), intruder(server, room) as mallory:
        await mallory.send(frame(Opcode.PONG, b"unasked") * 10_000)
        await mallory.send(frame(Opcode.TEXT, final=False))
        await mallory.send(frame(Opcode.CONTINUATION, final=False) * 100)
        await mallory.send(frame(Opcode.CONTINUATION, b'{"type":"ping"}'))
        await mallory.expect("pong")
        # Fragments without anything in them, and without end, are memory that no limit on bytes would see.
        await mallory.send(frame(Opcode.TEXT, final=False) + frame(Opcode.CONTINUATION, final=False) * 10_000)
        assert (await mallory.expect_close()).close_code == 1009


@pytest.mark.parametrize("headers", [None, bearer("mallory")], ids=["before it says who it is", "a user"])
async def test_a_flood_is_taken_only_as_fast_as_it_is_carried_out(server, headers):
    room = fresh("room")
    flood = frame(Opcode.PONG) * 50_000
    async with bystander(server, room), raw(server.port, "/ws", headers=headers) as mallory:
        before = server.memory()
        for _ in range(40):
            await mallory.send(flood)
        assert server.memory() - before < len(flood) * 40 / 1024 / 2, "KiB more than before"


async def test_frames_in_one_segment_with_the_handshake_are_carried_out(server):
    mallory = await RawSocket.connect(server.port)
    try:
        await mallory.send(handshake(server, **bearer(fresh("eager"))) + text({"type": "ping"}) * 10)
        assert (await mallory.answer()).status == 101
        await mallory.expect("welcome")
        for _ in range(10):
            await mallory.expect("pong")
    finally:
        mallory.close()


async def test_more_than_is_kept_before_a_handshake_is_answered_is_refused(server):
    mallory = await RawSocket.connect(server.port)
    try:
        early = text({"type": "ping", "ref": "x" * 100}) * 1000
        await mallory.send(handshake(server, **bearer(fresh("eager"))) + early)
        assert (await mallory.answer()).status == 400
    finally:
        mallory.close()


def deflate(plain: bytes) -> bytes:
    """Compress a message (RFC 7692 section 7.2.1)."""
    deflater = zlib.compressobj(wbits=-12)
    return (deflater.compress(plain) + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]


OFFER = {"Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits"}
BOMB = deflate(b" " * 2**26)
COMPRESSED = 4
PACKED = {
    "a little too much": (frame(Opcode.TEXT, deflate(b" " * 70_000), reserved=COMPRESSED), 1009),
    "a bomb": (frame(Opcode.TEXT, BOMB, reserved=COMPRESSED), 1009),
    "a bomb in fragments": (
        frame(Opcode.TEXT, BOMB[:1000], final=False, reserved=COMPRESSED)
        + frame(Opcode.CONTINUATION, BOMB[1000:]),
        1009,
    ),
    "a bomb within a bomb": (frame(Opcode.TEXT, deflate(BOMB), reserved=COMPRESSED), (1007, 1009)),
    "a binary bomb": (frame(Opcode.BINARY, BOMB, reserved=COMPRESSED), (1003, 1009)),
    "a bomb that is larger than a frame may be": (
        frame(Opcode.TEXT, deflate(os.urandom(100_000).hex().encode()), reserved=COMPRESSED),
        1009,
    ),
    "what is not UTF-8": (frame(Opcode.TEXT, deflate(b'"\xff"'), reserved=COMPRESSED), 1007),
    "a compressed ping": (frame(Opcode.PING, deflate(b"x"), reserved=COMPRESSED), 1002),
    "a compressed continuation": (
        frame(Opcode.TEXT, deflate(b"{}"), final=False, reserved=COMPRESSED)
        + frame(Opcode.CONTINUATION, b"", reserved=COMPRESSED),
        1002,
    ),
    "another reserved bit": (frame(Opcode.TEXT, deflate(b"{}"), reserved=COMPRESSED | 2), 1002),
}


@pytest.mark.parametrize(("sent", "code"), PACKED.values(), ids=PACKED.keys())
async def test_what_a_frame_inflates_to_is_what_counts(either, sent, code):
    room = fresh("room")
    async with bystander(either, room):
        mallory = await RawSocket.connect(either.port)
        try:
            answer = await mallory.upgrade(either.port, f"/ws/{room}", {**bearer(fresh("mallory")), **OFFER})
            assert "permessage-deflate" in answer.headers["sec-websocket-extensions"]
            await mallory.receive()
            before = either.memory()
            await mallory.send(sent)
            assert (await mallory.expect_close()).close_code in (code if isinstance(code, tuple) else (code,))
            # Whole, a bomb would be 64 MiB, and twice as much on its way.
            assert either.memory() - before < 50_000
            await mallory.expect_end()
        finally:
            mallory.close()


@pytest.mark.parametrize(
    "packed",
    [b"\xff" * 20, BOMB[:1], deflate(b'{"type":"ping"}' + os.urandom(100))[:-20], deflate(b"{}") + b"\x01"],
    ids=["no deflate data", "one byte of it", "the end is missing", "more behind its end"],
)
async def test_what_does_not_inflate_closes_its_own_connection_alone(server, packed):
    room = fresh("room")
    async with (
        bystander(server, room),
        raw(server.port, f"/ws/{room}", headers={**bearer(fresh("mallory")), **OFFER}) as mallory,
    ):
        await mallory.send(frame(Opcode.TEXT, packed, reserved=COMPRESSED))
        assert (await mallory.expect_close()).close_code == 1007
        await mallory.expect_end()


async def test_all_of_this_is_asked_of_the_direct_outlet(server):
    async with connected(server, fresh("ada")):
        assert (await server.get("/readyz")).json()["outlet"] == "direct"


def handshake(server: Serving, *, without: str = "", path: str = "/ws", **changed: str) -> bytes:
    """Write a handshake with headers left out or changed."""
    headers = {
        "Host": f"127.0.0.1:{server.port}",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
        "Sec-WebSocket-Version": "13",
        **{name.replace("_", "-"): value for name, value in changed.items()},
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items() if name != without)
    return f"GET {path} HTTP/1.1\r\n{lines}\r\n".encode("latin-1")


REFUSED = {
    "no key": lambda server: handshake(server, without="Sec-WebSocket-Key"),
    "a key that is none": lambda server: handshake(server, Sec_WebSocket_Key="not base64!"),
    "a key that is too short": lambda server: handshake(server, Sec_WebSocket_Key="AAAA"),
    "no version": lambda server: handshake(server, without="Sec-WebSocket-Version"),
    "an old version": lambda server: handshake(server, Sec_WebSocket_Version="8"),
    "another protocol": lambda server: handshake(server, Upgrade="h2c"),
    "a path with a line break": lambda server: handshake(server, path="/ws/a\nb"),
    "a path that is not ASCII": lambda server: handshake(server, path="/ws/\xff"),
    "a method that is none": lambda server: b"GET\x00 /ws HTTP/1.1\r\n\r\n",
    "TLS": lambda server: b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + os.urandom(500),
    "noise": lambda server: os.urandom(64) + b"\r\n\r\n",
    "a body where none should be": lambda server: handshake(server, Content_Length="-1"),
}


@pytest.mark.parametrize("request_for", REFUSED.values(), ids=REFUSED.keys())
async def test_a_handshake_that_is_none_is_refused(server, request_for):
    room = fresh("room")
    async with bystander(server, room):
        mallory = await RawSocket.connect(server.port)
        try:
            await mallory.send(request_for(server))
            answer = await mallory.answer()
            assert 400 <= answer.status < 500
        finally:
            mallory.close()


async def test_a_handshake_with_endless_headers_is_cut_off(server):
    room = fresh("room")
    async with bystander(server, room):
        mallory = await RawSocket.connect(server.port)
        before = server.memory()
        try:
            with suppress(ConnectionError):
                await mallory.send(b"GET /ws HTTP/1.1\r\n")
                for number in range(2000):
                    await mallory.send(f"X-{number}: {'x' * 8000}\r\n".encode())
            assert server.memory() - before < 8192
        finally:
            mallory.close()


async def test_a_handshake_with_a_header_that_is_too_long_is_answered(server):
    visitor = await RawSocket.connect(server.port)
    try:
        await visitor.send(handshake(server, Cookie="x" * 9000))
        assert (await visitor.answer(2)).status == 431
    finally:
        visitor.close()


async def test_handshakes_that_come_byte_by_byte_keep_nobody_else_waiting(server):
    room = fresh("room")
    async with bystander(server, room) as witness:
        slow = [await RawSocket.connect(server.port) for _ in range(50)]
        try:
            request = handshake(server, path="/ws/slow", **bearer("tortoise"))
            for byte in request[:-1]:
                for each in slow:
                    await each.send(bytes([byte]))
                await asyncio.sleep(0)
            async with connected(server, fresh("ada")) as ada:
                await ada.join(room)
                # Whoever is gone again before it was told is not told of.
                await eventually(lambda: witness.of_type("user_joined", user=ada.user))
            # They are slow and not wrong: whoever finishes is let in, as far as a user may have connections.
            for each in slow:
                await each.send(request[-1:])
            answers = [(await each.answer()).status for each in slow]
            assert answers == [101] * 50
        finally:
            for each in slow:
                each.close()
    assert len(witness.of_type("user_joined")) == 1 + 1


async def test_a_handshake_that_is_cut_anywhere_leaves_nothing(server):
    room = fresh("room")
    async with bystander(server, room):
        request = handshake(server, path=f"/ws/{room}", **bearer(fresh("mallory")))
        before = (await server.counts())("hubbub_connections")
        for end in range(0, len(request) + 1, 7):
            mallory = await RawSocket.connect(server.port)
            await mallory.send(request[:end])
            mallory.cut()

        async def are_gone() -> bool:
            return (await server.counts())("hubbub_connections") == before

        await eventually(are_gone)
