"""The JSON that the Python peers speak, the same as Hubbub's in bytes; it needs nothing but the standard library.

A peer does less than Hubbub on purpose: it keeps no history, announces no joins and limits no rates. What it
is compared in, the fan-out, is the whole of its own file.
"""

import itertools
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

offsets = itertools.count(1)


def welcome(user_id: str) -> dict[str, Any]:
    """Make the first message of a connection."""
    return {"type": "welcome", "user_id": user_id, "session_id": str(uuid4()), "heartbeat": 20}


def joined(room_id: str, active_users: int = 0) -> dict[str, Any]:
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
