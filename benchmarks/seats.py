"""Who comes in: users with tokens as Hubbub signs them, in rooms."""

import time
import uuid

import jwt

from contestants import SECRET
from hubbub.bench import Seat


def token(user_id: str, lifetime: int = 3600, **claims: str) -> str:
    """Make an access token as Hubbub's own: HS256 with `sub`, `iat`, `exp` and `jti`, and further claims."""
    now = int(time.time())
    own = {"sub": user_id, "iat": now, "exp": now + lifetime, "jti": uuid.uuid4().hex}
    return jwt.encode({**own, **claims}, SECRET, algorithm="HS256")


def seats(count: int, room: str, room_of: int | None = None) -> list[Seat]:
    """Return so many users in one room, or in rooms of `room_of`; their tokens are made now, before any clock starts."""
    return [
        Seat(f"{room}-u{i}", [room if room_of is None else f"{room}-{i // room_of}"], token(f"{room}-u{i}"))
        for i in range(count)
    ]


def words(size: int) -> str:
    """Return text that deflates about as well as JSON does, and is the same each time."""
    return " ".join(f"{number * 2654435761 % 4294967296:x}" for number in range(size // 8 + 1))[:size]
