"""The routes that come with a hub: WebSocket paths, event streams, the browser client, and tickets for handshakes."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query
from fastapi.responses import FileResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.routing import WebSocketRoute
from starlette.types import Scope

from hubbub.authentication.tickets import TicketStore
from hubbub.dialects.plain import PlainJSON
from hubbub.dialects.plain_pushes import ROOM
from hubbub.endpoints.admission import Admission, AutoJoin
from hubbub.endpoints.handshake import Doorkeeper
from hubbub.endpoints.queued import Writers
from hubbub.endpoints.sse import SSEEndpoint, Wish
from hubbub.endpoints.websocket import Encodings, WebSocketEndpoint
from hubbub.exceptions import AuthenticationUnavailable, LimitExceeded
from hubbub.hub.commands import Subscribe
from hubbub.hub.identity import Identity
from hubbub.hub.node import Node

TOPIC = "topic:"
NO_UPGRADE = "This is the path of a WebSocket. A proxy in front of it has to pass on the headers Upgrade and Connection."
"""For who asks without them (RFC 9110 section 15.5.22)."""
BROWSER_CLIENT = Path(__file__).parent / "browser" / "hubbub.js"


SSE_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The stream. `data` is a message of the plain JSON dialect; `id` is where the client stands.",
        "content": {
            "text/event-stream": {
                "itemSchema": {
                    "type": "object",
                    "required": ["data"],
                    "properties": {
                        "data": {"type": "string", "contentMediaType": "application/json"},
                        "event": {"type": "string"},
                        "id": {"type": "string"},
                        "retry": {"type": "integer", "minimum": 0},
                    },
                }
            }
        },
    },
    204: {"description": "The stream that this client was on is over for good: an `EventSource` stays away"},
    403: {"description": "A channel, or the page's Origin, is refused; no stream begins"},
    404: {"description": "There is no such channel; no stream begins"},
    429: {"description": "The user has as many connections as allowed"},
    503: {"description": "The server is full, or restarts"},
}
"""How the API document describes a stream (OpenAPI 3.2, section 4.14.4)."""


class Ticket(BaseModel):
    """A ticket for one WebSocket handshake: ``/ws?ticket=…``."""

    ticket: str
    expires_in: int


def realtime(
    node: Callable[[], Node], doorkeeper: Doorkeeper, writers: Writers, auth_deadline: float
) -> APIRouter:
    """Serve ``/ws``, ``/ws/{room_id}``, ``/ws/notifications/{topic}``, ``/sse`` and ``/hubbub.js``."""
    router = APIRouter()
    admission, encodings = Admission(doorkeeper, auth_deadline), Encodings(PlainJSON())

    def serve(path: str, join: AutoJoin) -> None:
        endpoint = WebSocketEndpoint(node, admission, encodings, writers, join)
        router.routes.append(WebSocketRoute(path, endpoint, name=f"hubbub {path}"))

    serve("/ws", lambda _: None)
    serve("/ws/notifications/{topic:path}", lambda scope: to_channel(scope, TOPIC, "topic"))
    serve("/ws/{room_id:path}", lambda scope: to_channel(scope, ROOM, "room_id"))

    serve_events(router, SSEEndpoint(node, admission, writers))

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


def serve_events(router: APIRouter, endpoint: SSEEndpoint) -> None:
    """Serve ``GET /sse``."""
    names = Query(description="A channel's full name, such as `room:general`; as many as are wanted")
    tokens = Query(description="A token with the claims `sub` and `channel`, for a channel that asks for one")
    position = Query(
        description="A position, as in `Last-Event-ID`, for who cannot set headers; the header wins"
    )
    header = Header(alias="Last-Event-ID", description="The `id` of the last event that was seen")
    ticket = Query(description="A one-time ticket from `POST /api/v1/ws-ticket`")
    token = Query(description="An access token, where no header can be set")

    @router.get(
        "/sse",
        tags=["realtime"],
        summary="Receive channels as server-sent events",
        response_class=Response,
        responses=SSE_RESPONSES,
    )
    async def sse(
        request: Request,
        channel: Annotated[list[str] | None, names] = None,
        channel_token: Annotated[list[str] | None, tokens] = None,
        last_event_id: Annotated[str | None, position] = None,
        last_event_id_header: Annotated[str | None, header] = None,
        ticket: Annotated[str | None, ticket] = None,
        token: Annotated[str | None, token] = None,
    ) -> Response:
        """What these channels are told from now on, or, with a position, from there; and what is for the user
        themselves and for everybody. Sign in with a bearer token, a ticket, or the session cookie."""
        wanted = tuple(dict.fromkeys(channel or ()))
        wish = Wish(wanted, tuple(channel_token or ()), last_event_id_header or last_event_id or "")
        return await endpoint(request, wish)


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
