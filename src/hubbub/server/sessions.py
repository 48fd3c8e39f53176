"""One's own connections over HTTP: which devices are connected, and ending one."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from hubbub import Connected, Hub, Identity, LimitExceeded, Listing
from hubbub.server.nodes import Cursor, Limit, NextCursor, time
from hubbub.server.scopes import signed_in


class Device(BaseModel):
    """One of the user's own connections."""

    id: str
    since: datetime
    transport: str
    channels: int = Field(description="On how many channels it is.")
    current: bool = Field(description="Whether it came with the token of this request.")


class Devices(BaseModel):
    """One page of the user's own connections, those that were opened first before the others."""

    sessions: list[Device]
    next_cursor: NextCursor
    complete: bool = Field(description="Whether every node answered: where not, there may be more.")


def session_routes(hub: Hub) -> APIRouter:
    """Serve their own connections to those who are signed in."""
    router = APIRouter(prefix="/me/sessions", tags=["sessions"])
    asking: set[str] = set()

    async def ask(identity: Identity, **options: Any) -> Listing[Connected]:
        """Ask every node, for one user once at a time."""
        if identity.user_id in asking:
            raise LimitExceeded("You are asking for this already; wait for the answer.")
        asking.add(identity.user_id)
        try:
            return await hub.cluster.connections(user_id=identity.user_id, for_user=True, **options)
        finally:
            asking.discard(identity.user_id)

    somebody = signed_in(hub)

    @router.get("", summary="List the devices on which I am connected")
    async def sessions(
        identity: Annotated[Identity, Depends(somebody)], limit: Limit = 100, cursor: Cursor = None
    ) -> Devices:
        """On all nodes."""
        listing = await ask(identity, limit=limit, after=cursor)
        own = identity.token_id
        return Devices(
            sessions=[
                Device(
                    id=row.session_id,
                    since=time(row.since),
                    transport=row.transport,
                    channels=row.channels,
                    current=own is not None and row.token_id == own,
                )
                for row in listing.rows
            ],
            next_cursor=listing.cursor,
            complete=listing.is_whole,
        )

    @router.delete("/{session_id}", status_code=204, summary="End one of my connections")
    async def end(session_id: str, identity: Annotated[Identity, Depends(somebody)]) -> Response:
        """It is closed with 4010, wherever it is, and its token is worth nothing any more. Connections that share that
        token, such as tabs of one browser, end with it; so does this request's, where it is the same."""
        listing = await ask(identity, session_id=session_id, limit=1)
        if not listing.rows:
            if not listing.is_whole:
                raise HTTPException(503, "Not every node answered; try again.", headers={"Retry-After": "1"})
            raise HTTPException(404, "You have no such connection.")
        await hub.revoke(session_id=session_id)
        return Response(status_code=204)

    return router
