"""Namespaces: the policy of every channel whose name begins with theirs."""

from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

from pydantic import BaseModel

from hubbub.exceptions import ConfigurationError, UnknownChannel
from hubbub.hub.broker import Retention
from hubbub.hub.channels import DEFAULT_NAMESPACE, USER_NAMESPACE, Channel, name_problem, parse_channel
from hubbub.hub.events import event_name
from hubbub.hub.identity import Identity

Authorizer = Callable[[Identity, Channel], Awaitable[bool]]
"""Says whether an identity may do something with a channel; may raise a `Refusal` with words of its own."""

Moderator = Callable[[BaseModel, Identity, Channel], Awaitable[BaseModel | None]]
"""Takes what a client published and returns what is published instead, or `None` to refuse."""


class Subscribe(StrEnum):
    """Who may subscribe. A namespace's `authorize` hook is asked as well, after this."""

    ANYONE = "anyone"
    AUTHENTICATED = "authenticated"
    OWNER = "owner"
    """The user whose id stands after the colon."""
    TOKEN = "token"  # noqa: S105 (a policy)
    """Whoever brings a token with the claims ``sub`` (their own id) and ``channel``."""
    HOOK = "hook"
    """The `authorize` hook alone decides, for visitors without a token too."""


class Publish(StrEnum):
    """Which clients may publish; the server always may."""

    NOBODY = "nobody"
    SUBSCRIBER = "subscriber"
    AUTHENTICATED = "authenticated"
    ANYONE = "anyone"
    HOOK = "hook"
    """The `authorize_publish` hook alone decides."""


class Overflow(StrEnum):
    """What becomes of a session that fell behind by more than `overflow_bytes`."""

    CLOSE = "close"
    """Closed with 4008; it comes back with its position and has lost nothing."""
    DROP_OLDEST = "drop_oldest"
    """Told the gap, then given the newest that fit into the bound."""
    CONFLATE = "conflate"
    """Told the gap, then given the newest one only."""


@dataclass(frozen=True, slots=True)
class History:
    """How much of each channel is kept: at most `size` publications, none older than `ttl`."""

    size: int = 500
    ttl: timedelta = timedelta(days=1)


FOUND = 4096
"""Channels whose namespace is remembered; above it all are forgotten, and found again as they are needed."""
NO_HISTORY = History(size=0, ttl=timedelta(0))


@dataclass(slots=True)
class Namespace:
    """The policy of the channels ``name:…``.

    Args:
        name: what stands before the colon; ``default`` serves names without one.
        subscribe: who may subscribe.
        publish: which clients may publish.
        events: the event types clients may publish; empty for any JSON.
        presence: whether members are listed.
        join_leave: whether members are told who comes and goes; needs `presence`.
        history: what is kept.
        recovery: whether a client that returns with a position gets what it missed; needs `history`.
        overflow: what becomes of a session that fell too far behind.
        overflow_bytes: how far that is, in bytes per channel.
        max_message_bytes: the largest `data` of one publication, in bytes of JSON; 0 means no limit.
    """

    name: str
    subscribe: Subscribe = Subscribe.AUTHENTICATED
    publish: Publish = Publish.NOBODY
    events: tuple[type[BaseModel], ...] = ()
    presence: bool = False
    join_leave: bool = True
    history: History = field(default_factory=History)
    recovery: bool = True
    overflow: Overflow = Overflow.CLOSE
    overflow_bytes: int = 262_144
    max_message_bytes: int = 65_536
    authorizer: Authorizer | None = None
    publish_authorizer: Authorizer | None = None
    moderators: dict[str, Moderator] = field(default_factory=dict)
    retention: Retention = field(init=False)
    event_types: dict[str, type[BaseModel]] = field(init=False)

    def __post_init__(self) -> None:
        problem = name_problem(self.name)
        if problem or ":" in self.name:
            raise ConfigurationError(
                f"A namespace's name {problem or 'has a colon'}: {self.name!r}. Choose a word such as 'room'."
            )
        if self.overflow_bytes <= 0:
            raise ConfigurationError(f"Namespace {self.name!r}: overflow_bytes must be positive.")
        if self.max_message_bytes < 0 or self.history.size < 0 or self.history.ttl < timedelta(0):
            raise ConfigurationError(f"Namespace {self.name!r}: a size or time is negative.")
        self.retention = Retention(self.history.size, self.history.ttl.total_seconds())
        self.recovery = self.recovery and self.retention.keeps
        self.event_types = {event_name(event): event for event in self.events}

    @property
    def announces(self) -> bool:
        """Whether joins and leaves are told to the members."""
        return self.presence and self.join_leave

    def check_hooks(self) -> None:
        """Find a policy that asks a hook nobody wrote.

        Raises:
            ConfigurationError: naming the hook that is missing.
        """
        if self.subscribe is Subscribe.HOOK and self.authorizer is None:
            raise ConfigurationError(
                f"Namespace {self.name!r} has subscribe='hook' but no hook: add one with @{self.name}.authorize."
            )
        if self.publish is Publish.HOOK and self.publish_authorizer is None:
            raise ConfigurationError(
                f"Namespace {self.name!r} has publish='hook' but no hook: "
                f"add one with @{self.name}.authorize_publish."
            )


class Namespaces:
    """The namespaces of one hub, by name."""

    __slots__ = ("_by_name", "_found")

    def __init__(self, namespaces: Iterable[Namespace] = ()) -> None:
        self._by_name: dict[str, Namespace] = {}
        self._found: dict[str, tuple[Channel, Namespace]] = {}
        """What `resolve` found lately, for each message asks it again."""
        for namespace in namespaces:
            self.add(namespace)

    def add(self, namespace: Namespace) -> None:
        """Add one, or replace the built-in ``user``.

        Raises:
            ConfigurationError: the name is taken.
        """
        if namespace.name in self._by_name and namespace.name != USER_NAMESPACE:
            raise ConfigurationError(f"The namespace {namespace.name!r} is defined twice.")
        self._by_name[namespace.name] = namespace
        self._found.clear()

    def resolve(self, name: str) -> tuple[Channel, Namespace]:
        """Find the namespace of a channel.

        Raises:
            UnknownChannel: the name is not valid, or no namespace answers to it.
        """
        found = self._found.get(name)
        return self._find(name) if found is None else found

    def _find(self, name: str) -> tuple[Channel, Namespace]:
        channel = parse_channel(name)
        namespace = self._by_name.get(channel.namespace)
        if namespace is None:
            known = ", ".join(f"{known}:…" for known in sorted(self._by_name) if known != DEFAULT_NAMESPACE)
            raise UnknownChannel(f"There is no channel {name!r} here; channels are named {known}.")
        if len(self._found) >= FOUND:  # clients choose the names, so there is a bound
            self._found.clear()
        self._found[name] = channel, namespace
        return channel, namespace

    def __iter__(self) -> Iterator[Namespace]:
        return iter(self._by_name.values())

    def __contains__(self, name: str) -> bool:
        return name in self._by_name
