"""The routes that come with a hub: WebSocket paths, the browser client, and tickets for handshakes."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends
from fastapi.responses import FileResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.routing import WebSocketRoute
from starlette.types import Scope

from hubbub.authentication.tickets import TicketStore
from hubbub.dialects.plain import PlainJSON
from hubbub.dialects.plain_pushes import ROOM
from hubbub.endpoints.admission import Admission, AutoJoin
from hubbub.endpoints.handshake import Doorkeeper
from hubbub.endpoints.queued import Writers
from hubbub.endpoints.websocket import Encodings, WebSocketEndpoint
from hubbub.exceptions import AuthenticationUnavailable, LimitExceeded
from hubbub.hub.commands import Subscribe
from hubbub.hub.identity import Identity
from hubbub.hub.node import Node

TOPIC = "topic:"
NO_UPGRADE = "This is the path of a WebSocket. A proxy in front of it has to pass on the headers Upgrade and Connection."
"""For who asks without them (RFC 9110 section 15.5.22)."""
BROWSER_CLIENT = Path(__file__).parent / "browser" / "hubbub.js"


class Ticket(BaseModel):
    """A ticket for one WebSocket handshake: ``/ws?ticket=…``."""

    ticket: str
    expires_in: int


def realtime(
    node: Callable[[], Node], doorkeeper: Doorkeeper, writers: Writers, auth_deadline: float
) -> APIRouter:
    """Serve ``/ws``, ``/ws/{room_id}``, ``/ws/notifications/{topic}`` and ``/hubbub.js``."""
    router = APIRouter()
    admission, encodings = Admission(doorkeeper, auth_deadline), Encodings(PlainJSON())

    def serve(path: str, join: AutoJoin) -> None:
        endpoint = WebSocketEndpoint(node, admission, encodings, writers, join)
        router.routes.append(WebSocketRoute(path, endpoint, name=f"hubbub {path}"))

    serve("/ws", lambda _: None)
    serve("/ws/notifications/{topic:path}", lambda scope: to_channel(scope, TOPIC, "topic"))
    serve("/ws/{room_id:path}", lambda scope: to_channel(scope, ROOM, "room_id"))

    @router.get("/ws", include_in_schema=False)
    @router.get("/ws/{name:path}", include_in_schema=False)
    async def no_upgrade() -> None:
        raise HTTPException(426, NO_UPGRADE, headers={"Upgrade": "websocket", "Connection": "Upgrade"})

    @router.get("/hubbub.js", include_in_schema=False)
    async def hubbub_js() -> FileResponse:
        return FileResponse(
            BROWSER_CLIENT, media_type="text/javascript", headers={"Cache-Control": "no-cache"}
        )

    return router


def to_channel(scope: Scope, prefix: str, parameter: str) -> Subscribe:
    """Subscribe a connection to the channel of its path."""
    return Subscribe(channel=prefix + scope["path_params"][parameter], as_room=prefix == ROOM)


def tickets(store: TicketStore, doorkeeper: Doorkeeper, ttl: float) -> APIRouter:
    """Serve ``POST /ws-ticket``."""
    router = APIRouter(tags=["realtime"])

    async def identity(connection: HTTPConnection) -> Identity:
        return await doorkeeper.identity(connection)

    @router.post("/ws-ticket", summary="Get a ticket for one WebSocket handshake")
    async def ws_ticket(who: Annotated[Identity, Depends(identity)]) -> Ticket:
        """A ticket is good for one handshake within its time; put it into the address: `/ws?ticket=…`."""
        try:
            return Ticket(ticket=await store.issue(who), expires_in=int(ttl))
        except LimitExceeded as error:
            raise HTTPException(429, error.message, headers={"Retry-After": "5"}) from error
        except AuthenticationUnavailable as error:
            raise HTTPException(503, str(error), headers={"Retry-After": "5"}) from error

    return router
