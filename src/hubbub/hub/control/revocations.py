"""What was revoked: users, sessions and tokens, each remembered until nothing could use it any more."""

import heapq
import logging
from collections.abc import Iterator
from enum import StrEnum

import msgspec

from hubbub.clock import Clock
from hubbub.exceptions import TokenRevoked
from hubbub.hub.identity import Identity
from hubbub.types import SessionId

logger = logging.getLogger(__name__)

CAPACITY = 100_000
"""Revocations that are remembered at once, at about 550 bytes each."""
NEVER = 0.0


class Subject(StrEnum):
    """What a revocation is about."""

    USER = "user"
    """A user: every token that was issued to them before."""
    SESSION = "session"
    """One connection."""
    TOKEN = "token"  # noqa: S105 (a word)
    """The token with this id (``jti``)."""


class Revocation(msgspec.Struct, frozen=True, gc=False):
    """One thing that is worth nothing any more.

    Args:
        id: its own.
        subject: what kind of thing.
        value: the user's, session's or token's id.
        at: when it was revoked, in seconds since 1970 UTC. A user's tokens that were issued later are good.
        until: when it may be forgotten, because nothing could use the thing any more.
    """

    id: str
    subject: Subject
    value: str
    at: float
    until: float

    def outdoes(self, other: "Revocation") -> bool:
        """Whether everything that the other one revokes, of the same thing, is revoked by this one too."""
        return self.at >= other.at and self.until >= other.until


class Revocations:
    """The revocations that one node knows.

    Args:
        clock: what time it is.
        capacity: how many to remember. Above it the one that would be forgotten next goes early, and the log says so.
    """

    def __init__(self, clock: Clock, capacity: int = CAPACITY) -> None:
        self._clock = clock
        self._capacity = capacity
        self._by_thing: dict[tuple[Subject, str], tuple[Revocation, ...]] = {}
        self._logged_at: dict[str, float] = {}
        """Of each by its id, when it was last seen in the log."""
        self._ends: list[tuple[float, str, Revocation]] = []
        self._warned = False

    def add(self, revocation: Revocation, logged_at: float = NEVER) -> bool:
        """Remember one.

        Args:
            revocation: what was revoked.
            logged_at: when the log of the cluster took it; later ones count.

        Returns:
            Whether it revokes anything that was not revoked before.
        """
        self._forget()
        if revocation.until <= self._clock.time():
            return False
        if revocation.id in self._logged_at:
            self._logged_at[revocation.id] = max(logged_at, self._logged_at[revocation.id])
            return False
        thing = revocation.subject, revocation.value
        known = self._by_thing.get(thing, ())
        if any(other.outdoes(revocation) for other in known):
            return False
        for other in known:
            if revocation.outdoes(other):
                del self._logged_at[other.id]
        kept = tuple(other for other in known if other.id in self._logged_at)
        self._by_thing[thing] = (*kept, revocation)
        self._logged_at[revocation.id] = logged_at
        heapq.heappush(self._ends, (revocation.until, revocation.id, revocation))
        self._make_room()
        return True

    def check(self, identity: Identity) -> None:
        """Hold a credential's identity against what was revoked.

        Raises:
            TokenRevoked: its user was revoked after it was issued (or nobody knows when that was), or its token was.
        """
        if self.covers(identity):
            raise TokenRevoked("The token was revoked.")

    def covers(self, identity: Identity, session_id: SessionId | None = None) -> bool:
        """Whether an identity, or the session it has, was revoked."""
        if not self._by_thing:
            return False
        self._forget()
        known = self._by_thing
        if identity.token_id is not None and (Subject.TOKEN, identity.token_id) in known:
            return True
        if session_id is not None and (Subject.SESSION, session_id) in known:
            return True
        of_user = known.get((Subject.USER, identity.user_id), ())
        issued_at = identity.issued_at
        return any(issued_at is None or issued_at < revocation.at for revocation in of_user)

    def forget_the_log(self) -> None:
        """Take none of them for logged any more: the log may have been lost."""
        self._logged_at = dict.fromkeys(self._logged_at, NEVER)

    def logged_before(self, moment: float) -> Iterator[Revocation]:
        """Return those that the log took last before this moment, or never."""
        self._forget()
        for known in tuple(self._by_thing.values()):
            for revocation in known:
                if self._logged_at.get(revocation.id, moment) < moment:
                    yield revocation

    @property
    def is_full(self) -> bool:
        """Whether one more would push one out."""
        self._forget()
        return len(self._logged_at) >= self._capacity

    def __len__(self) -> int:
        self._forget()
        return len(self._logged_at)

    def _forget(self) -> None:
        now = self._clock.time()
        while self._ends and self._ends[0][0] <= now:
            self._drop(heapq.heappop(self._ends)[2])

    def _make_room(self) -> None:
        while len(self._logged_at) > self._capacity:
            if not self._warned:
                self._warned = True
                logger.warning(
                    "%d revocations are known, which is the bound: those that end first are forgotten before their "
                    "time. Revoke users rather than their tokens one by one, and say until= when tokens end.",
                    self._capacity,
                )
            self._drop(heapq.heappop(self._ends)[2])

    def _drop(self, revocation: Revocation) -> None:
        if self._logged_at.pop(revocation.id, None) is None:
            return  # a later one took its place
        thing = revocation.subject, revocation.value
        left = tuple(other for other in self._by_thing[thing] if other.id != revocation.id)
        if left:
            self._by_thing[thing] = left
        else:
            del self._by_thing[thing]
