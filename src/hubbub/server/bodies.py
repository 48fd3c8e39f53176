"""A bound on the size of request bodies, which FastAPI reads whole before any route sees them."""

from collections.abc import Iterable

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hubbub.server.namespaces import Policy

LIMIT = 4 * 1024 * 1024


def body_limit(namespaces: Iterable[Policy]) -> int:
    """Return a bound that leaves room for the largest publication, however its JSON is escaped."""
    largest: int = max((policy.get("max_message_bytes", 0) for policy in namespaces), default=0)
    return max(LIMIT, 6 * largest)


class BodyLimit:
    """ASGI middleware that stops reading a body over `limit` bytes.

    Args:
        app: what it protects.
        limit: the largest body, in bytes.
    """

    def __init__(self, app: ASGIApp, limit: int = LIMIT) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        seen = 0

        async def limited() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self._limit:
                # From inside `receive`, where the application's own handler makes a problem document of it.
                raise HTTPException(413, f"The body is larger than {self._limit} bytes.")
            return message

        await self._app(scope, limited, send)
