"""What is said to a Hubbub server."""

import json

from hubbub.bench.frames import walk
from hubbub.bench.wires import NO_MARK, PLAIN, Seat


def payload(frame: bytes) -> dict[str, object]:
    return json.loads(frame[frame.index(b"{") :])


def test_the_handshake_carries_the_token_and_offers_compression_where_asked():
    seat = Seat("ada", ["r"], "abc")
    plain = PLAIN.handshake("127.0.0.1", 8000, seat, deflate=False)
    assert plain.startswith(b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n")
    assert b"Authorization: Bearer abc\r\n" in plain
    assert b"permessage-deflate" not in plain
    assert b"server_no_context_takeover" in PLAIN.handshake("h", 1, seat, deflate=True)


def test_every_room_is_joined():
    join = PLAIN.steps[0].say
    assert join is not None
    frames, _ = walk(join(Seat("ada", ["a", "b"])).replace(b"\0\0\0\0", b""))
    assert join(Seat("ada", ["a", "b"])).count(b"join_room") == 2
    assert frames is not None


def test_a_template_has_room_for_the_mark():
    before, after = PLAIN.template("general", "xyz")
    message = payload(before + b"0" * 16 + after)
    assert message == {"type": "message", "room_id": "general", "content": NO_MARK + "xyz"}
