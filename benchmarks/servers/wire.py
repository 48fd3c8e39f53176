"""What the peers share: the token check and the JSON that is spoken, the same as Hubbub's in bytes.

A peer does less than Hubbub on purpose: it keeps no history, announces no joins and limits no rates. What it
is compared in, the fan-out, is the whole of its own file.
"""

import itertools
import os
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import jwt
from fastapi import WebSocket, WebSocketException

SECRET = os.environ["HUBBUB_SECRET_KEY"]

offsets = itertools.count(1)


async def identify(socket: WebSocket) -> str:
    """Return the user of the bearer token, or refuse the handshake; used with `Depends`."""
    scheme, _, token = socket.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        raise WebSocketException(4001, "Invalid token")
    try:
        claims = jwt.decode(token, SECRET, algorithms=["HS256"], options={"require": ["exp", "sub"]})
    except jwt.InvalidTokenError as error:
        raise WebSocketException(4001, "Invalid token") from error
    return str(claims["sub"])


def welcome(user_id: str) -> dict[str, Any]:
    """Make the first message of a connection."""
    return {"type": "welcome", "user_id": user_id, "session_id": str(uuid4()), "heartbeat": 20}


def joined(room_id: str, active_users: int) -> dict[str, Any]:
    """Make the answer to `join_room`."""
    return {"type": "joined", "room_id": room_id, "active_users": active_users}


def message(room_id: str, user_id: str, content: str) -> dict[str, Any]:
    """Make the push of one chat message."""
    return {
        "type": "message",
        "room_id": room_id,
        "user_id": user_id,
        "content": content,
        "channel": f"room:{room_id}",
        "id": str(uuid4()),
        "offset": next(offsets),
        "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    }
