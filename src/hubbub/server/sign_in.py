"""Signing in with a one-time code, as the links of `hubbub serve` and `hubbub token` carry it."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from hubbub import Hub, Identity, InvalidToken, JWTAuthenticator, TokenExpired, TokenIssuer, UsedOnce
from hubbub.authentication import UsedIds
from hubbub.server.attempts import Attempts, MemoryAttempts

COOKIE = "hubbub_session"


class SignIn(BaseModel):
    """The code of a sign-in link."""

    code: str = Field(min_length=1, max_length=8192)


class AccessToken(BaseModel):
    """An access token, in the form of OAuth2 (RFC 6749 section 5.1)."""

    access_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105 (a word)
    expires_in: int
    user_id: str


class Me(BaseModel):
    """Who a token speaks for."""

    user_id: str
    scopes: list[str]
    expires_at: datetime | None


class Codes:
    """Exchanges one-time codes for access tokens.

    Args:
        reader: checks codes.
        issuer: signs access tokens.
        used: remembers which codes were used; `None` in memory.
        now: tells seconds since 1970 UTC.
    """

    def __init__(
        self,
        reader: JWTAuthenticator,
        issuer: TokenIssuer,
        used: UsedIds | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._reader = reader
        self._issuer = issuer
        self._now = now
        self._used = used or UsedOnce()

    async def exchange(self, code: str) -> AccessToken:
        """Return an access token for the user of a code, with its scopes.

        Raises:
            InvalidToken: the code is not one, is over, or was used; the message is for the person.
            AuthenticationUnavailable: it cannot be found out whether it was used.
        """
        try:
            identity = await self._reader(code)
        except TokenExpired:
            raise InvalidToken("This sign-in link is too old: ask for a new one.") from None
        except InvalidToken:
            raise InvalidToken("This is not a sign-in link of this server: ask for a new one.") from None
        ends = identity.expires_at or 0.0
        if identity.token_id is None or not await self._used.use(identity.token_id, ends):
            raise InvalidToken("This sign-in link was used already: ask for a new one.")
        session = identity.claims.get("session")
        left = session if isinstance(session, int | float) else ends - self._now()
        # Whole seconds, rounded down: the issuer rounds the end up, which is then the code's own.
        ttl = max(int(left), 1)
        token = self._issuer.issue(identity.user_id, ttl=ttl, scopes=identity.scopes)
        return AccessToken(access_token=token, expires_in=ttl, user_id=identity.user_id)


def sign_in_routes(codes: Codes, *, secure: bool, attempts: Attempts | None = None) -> APIRouter:
    """Serve signing in and out, which needs no token.

    Args:
        codes: exchanges codes.
        secure: whether browsers may send the cookie over https only, even where this server sees http.
        attempts: counts what fails; `None` in memory.
    """
    router = APIRouter(tags=["sign-in"])
    counted = attempts or MemoryAttempts()

    @router.post("/sign-in", summary="Exchange the code of a sign-in link")
    async def sign_in(body: SignIn, request: Request, response: Response) -> AccessToken:
        """Once for each code. Browsers get the access token as a cookie too."""
        caller = request.client.host if request.client else ""
        await counted.check(caller)
        try:
            token = await codes.exchange(body.code)
        except InvalidToken as error:
            await counted.failed(caller)
            raise HTTPException(401, str(error)) from error
        response.set_cookie(
            COOKIE,
            token.access_token,
            max_age=token.expires_in,
            path="/",
            httponly=True,
            samesite="strict",
            secure=secure or request.url.scheme == "https",
        )
        response.headers["Cache-Control"] = "no-store"
        return token

    @router.post("/sign-out", status_code=204, summary="Forget the browser's cookie")
    async def sign_out() -> Response:
        """The access token itself is good until it ends."""
        response = Response(status_code=204)
        response.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")
        return response

    return router


def me_routes(hub: Hub) -> APIRouter:
    """Serve who one is."""
    router = APIRouter(tags=["sign-in"])

    @router.get("/me", summary="Who am I?")
    async def me(identity: Annotated[Identity, Depends(hub.identity)]) -> Me:
        """The user and the scopes of the token or cookie."""
        if identity.is_anonymous:
            raise HTTPException(401, "Nobody is signed in.", headers={"WWW-Authenticate": "Bearer"})
        ends = identity.expires_at
        return Me(
            user_id=identity.user_id,
            scopes=sorted(identity.scopes),
            expires_at=None if ends is None else datetime.fromtimestamp(ends, UTC),
        )

    return router
