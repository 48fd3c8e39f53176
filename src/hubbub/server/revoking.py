"""Revoking over HTTP, for programs: users, connections and tokens."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Body, Depends
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from hubbub import Hub, Revocation
from hubbub.server.nodes import time
from hubbub.server.scopes import trusted


class Term(BaseModel):
    """For how long."""

    model_config = ConfigDict(extra="forbid")

    until: AwareDatetime | None = Field(
        default=None,
        description="When it may be forgotten, because everything it is about has ended. Without it, after 30 days.",
    )

    @property
    def seconds(self) -> float | None:
        """The end, in seconds since 1970 UTC."""
        return None if self.until is None else self.until.timestamp()


class Token(Term):
    """A token, by its id."""

    token_id: str = Field(min_length=1, max_length=1024, description="The token's `jti`.")


class Revoked(BaseModel):
    """What holds from now on, on every node."""

    id: str
    at: datetime
    until: datetime


NO_TERM = Term()
Until = Annotated[Term, Body()]


def shown(revocation: Revocation) -> Revoked:
    """Show a revocation."""
    return Revoked(id=revocation.id, at=time(revocation.at), until=time(revocation.until))


def revoking_routes(hub: Hub) -> APIRouter:
    """Serve revoking to programs with the scope `server` or `admin`."""
    router = APIRouter(tags=["revoking"], dependencies=[Depends(trusted(hub))])

    @router.post("/users/{user_id:path}/revoke", summary="Revoke everything that a user has")
    async def user(user_id: str, term: Until = NO_TERM) -> Revoked:
        """Closes their connections with 4010, and refuses tokens that were issued before now, or nobody knows when. A
        token of later is good. Nodes that are away now are held to it when they are back."""
        return shown(await hub.revoke(user_id=user_id, until=term.seconds))

    @router.post("/sessions/{session_id}/revoke", summary="Revoke a connection and its token")
    async def session(session_id: str, term: Until = NO_TERM) -> Revoked:
        """Closes it with 4010; where its token has an id, that is revoked too."""
        return shown(await hub.revoke(session_id=session_id, until=term.seconds))

    @router.post("/tokens/revoke", summary="Revoke a token by its id")
    async def token(token: Token) -> Revoked:
        """Closes the connections that came with it with 4010, and refuses it from now on."""
        return shown(await hub.revoke(token_id=token.token_id, until=token.seconds))

    return router
