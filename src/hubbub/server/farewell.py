"""Connections that clients keep alive between requests end with an answer while the server drains, not between two."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from hubbub import Hub

CLOSE = (b"connection", b"close")


class Farewell:
    """Middleware that answers with `Connection: close` while a hub drains (RFC 9112 section 9.6).

    Whoever sends their next request does so on another connection, and reaches a server that stays; a connection that
    is closed while it is idle may have a request on the way, which then fails.

    Args:
        app: what comes behind.
        hub: which one drains.
    """

    def __init__(self, app: "ASGIApp", hub: "Hub") -> None:
        self._app = app
        self._hub = hub

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def answer(message: "Message") -> None:
            if message["type"] == "http.response.start" and self._hub.is_draining:
                message = {**message, "headers": [*message.get("headers", ()), CLOSE]}
            await send(message)

        await self._app(scope, receive, answer)
