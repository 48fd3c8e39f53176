"""Credentials that work once: tickets for a handshake, and any other code with an end."""

import hashlib
import heapq
import secrets
from collections import Counter, OrderedDict
from typing import Protocol

from hubbub.clock import Clock, SystemClock
from hubbub.exceptions import ConfigurationError, InvalidToken, LimitExceeded
from hubbub.hub.identity import Identity
from hubbub.types import UserId


class TicketStore(Protocol):
    """Gives out tickets, and takes each back once.

    A ticket stands for an identity in places that are logged or shared, such as a URL: it is of no use to
    whoever finds it later. Where several processes serve, they need a store that they share.
    """

    async def issue(self, identity: Identity) -> str:
        """Return a new ticket for that identity, of letters, digits, ``-`` and ``_``.

        Raises:
            LimitExceeded: too many are open.
            AuthenticationUnavailable: the store cannot be reached.
        """
        ...

    async def redeem(self, ticket: str) -> Identity:
        """Return the identity a ticket stands for, and make it worthless, as one atomic step.

        Raises:
            InvalidToken: it is unknown, was redeemed before, or is too old.
            AuthenticationUnavailable: the store cannot be reached.
        """
        ...


class UsedIds(Protocol):
    """Remembers which ids were used. Where several processes serve, they need one that they share."""

    async def use(self, id: str, expires_at: float) -> bool:  # noqa: A002
        """Return whether this is the first use of `id`, which ends at `expires_at` (seconds since 1970 UTC).

        What has ended is not usable either. Of several who use the same one at a time, one is the first.

        Raises:
            LimitExceeded: as many as can be remembered are in use.
            AuthenticationUnavailable: it cannot be found out.
        """
        ...


class MemoryTickets:
    """Tickets in the memory of one process.

    Args:
        clock: what tells the time.
        ttl: seconds for which a ticket is good.
        capacity: how many may be open at once, at about half a kilobyte each. Above it no more are issued;
            those that are open stay good.
        per_user: how many of them one user may have, so that nobody takes them all.
    """

    __slots__ = ("_capacity", "_clock", "_of_user", "_open", "_per_user", "_ttl")

    def __init__(
        self,
        clock: Clock | None = None,
        ttl: float = 30.0,
        capacity: int = 10_000,
        per_user: int = 100,
    ) -> None:
        if ttl <= 0 or capacity < 1:
            raise ConfigurationError(
                f"Tickets need a ttl and a capacity above zero, not {ttl} and {capacity}."
            )
        self._clock = clock or SystemClock()
        self._ttl = ttl
        self._capacity = capacity
        self._per_user = per_user
        self._of_user: Counter[UserId] = Counter()
        # One ttl for all, so the oldest, which end first, are always in front. An `OrderedDict`, because
        # a dict that is emptied from the front searches through all that it has lost.
        self._open: OrderedDict[bytes, tuple[float, Identity]] = OrderedDict()

    def __len__(self) -> int:
        """Return how many tickets are open."""
        self._forget()
        return len(self._open)

    async def issue(self, identity: Identity) -> str:
        """Return a new ticket: 256 random bits in base64url."""
        self._forget()
        if len(self._open) >= self._capacity:
            oldest, _ = next(iter(self._open.values()))
            wait = max(oldest - self._clock.monotonic(), 0.0)
            raise LimitExceeded(
                f"{self._capacity} tickets are open, which is the limit: one is free in {wait:.0f} s at the latest"
            )
        if self._of_user[identity.user_id] >= self._per_user:
            raise LimitExceeded(
                f"You have {self._per_user} open tickets, which is the limit: each ends after {self._ttl:g} s"
            )
        self._of_user[identity.user_id] += 1
        ticket = secrets.token_urlsafe(32)
        self._open[_digest(ticket)] = self._clock.monotonic() + self._ttl, identity
        return ticket

    async def redeem(self, ticket: str) -> Identity:
        """Return the identity a ticket stands for, once."""
        self._forget()
        # Nothing is awaited, so of two that come at the same time one finds it gone.
        _, identity = self._open.pop(_digest(ticket), (0.0, None))
        if identity is None:
            raise InvalidToken(f"The ticket is unknown, was used before, or is older than {self._ttl:g} s")
        self._closed(identity)
        return identity

    def _forget(self) -> None:
        now = self._clock.monotonic()
        while self._open:
            digest, (ends, identity) = next(iter(self._open.items()))
            if ends > now:
                return
            del self._open[digest]
            self._closed(identity)

    def _closed(self, identity: Identity) -> None:
        self._of_user[identity.user_id] -= 1
        if not self._of_user[identity.user_id]:
            del self._of_user[identity.user_id]


class UsedOnce:
    """Remembers in the memory of one process which ids were used, each until it would have ended anyway.

    Args:
        clock: what tells the time.
        capacity: how many to remember at once. Above it nothing more can be used, because to forget one
            early would let it be used again.
    """

    __slots__ = ("_capacity", "_clock", "_ends", "_used")

    def __init__(self, clock: Clock | None = None, capacity: int = 100_000) -> None:
        self._clock = clock or SystemClock()
        self._capacity = capacity
        self._used: set[bytes] = set()
        self._ends: list[tuple[float, bytes]] = []

    async def use(self, id: str, expires_at: float) -> bool:  # noqa: A002
        """Return whether this is the first use of `id`."""
        now = self._clock.time()
        while self._ends and self._ends[0][0] <= now:
            self._used.discard(heapq.heappop(self._ends)[1])
        digest = _digest(id)
        if digest in self._used or expires_at <= now:
            return False
        if len(self._used) >= self._capacity:
            raise LimitExceeded(
                f"{self._capacity} codes were used lately, which is the limit: try again later"
            )
        self._used.add(digest)
        heapq.heappush(self._ends, (expires_at, digest))
        return True


def _digest(code: str) -> bytes:
    """Hash a code, so that neither a dump of the memory nor the time of a look-up shows one that is good."""
    return hashlib.sha256(code.encode(errors="replace")).digest()
