"""Credentials that work once, whichever node they come to: tickets and used codes in Redis.

They are here, because they join what neither knows of the other: authentication, and Redis.
"""

import hashlib
import json
import secrets
from collections.abc import Awaitable
from typing import Any

from redis.exceptions import RedisError

from hubbub.brokers.redis import Servers
from hubbub.brokers.redis.errors import NotSent, Unanswered
from hubbub.brokers.redis.scripts import Script
from hubbub.clock import Clock, SystemClock
from hubbub.exceptions import AuthenticationUnavailable, ConfigurationError, InvalidToken, LimitExceeded
from hubbub.hub.identity import Identity
from hubbub.types import UserId

MARGIN = 60.0
"""Seconds for which a used code is remembered beyond its end, because the nodes' clocks may differ."""

COUNT = Script("count")


class RedisTickets:
    """Tickets that any node takes which has the same Redis.

    What stands in Redis is the hash of a ticket and the identity behind it, in plain JSON, for as long as the ticket is good.

    Args:
        servers: the Redis; somebody else enters it, as the broker and the presence store do.
        ttl: seconds for which a ticket is good.
        per_user: how many one user may ask for in such a time, redeemed or not, on all nodes together.
    """

    def __init__(self, servers: Servers, ttl: float = 30.0, per_user: int = 100) -> None:
        if ttl <= 0 or per_user < 1:
            raise ConfigurationError(f"Tickets need a ttl and a bound above zero, not {ttl} and {per_user}.")
        self._servers = servers
        self._ttl = ttl
        self._per_user = per_user

    async def issue(self, identity: Identity) -> str:
        """Return a new ticket: 256 random bits in base64url.

        Raises:
            LimitExceeded: the user has asked for too many.
            AuthenticationUnavailable: Redis cannot be reached.
            TypeError: the identity's claims are no JSON values.
        """
        written = written_identity(identity)
        lasts = int(self._ttl * 1000)
        count, left = await counted(self._servers, f"n:{digest(identity.user_id)}", self._ttl)
        if count > self._per_user:
            raise LimitExceeded(
                f"You asked for {self._per_user} tickets within {self._ttl:g} s, which is the limit: "
                f"try again in {left:.0f} s"
            )
        ticket = secrets.token_urlsafe(32)
        key, slot = self._servers.keys.alone(f"t:{digest(ticket)}")
        await asked(self._servers.ask(slot, "SET", key, written, "PX", lasts))
        return ticket

    async def redeem(self, ticket: str) -> Identity:
        """Return the identity a ticket stands for, once.

        Raises:
            InvalidToken: it is unknown, was redeemed before, or is too old.
            AuthenticationUnavailable: Redis cannot be reached; the ticket may be spent.
        """
        key, slot = self._servers.keys.alone(f"t:{digest(ticket)}")
        written = await asked(self._servers.ask(slot, "GETDEL", key))
        if written is None:
            raise InvalidToken(f"The ticket is unknown, was used before, or is older than {self._ttl:g} s")
        return read_identity(written)


class RedisUsedOnce:
    """Remembers which ids were used on any node that has the same Redis, each until it would have ended anyway.

    A Redis that loses what it had forgets them: see `appendonly` in its configuration.

    Args:
        servers: the Redis; somebody else enters it.
        clock: what tells the time.
    """

    def __init__(self, servers: Servers, clock: Clock | None = None) -> None:
        self._servers = servers
        self._clock = clock or SystemClock()

    async def use(self, id: str, expires_at: float) -> bool:  # noqa: A002
        """Return whether this is the first use of `id`, which ends at `expires_at` (seconds since 1970 UTC).

        Raises:
            AuthenticationUnavailable: Redis cannot be reached; the id may be used up.
        """
        left = expires_at - self._clock.time()
        if left <= 0:
            return False
        key, slot = self._servers.keys.alone(f"o:{digest(id)}")
        lasts = int((left + MARGIN) * 1000)
        return await asked(self._servers.ask(slot, "SET", key, 1, "NX", "PX", lasts)) is not None


async def counted(servers: Servers, name: str, window: float) -> tuple[int, float]:
    """Count one more; return how many there were in this window, and the seconds until it ends."""
    key, slot = servers.keys.alone(name)
    count, left = await asked(servers.run(COUNT, slot, (key,), (int(window * 1000),)))
    return count, max(left, 0) / 1000


async def asked(asking: Awaitable[Any]) -> Any:
    """Wait for Redis's answer.

    Raises:
        AuthenticationUnavailable: there is none.
    """
    try:
        return await asking
    except (NotSent, Unanswered, RedisError) as error:
        raise AuthenticationUnavailable("Credentials cannot be checked at the moment: try again.") from error


def written_identity(identity: Identity) -> str:
    """Return an identity as JSON.

    Raises:
        TypeError: its claims are no JSON values.
    """
    return json.dumps(
        {
            "user_id": identity.user_id,
            "claims": dict(identity.claims),
            "expires_at": identity.expires_at,
            "scopes": sorted(identity.scopes),
            "token_id": identity.token_id,
        }
    )


def read_identity(written: bytes) -> Identity:
    """Return the identity that was written."""
    fields = json.loads(written)
    return Identity(
        UserId(fields["user_id"]),
        claims=fields["claims"],
        expires_at=fields["expires_at"],
        scopes=frozenset(fields["scopes"]),
        token_id=fields["token_id"],
    )


def digest(code: str) -> str:
    """Hash a code, so that what is seen of Redis, as a dump or on the way, shows none that is good."""
    return hashlib.sha256(code.encode(errors="surrogatepass")).hexdigest()
