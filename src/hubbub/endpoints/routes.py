"""The HTTP routes that come with `hub.router`: the browser client, and tickets for WebSocket handshakes."""

from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends
from fastapi.responses import FileResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection

from hubbub.authentication.tickets import TicketStore
from hubbub.endpoints.handshake import Doorkeeper
from hubbub.exceptions import LimitExceeded
from hubbub.hub.identity import Identity

BROWSER_CLIENT = Path(__file__).parent / "browser" / "hubbub.js"


class Ticket(BaseModel):
    """A ticket for one WebSocket handshake: ``/ws?ticket=…``."""

    ticket: str
    expires_in: int


def browser_client() -> APIRouter:
    """Serve ``/hubbub.js``."""
    router = APIRouter()

    @router.get("/hubbub.js", include_in_schema=False)
    async def hubbub_js() -> FileResponse:
        return FileResponse(
            BROWSER_CLIENT, media_type="text/javascript", headers={"Cache-Control": "no-cache"}
        )

    return router


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

    return router
