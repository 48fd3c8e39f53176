"""Bounds on what one connection, one user and one node may hold. 0 means no limit."""

from dataclasses import dataclass
from enum import StrEnum

from hubbub.clock import Clock
from hubbub.exceptions import ConfigurationError, RateLimited


class ConnectionsPolicy(StrEnum):
    """What a user's further connection does."""

    MANY = "many"
    """It joins the others, up to `connections_per_user`."""
    REPLACE = "replace"
    """It closes the user's old one with 1000 “Replaced by new connection”."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of one node.

    Args:
        connections: sessions on this node.
        connections_per_user: sessions of one user on this node.
        message_bytes: one frame from a client, in bytes.
        subscriptions: channels one session is on, its user's own not counted.
        message_rate: messages a second from one session; as many may come at once.
        connections_policy: what a user's further connection does; a word will do.

    Raises:
        ConfigurationError: a bound is negative, or there is no such policy.
    """

    connections: int = 10_000
    connections_per_user: int = 20
    message_bytes: int = 65_536
    subscriptions: int = 128
    message_rate: float = 50.0
    connections_policy: ConnectionsPolicy = ConnectionsPolicy.MANY

    def __post_init__(self) -> None:
        for name in ("connections", "connections_per_user", "message_bytes", "subscriptions", "message_rate"):
            if getattr(self, name) < 0:
                raise ConfigurationError(f"Limits: {name} is negative; 0 means no limit.")
        try:
            policy = ConnectionsPolicy(self.connections_policy)
        except ValueError:
            words = ", ".join(ConnectionsPolicy)
            raise ConfigurationError(
                f"Limits: connections_policy is one of {words}, not {self.connections_policy!r}."
            ) from None
        object.__setattr__(self, "connections_policy", policy)


@dataclass(frozen=True, slots=True)
class Timing:
    """How long things last, in seconds.

    Args:
        heartbeat: between pings.
        lease: a presence lease without renewal.
        grace: for which a lost connection's user stays present.
        leeway: for which an identity is accepted after it expired.
        drain: that sending everybody away takes at most.
    """

    heartbeat: float = 25.0
    lease: float = 30.0
    grace: float = 5.0
    leeway: float = 30.0
    drain: float = 15.0


class TokenBucket:
    """A rate limit: `rate` a second, and at most `rate` at once after a pause."""

    __slots__ = ("_monotonic", "_rate", "_refilled_at", "_tokens", "refused")

    def __init__(self, rate: float, clock: Clock) -> None:
        self._rate = rate
        self._monotonic = clock.monotonic
        self._tokens = max(rate, 1.0)
        self._refilled_at = clock.monotonic()
        self.refused = 0
        """How many more were refused than taken lately; one over its rate for long cannot reset it by a few."""

    def take(self) -> None:
        """Take one.

        Raises:
            RateLimited: there is none; the message says when there will be.
        """
        rate = self._rate
        if not rate:
            return
        now = self._monotonic()
        tokens = self._tokens + (now - self._refilled_at) * rate
        # Every message passes here, and a call of `min` costs as much as everything else.
        if tokens > rate and tokens > 1.0:
            tokens = max(rate, 1.0)
        self._refilled_at = now
        if tokens < 1.0:
            self._tokens = tokens
            self.refused += 1
            raise RateLimited(
                f"At most {rate:g} messages a second are taken; try again in {(1.0 - tokens) / rate:.2f} s."
            )
        self._tokens = tokens - 1.0
        if self.refused:
            self.refused -= 1
