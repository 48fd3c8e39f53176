"""Tokens that this server signs itself."""

import math
import uuid
from collections.abc import Collection, Mapping
from typing import Any

import jwt

from hubbub.authentication.jwt import MAX_TOKEN_BYTES
from hubbub.authentication.keys import hmac_key
from hubbub.clock import Clock, SystemClock
from hubbub.hub.channels import name_problem

ALGORITHM = "HS256"

_OWN = frozenset({"sub", "exp", "nbf", "iat", "jti", "aud", "scope", "scopes"})


class TokenIssuer:
    """Signs tokens that a `JWTAuthenticator` with the same secret accepts.

    Args:
        secret: the HMAC key, at least 32 bytes; while keys are being changed, the new one.
        clock: what tells the time.

    Raises:
        ConfigurationError: the secret is too short.
    """

    __slots__ = ("_clock", "_jwt", "_key")

    def __init__(self, secret: str | bytes, *, clock: Clock | None = None) -> None:
        self._key = hmac_key(secret, [ALGORITHM])
        self._clock = clock or SystemClock()
        self._jwt = jwt.PyJWT()

    def issue(
        self,
        user_id: str,
        *,
        ttl: float,
        scopes: Collection[str] = frozenset(),
        claims: Mapping[str, Any] | None = None,
        audience: str | None = None,
    ) -> str:
        """Sign a token that speaks for `user_id`, with an id (``jti``) by which it can be revoked.

        Args:
            user_id: who it is for; not empty, at most 255 bytes, no control characters.
            ttl: seconds until it expires, rounded up to a whole second.
            scopes: what it may do on the HTTP API, such as ``admin``; words without spaces.
            claims: more claims, as JSON values. With ``channel`` it is a subscription token, for that
                channel only.
            audience: who is to accept it (``aud``).

        Raises:
            ValueError: an argument makes a token that nobody would accept.
        """
        problem = name_problem(user_id)
        if problem:
            raise ValueError(f"The user id {problem}.")
        if not (math.isfinite(ttl) and ttl > 0):
            raise ValueError(f"The ttl must be a number of seconds above zero, not {ttl}.")
        for scope in scopes:
            if scope.split() != [scope]:
                raise ValueError(f"The scope {scope!r} must be one word.")
        taken = sorted(_OWN.intersection(claims or ()))
        if taken:
            raise ValueError(f"The claims {', '.join(taken)} follow from the other arguments.")
        now = self._clock.time()
        content: dict[str, Any] = {
            **(claims or {}),
            "sub": user_id,
            "iat": int(now),
            "exp": math.ceil(now + ttl),
            "jti": uuid.uuid4().hex,
        }
        if scopes:
            content["scope"] = " ".join(sorted(scopes))
        if audience is not None:
            content["aud"] = audience
        token = self._jwt.encode(content, self._key, ALGORITHM)
        if len(token) > MAX_TOKEN_BYTES:
            raise ValueError(
                f"The token has {len(token)} bytes, and {MAX_TOKEN_BYTES} are accepted: shorten the claims."
            )
        return token
