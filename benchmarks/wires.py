"""The protocols of the peers that do not speak Hubbub's plain JSON."""

import json
from dataclasses import replace
from typing import Any

from hubbub.bench import PLAIN, Seat, Step, Wire
from hubbub.bench.frames import text

# What Hubbub's own pushes hold, so that a delivery has as many bytes where a server passes on what it is given.
FIELDS = {
    "user_id": "u0",
    "id": "019a9f4e-7e2c-7d1f-8a44-3d2b1c0e9f8a",
    "offset": 12345,
    "timestamp": "2026-11-20T10:00:00.000Z",
}

HAND_MADE = replace(PLAIN, subprotocol=None, refusal=None)

# Django's JSON has spaces.
CHANNELS = replace(
    HAND_MADE,
    steps=(replace(PLAIN.steps[0], heard=b'"type": "welcome"'), Step(b'"type": "joined"', each_room=True)),
    needle=b'"content": "T=',
)


def _event(name: str, data: dict[str, Any]) -> bytes:
    return text("42" + json.dumps([name, data], separators=(",", ":")))


def _enter(seat: Seat) -> bytes:
    return b"".join(_event("join_room", {"room_id": room}) for room in seat.rooms)


SOCKET_IO = Wire(
    path=lambda _: "/socket.io/?EIO=4&transport=websocket",
    steps=(
        Step(b'0{"sid"', lambda _: text("40")),
        Step(b'40{"sid"', _enter),
        Step(b'["joined"', each_room=True),
    ),
    publication=lambda room, content: _event("message", {"room_id": room, "content": content}),
    answers={b"2": text("3")},
)


def _whole_message(room: str, content: str) -> bytes:
    message = {"type": "message", "room_id": room, "content": content, "channel": f"room:{room}", **FIELDS}
    return text(json.dumps(message, separators=(",", ":")))


NCHAN = Wire(path=lambda seat: f"/ws/{seat.rooms[0]}", steps=(), publication=_whole_message)
