"""The bytes that a member sends: the handshake, text frames, pongs; and the tokens it sends them with."""

import time
import uuid
from typing import Any

import jwt
import msgspec

ACCEPTED = b"HTTP/1.1 101"
END_OF_HEADERS = b"\r\n\r\n"
PING = 0x89


def token(user_id: str, secret: str, lifetime: int = 3600) -> str:
    """Make an access token as Hubbub's own: HS256 with `sub`, `iat`, `exp` and `jti`."""
    now = int(time.time())
    claims = {"sub": user_id, "iat": now, "exp": now + lifetime, "jti": str(uuid.uuid4())}
    return jwt.encode(claims, secret, algorithm="HS256")


def handshake(port: int, path: str, bearer: str) -> bytes:
    """Make the request that opens a WebSocket; the key may be the same for all (RFC 6455 section 4.1)."""
    return (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Protocol: hubbub\r\nAuthorization: Bearer {bearer}\r\n\r\n"
    ).encode()


def text(message: dict[str, Any]) -> bytes:
    """Make a text frame of a JSON message."""
    return frame(0x1, msgspec.json.encode(message))


def frame(opcode: int, payload: bytes) -> bytes:
    """Make a masked frame (RFC 6455 section 5.2); a key of zeros leaves the payload as it is."""
    length = len(payload)
    if length < 126:
        header = bytes((0x80 | opcode, 0x80 | length))
    else:
        header = bytes((0x80 | opcode, 0x80 | 126)) + length.to_bytes(2, "big")
    return header + bytes(4) + payload


def pong(data: bytes, start: int) -> bytes:
    """Make the answer to the ping that starts at `start`."""
    length = data[start + 1] & 0x7F
    return frame(0xA, data[start + 2 : start + 2 + length])
