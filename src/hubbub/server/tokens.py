"""Whose tokens are accepted: the server's own, and an identity provider's where one is configured."""

from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

import jwt

from hubbub import Identity, JWKSet, JWTAuthenticator, TokenIssuer
from hubbub.server.settings import Settings
from hubbub.server.signing_keys import SigningKeys

OWN_ALGORITHM = "HS256"
SIGN_IN = "hubbub:sign-in"
"""The audience of one-time sign-in codes. An access token has none, so neither passes for the other."""


class Authenticator:
    """Reads access tokens; an async context manager, because a provider's keys are fetched.

    Args:
        own: reads the server's own tokens.
        provider: reads an identity provider's; `None` where there is none.
    """

    keeps_own_time = True
    """Fetching keys has a bound of its own, so that a check needs no task around it."""

    def __init__(self, own: JWTAuthenticator, provider: JWTAuthenticator | None = None) -> None:
        self._own = own
        self._provider = provider
        self._stack = AsyncExitStack()

    async def __call__(self, token: str) -> Identity:
        """Return who a token speaks for; errors as in `JWTAuthenticator`.

        The header of a token, which nobody has verified yet, decides only which of the two looks at it. Each
        accepts its own algorithms alone, one kind with a secret, the other with public keys, so that no key is
        ever used as a key of the other kind (RFC 8725 section 3.1).
        """
        if self._provider is None or claimed_algorithm(token) == OWN_ALGORITHM:
            return await self._own(token)
        return await self._provider(token)

    async def __aenter__(self) -> Self:
        for reader in (self._own, self._provider):
            if reader is not None:
                await self._stack.enter_async_context(reader)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stack.aclose()


def authenticator(settings: Settings, keys: SigningKeys) -> Authenticator:
    """Build the reader of access tokens that the settings describe."""
    own = JWTAuthenticator(keys.current, previous=keys.previous, algorithms=[OWN_ALGORITHM])
    if settings.jwks_url is None:
        return Authenticator(own)
    provider = JWTAuthenticator(
        keys=JWKSet(settings.jwks_url),
        algorithms=settings.jwt_algorithms or None,
        issuer=settings.jwt_issuer,
        audience=settings.jwt_audience or None,
    )
    return Authenticator(own, provider)


def code_reader(keys: SigningKeys) -> JWTAuthenticator:
    """Build the reader of one-time sign-in codes."""
    # No leeway: the code comes back to the clock that made it, and `UsedOnce` forgets it at its end.
    return JWTAuthenticator(
        keys.current, previous=keys.previous, algorithms=[OWN_ALGORITHM], audience=SIGN_IN, leeway=0
    )


def claimed_algorithm(token: str) -> object:
    """Return the algorithm that a token claims, unverified; the server's own where it is not a JWT at all."""
    try:
        return jwt.get_unverified_header(token).get("alg")
    except jwt.PyJWTError:
        return OWN_ALGORITHM


def issue_code(
    issuer: TokenIssuer, user_id: str, *, ttl: float, scopes: frozenset[str], session: float | None = None
) -> str:
    """Sign a one-time sign-in code.

    Args:
        issuer: what signs it.
        user_id: who it signs in.
        ttl: seconds in which it can be used.
        scopes: what the access token may do that is given for it.
        session: seconds that access token is good for from its making; `None`: until the code would have ended.
    """
    claims = None if session is None else {"session": session}
    return issuer.issue(user_id, ttl=ttl, scopes=scopes, audience=SIGN_IN, claims=claims)


def sign_in_link(address: str, code: str) -> str:
    """Return the link that opens the console page signed in.

    The code stands in the fragment, which browsers do not send: it reaches no log and no Referer header.
    """
    return f"{address}/#sign-in={code}"
