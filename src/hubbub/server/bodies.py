"""A bound on the size of request bodies, which FastAPI reads whole before any route sees them."""

import asyncio
from collections.abc import Awaitable, Iterable

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hubbub.server.namespaces import Policy

LIMIT = 4 * 1024 * 1024

CLOSE = {"Connection": "close"}
"""What was not read of a body is not read as the next request either."""


def body_limit(namespaces: Iterable[Policy]) -> int:
    """Return a bound that leaves room for the largest publication, however its JSON is escaped."""
    largest: int = max((policy.get("max_message_bytes", 0) for policy in namespaces), default=0)
    return max(LIMIT, 6 * largest)


class BodyLimit:
    """ASGI middleware that stops reading a body over `limit` bytes, or one that does not come.

    Args:
        app: what it protects.
        limit: the largest body, in bytes.
        seconds: how long a body may take.
    """

    def __init__(self, app: ASGIApp, limit: int = LIMIT, seconds: float = 60.0) -> None:
        self._app = app
        self._limit = limit
        self._seconds = seconds

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Serve one request; a WebSocket goes straight on, and keeps no frame of this for as long as it lives."""
        if scope["type"] != "http":
            return self._app(scope, receive, send)
        return self._bounded(scope, receive, send)

    async def _bounded(self, scope: Scope, receive: Receive, send: Send) -> None:
        seen = 0
        more = True
        deadline = asyncio.get_running_loop().time() + self._seconds

        # What it raises comes out of the application's `receive`, so that its own handler makes a problem of it.
        async def limited() -> Message:
            nonlocal seen, more
            if not more:
                return await receive()
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(
                    408, f"The body did not come within {self._seconds:g} s.", CLOSE
                ) from None
            more = message.get("more_body", False)
            seen += len(message.get("body", b""))
            if seen > self._limit:
                raise HTTPException(413, f"The body is larger than {self._limit} bytes.", CLOSE)
            return message

        await self._app(scope, limited, send)
