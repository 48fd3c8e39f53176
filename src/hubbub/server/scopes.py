"""Who may use the server's part of the API: everybody who is signed in, programs, administrators."""

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException

from hubbub import Forbidden, Hub, Identity

SERVER_SCOPES = frozenset({"server", "admin"})


def bearer() -> HTTPBearer:
    """Describe the credential to the API document; the hub's own dependency checks it."""
    return HTTPBearer(auto_error=False, description="An access token: `hubbub token --user ID`.")


def signed_in(hub: Hub) -> Callable[..., Awaitable[Identity]]:
    """Make a dependency that lets everybody but visitors pass."""

    async def somebody(identity: Annotated[Identity, Depends(hub.identity)]) -> Identity:
        if identity.is_anonymous:
            raise HTTPException(401, "Nobody is signed in.", headers={"WWW-Authenticate": "Bearer"})
        return identity

    return somebody


def administrator(hub: Hub) -> Callable[..., Awaitable[None]]:
    """Make a dependency that lets administrators pass."""

    async def check(identity: Annotated[Identity, Depends(hub.identity)]) -> None:
        if not identity.is_admin:
            raise Forbidden("This needs a token with the scope `admin`.")

    return check


def trusted(hub: Hub) -> Callable[..., Awaitable[None]]:
    """Make a dependency that lets programs and administrators pass."""

    async def check(identity: Annotated[Identity, Depends(hub.identity)]) -> None:
        if not identity.scopes & SERVER_SCOPES:
            raise Forbidden("This needs a token with the scope `server` or `admin`.")

    return check
