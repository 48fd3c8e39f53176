"""A hub's WebSocket paths in front of everything else that an application does with a request."""

from typing import TYPE_CHECKING

from starlette.routing import Match, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send

if TYPE_CHECKING:
    from hubbub.endpoints.facade import Hub


class SocketsFirst:
    """Middleware that hands WebSocket handshakes straight to the hub; everything else goes on to the application.

    ``app.add_middleware(SocketsFirst, hub=hub)``, as the last one that is added, spares each handshake the way
    through the other middleware and FastAPI's routing, which is about a quarter of what it costs. It is for a hub whose
    router was included without a prefix and without dependencies.

    Args:
        app: what comes behind.
        hub: whose paths.
    """

    def __init__(self, app: ASGIApp, hub: "Hub") -> None:
        self._app = app
        self._routes = tuple(route for route in hub.router.routes if isinstance(route, WebSocketRoute))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "websocket":
            for route in self._routes:
                match, found = route.matches(scope)
                if match is Match.FULL:
                    scope.update(found)
                    await route.handle(scope, receive, send)
                    return
        await self._app(scope, receive, send)
