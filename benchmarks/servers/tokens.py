"""The token check of the peers that are FastAPI applications."""

import os

import jwt
from fastapi import WebSocket, WebSocketException

SECRET = os.environ["HUBBUB_SECRET_KEY"]


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
