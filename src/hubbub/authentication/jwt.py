"""JSON Web Tokens as credentials: signed with a secret of this server, or by an identity provider."""

from collections.abc import Collection
from types import TracebackType
from typing import Any, Self

import jwt
import msgspec
from jwt.algorithms import AllowedPublicKeys

from hubbub.authentication.claims import ClaimRules
from hubbub.authentication.jwks import JWKSet
from hubbub.authentication.keys import LEAST_SECRET_BYTES, PUBLIC_KEY_ALGORITHMS, hmac_key
from hubbub.authentication.signatures import verifier
from hubbub.clock import Clock, SystemClock
from hubbub.exceptions import ConfigurationError, InvalidToken
from hubbub.hub.identity import Identity

MAX_TOKEN_BYTES = 8192


class JWTAuthenticator:
    """Checks a JSON Web Token and returns the identity it speaks for.

    Call it with the token, or hand it to ``Hub(authenticate=...)``. It is an async context manager, because
    a `JWKSet` holds connections: the hub enters it with its lifespan; with a secret there is nothing to enter.

    Every token needs ``sub`` (at most 255 bytes, no control characters) and ``exp``; ``nbf`` and ``iat`` are
    honoured; a token over 8 KiB is refused unread. The algorithms are fixed here and never taken from the
    token (RFC 8725 section 3.1).

    Args:
        secret: the HMAC key, at least 32 bytes. Either this or `keys`.
        previous: another secret that is accepted too, while keys are being changed.
        keys: an identity provider's keys.
        algorithms: which are accepted; by default HS256 with a secret, else RS256, ES256 and EdDSA.
        issuer: what ``iss`` must be; `None` takes any.
        audience: what ``aud`` must name, or several of which it must name one; where it is `None`, a token
            with ``aud`` is refused.
        leeway: seconds by which clocks may differ.
        clock: what tells the time.

    Raises:
        ConfigurationError: a secret that is too short, a mixture of secret and public keys, or algorithms
            that are unknown, ``none``, or do not fit the keys.
    """

    __slots__ = ("_algorithms", "_clock", "_jws", "_keys", "_rules", "_secrets")

    keeps_own_time = True
    """It waits for nothing but a provider's keys, which have a timeout of their own: see `Injector.prepare`."""

    def __init__(
        self,
        secret: str | bytes | None = None,
        *,
        previous: str | bytes | None = None,
        keys: JWKSet | None = None,
        algorithms: Collection[str] | None = None,
        issuer: str | None = None,
        audience: str | Collection[str] | None = None,
        leeway: float = 30.0,
        clock: Clock | None = None,
    ) -> None:
        if (secret is None) == (keys is None):
            raise ConfigurationError(
                "A JWTAuthenticator takes either a secret or keys=JWKSet(url), and not both."
            )
        if secret is None and previous is not None:
            raise ConfigurationError("A previous secret means nothing without a secret.")
        if isinstance(audience, str):
            audience = [audience]
        if issuer == "" or (audience is not None and not (audience and all(audience))):
            raise ConfigurationError("An issuer or audience that is empty would match nothing: leave it out.")
        if not 0 <= leeway < float("inf"):
            raise ConfigurationError(f"The leeway must be a number of seconds, not {leeway}.")
        self._algorithms = _fixed(algorithms, public=keys is not None)
        self._keys = keys
        self._secrets: list[bytes] = []
        if secret is not None:
            self._secrets.append(hmac_key(secret, self._algorithms))
        if previous is not None:
            self._secrets.append(hmac_key(previous, self._algorithms, "The previous secret"))
        self._rules = ClaimRules(issuer, frozenset(audience or ()), leeway)
        self._clock = clock or SystemClock()
        self._jws = verifier(self._algorithms)

    async def __aenter__(self) -> Self:
        if self._keys is not None:
            await self._keys.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._keys is not None:
            await self._keys.__aexit__(kind, error, traceback)

    async def __call__(self, token: str) -> Identity:
        """Return the identity that a token speaks for.

        A token with the claim ``channel`` is one for that channel: see `for_one_channel`.

        Raises:
            TokenExpired: its ``exp`` is over, and the leeway with it.
            InvalidToken: anything else is wrong with it; the message says what, and repeats nothing of it.
            AuthenticationUnavailable: the provider's keys cannot be had, so the token may well be good.
        """
        if not token:
            raise InvalidToken("The token is empty")
        if len(token) > MAX_TOKEN_BYTES:
            raise InvalidToken(f"The token is longer than {MAX_TOKEN_BYTES} bytes")
        if not token.isascii():
            raise InvalidToken("The token is not a JWT: it has characters that are not ASCII")
        keys = self._secrets if self._keys is None else await self._candidates(self._keys, token)
        payload = self._verify(token, keys)
        return self._rules.identity(_read(payload), self._clock.time())

    async def _candidates(self, keys: JWKSet, token: str) -> list[AllowedPublicKeys]:
        """Return the provider's keys that may have signed a token."""
        try:
            header = self._jws.get_unverified_header(token)
        except jwt.PyJWTError as error:
            raise self._invalid(error) from None
        algorithm = header.get("alg")
        # Before the key is looked up: a token that cannot be right must not cost a request to the provider.
        if not isinstance(algorithm, str) or algorithm not in self._algorithms:
            raise self._invalid(jwt.InvalidAlgorithmError())
        return [await keys.find(header.get("kid"), algorithm)]

    def _verify(self, token: str, keys: list[bytes] | list[AllowedPublicKeys]) -> bytes:
        problem: jwt.PyJWTError | None = None
        for key in keys:
            try:
                content = self._jws.decode_complete(token, key, algorithms=self._algorithms)
            except jwt.PyJWTError as error:
                problem = error
            else:
                payload: bytes = content["payload"]
                return payload
        raise self._invalid(problem)

    def _invalid(self, error: jwt.PyJWTError | None) -> InvalidToken:
        """Say in our words what PyJWT found; its own may repeat parts of the token."""
        match error:
            case jwt.InvalidSignatureError():
                return InvalidToken("The token's signature does not match")
            case jwt.InvalidAlgorithmError():
                return InvalidToken(f"The token's algorithm (`alg`) is not {' or '.join(self._algorithms)}")
            case jwt.DecodeError():
                return InvalidToken("The token is not a JWT: three parts in base64url with dots between them")
            case _:
                return InvalidToken("The token's header is not one that can be used here")


def _read(payload: bytes) -> dict[str, Any]:
    try:
        # A sixth of the time of `json`, which also makes the names anew for each token.
        claims = msgspec.json.decode(payload)
    except (ValueError, RecursionError):
        claims = None
    if not isinstance(claims, dict):
        raise InvalidToken("The token's claims are not a JSON object")
    return claims


def _fixed(algorithms: Collection[str] | None, *, public: bool) -> list[str]:
    """Return the algorithms to accept, which must all be for the one kind of key that there is."""
    if algorithms is None:
        return ["RS256", "ES256", "EdDSA"] if public else ["HS256"]
    names = [algorithms] if isinstance(algorithms, str) else list(algorithms)
    fitting = PUBLIC_KEY_ALGORITHMS if public else LEAST_SECRET_BYTES.keys()
    wrong = [name for name in names if name not in fitting]
    if wrong or not names:
        kind = "a provider's keys (JWKS)" if public else "a secret"
        raise ConfigurationError(
            f"The algorithms for {kind} must be some of {', '.join(sorted(fitting))}; "
            f"found {', '.join(map(repr, wrong)) or 'none at all'}."
        )
    return names
