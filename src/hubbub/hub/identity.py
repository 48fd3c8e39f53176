"""Who a connection or a request speaks for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hubbub.types import ANONYMOUS, UserId

ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Identity:
    """A user as the authenticator knows them; the same value on WebSocket, SSE and HTTP.

    Args:
        user_id: the user; the empty string is an anonymous visitor.
        claims: what else the token said (read only; JSON values).
        expires_at: seconds since 1970 UTC after which this identity ends its session; `None` never.
        scopes: what a token may do on the HTTP API, such as ``admin`` or ``server``.
        token_id: the token's ``jti``, by which it can be revoked.
        issued_at: seconds since 1970 UTC when the token was issued (``iat``). Revoking a user ends what was issued to them
            before; where this is not known, everything.
    """

    user_id: UserId
    claims: Mapping[str, Any] = field(default_factory=dict, hash=False, compare=False)
    expires_at: float | None = None
    scopes: frozenset[str] = frozenset()
    token_id: str | None = None
    issued_at: float | None = None

    @property
    def is_anonymous(self) -> bool:
        """Whether nobody signed in."""
        return self.user_id == ANONYMOUS

    @property
    def is_admin(self) -> bool:
        """Whether the token carries the scope ``admin``."""
        return ADMIN in self.scopes


ANONYMOUS_IDENTITY = Identity(ANONYMOUS)
