"""What the claims of a token must say, and the identity they make (RFC 7519 section 4).

PyJWT verifies the signature; the claims are checked here, because PyJWT reads the system's time itself,
and Hubbub's clock is a collaborator.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from hubbub.exceptions import InvalidToken, TokenExpired
from hubbub.hub.channels import name_problem
from hubbub.hub.identity import Identity
from hubbub.types import UserId

CHANNEL_CLAIM = "channel"
"""Makes a token one for a single channel."""

_LATEST = 253_402_300_799
"""The end of the year 9999: the last second that RFC 3339 can write."""

_FIELDS = frozenset({"sub", "exp", "iat", "jti", "scope", "scopes"})
"""Claims that have a field of their own in `Identity`."""

_NO_SCOPES = frozenset[str]()
_KNOWN_SCOPES = 256
"""Combinations of scopes that are remembered, so that identities with the same ones share one set."""


@dataclass(frozen=True, slots=True)
class ClaimRules:
    """What is asked of every token.

    Args:
        issuer: what ``iss`` must be; `None` takes any.
        audiences: ``aud`` must name one of them; where there are none, a token with ``aud`` is refused,
            because it is meant for somebody else.
        leeway: seconds by which clocks may differ.
    """

    issuer: str | None = None
    audiences: frozenset[str] = frozenset()
    leeway: float = 30.0
    _known: dict[frozenset[str], frozenset[str]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def identity(self, claims: Mapping[str, Any], now: float) -> Identity:
        """Check the claims at `now` (seconds since 1970 UTC), and return who they speak of.

        Raises:
            TokenExpired: ``exp`` is more than the leeway ago.
            InvalidToken: anything else is wrong; the message says what, and repeats nothing of the token.
        """
        expires_at, issued_at = self._check_times(claims, now)
        self._check_issuer(claims)
        self._check_audience(claims)
        token_id = claims.get("jti")
        if token_id is not None and not isinstance(token_id, str):
            raise InvalidToken("The token's `jti` is not a string")
        return Identity(
            user_id=_subject(claims),
            claims={name: value for name, value in claims.items() if name not in _FIELDS},
            expires_at=expires_at,
            scopes=self._scopes(claims),
            token_id=token_id,
            issued_at=issued_at,
        )

    def _scopes(self, claims: Mapping[str, Any]) -> frozenset[str]:
        scopes = _words(claims, "scope")
        others = _words(claims, "scopes")
        if others:
            scopes |= others
        if not scopes:
            return _NO_SCOPES  # an empty set that is made is 216 bytes
        if len(self._known) < _KNOWN_SCOPES:
            return self._known.setdefault(scopes, scopes)
        return self._known.get(scopes, scopes)

    def _check_times(self, claims: Mapping[str, Any], now: float) -> tuple[float, float | None]:
        expires_at = _seconds(claims, "exp")
        if expires_at is None:
            raise InvalidToken("The token has no `exp`")
        if expires_at <= now - self.leeway:
            raise TokenExpired(f"The token expired {now - expires_at:.0f} s ago")
        not_before = _seconds(claims, "nbf")
        if not_before is not None and not_before > now + self.leeway:
            raise InvalidToken(f"The token is not valid yet: its `nbf` is {not_before - now:.0f} s ahead")
        issued_at = _seconds(claims, "iat")
        if issued_at is not None and issued_at > now + self.leeway:
            raise InvalidToken(
                f"The token was issued in the future: its `iat` is {issued_at - now:.0f} s ahead, check the clocks"
            )
        return expires_at, issued_at

    def _check_issuer(self, claims: Mapping[str, Any]) -> None:
        if self.issuer is None:
            return
        issuer = claims.get("iss")
        if issuer is None:
            raise InvalidToken("The token has no `iss`")
        if issuer != self.issuer:
            raise InvalidToken(f"The token's issuer (`iss`) is not {self.issuer}")

    def _check_audience(self, claims: Mapping[str, Any]) -> None:
        audience = claims.get("aud")
        if not self.audiences:
            if audience is not None:
                raise InvalidToken(
                    "The token is for an audience (`aud`), and none is configured here (JWT_AUDIENCE)"
                )
            return
        if audience is None:
            raise InvalidToken("The token has no `aud`")
        # One string or a list of them (RFC 7519 section 4.1.3).
        names = [audience] if isinstance(audience, str) else audience
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise InvalidToken("The token's `aud` is neither a string nor a list of strings")
        if self.audiences.isdisjoint(names):
            raise InvalidToken("The token is for another audience (`aud`)")


def for_one_channel(token: Identity) -> bool:
    """Tell whether a token is a subscription token, which must open no connection and sign no request.

    Otherwise what was lent for one channel would be worth all that its user may do.
    """
    return CHANNEL_CLAIM in token.claims


def _subject(claims: Mapping[str, Any]) -> UserId:
    subject = claims.get("sub")
    if subject is None:
        raise InvalidToken("The token has no `sub`")
    if not isinstance(subject, str):
        raise InvalidToken("The token's `sub` is not a string")
    problem = name_problem(subject)
    if problem:
        raise InvalidToken(f"The token's `sub` {problem}")
    return UserId(subject)


def _seconds(claims: Mapping[str, Any], name: str) -> float | None:
    """Return a NumericDate (RFC 7519 section 2): a number, whole or not, of seconds since 1970."""
    value = claims.get(name)
    if value is None:
        return None
    # NaN and Infinity, which some parsers of JSON let through, would be an `exp` that is never over.
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LATEST:
        raise InvalidToken(f"The token's `{name}` is not a number of seconds since 1970")
    return float(value)


def _words(claims: Mapping[str, Any], name: str) -> frozenset[str]:
    """Return scopes: words separated by spaces (RFC 8693 section 4.2), or a list of them."""
    value: Collection[Any] | None = claims.get(name)
    if value is None:
        return _NO_SCOPES
    if isinstance(value, str):
        return frozenset(value.split())
    if isinstance(value, list) and all(isinstance(word, str) for word in value):
        return frozenset(value)
    raise InvalidToken(f"The token's `{name}` is neither a string nor a list of strings")
