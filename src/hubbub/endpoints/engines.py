"""What a hub stands on: everything in this process, or everything on one Redis."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from hubbub.authentication.tickets import MemoryTickets, TicketStore
from hubbub.brokers.memory import MemoryBroker
from hubbub.brokers.memory_presence import MemoryPresence
from hubbub.clock import Clock
from hubbub.exceptions import ConfigurationError
from hubbub.hub.broker import Broker
from hubbub.hub.presence import PresenceStore
from hubbub.hub.statistics import OutboxStatistics

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from hubbub.brokers.redis import Servers
    from hubbub.database import Database
    from hubbub.database.keeping import Keeping

DatabaseSource: TypeAlias = "Database | AsyncEngine | str"
"""What an application may name as its database."""
Keeper: TypeAlias = "Callable[[Broker, Clock, OutboxStatistics], Keeping]"
"""Makes the part of a running hub that is in a database."""


@dataclass(frozen=True, slots=True)
class Engines:
    """The parts of a hub that may be shared with other nodes.

    Args:
        broker: returns what carries publications: a new one for each run of a hub where it keeps them in memory.
        presence: returns what keeps leases.
        tickets: keeps tickets for handshakes.
    """

    broker: Callable[[], Broker]
    presence: Callable[[], PresenceStore]
    tickets: TicketStore


def choose_engines(
    broker: Broker | str | None, presence: PresenceStore | None, tickets: TicketStore | None, clock: Clock
) -> Engines:
    """Take what an application named, and for the rest what goes with it.

    Args:
        broker: one, the address of a Redis for everything, or `None` for this process.
        presence: one, or `None`.
        tickets: some, or `None`.
        clock: what time it is in this process.

    Raises:
        ConfigurationError: the address is none, or Redis's client is not installed.
    """
    if isinstance(broker, str):
        chosen = _on_redis(broker)
    else:
        chosen = Engines(partial(MemoryBroker, clock), partial(MemoryPresence, clock), MemoryTickets(clock))
        if broker is not None:
            chosen = replace(chosen, broker=lambda: broker)
    if presence is not None:
        chosen = replace(chosen, presence=lambda: presence)
    # A store may be empty, and false.
    return chosen if tickets is None else replace(chosen, tickets=tickets)


def choose_keeper(database: "DatabaseSource | None") -> "Keeper | None":
    """Find out what an application named as its database; nothing is connected yet.

    Raises:
        ConfigurationError: there can be no such database, or SQLAlchemy is not installed.
    """
    if database is None:
        return None
    try:
        # Only here: `pip install hubbub` brings no SQLAlchemy.
        from hubbub.database import Address  # noqa: PLC0415
        from hubbub.database.keeping import Keeping  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"{error.name} is missing, which a database needs: pip install 'hubbub[database]'."
        ) from error
    if isinstance(database, str):
        Address.parse(database)
    return partial(Keeping, database)


def redis_servers(url: str) -> "Servers":
    """Find out what an address says; nothing is connected yet.

    Raises:
        ConfigurationError: it is none, or Redis's client is not installed.
    """
    try:
        # Only here: `pip install hubbub` brings no Redis client.
        from hubbub.brokers.redis import Address, Servers  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"{error.name} is missing, which a Redis broker needs: pip install 'hubbub[redis]'."
        ) from error
    return Servers(Address.parse(url))


def _on_redis(url: str) -> Engines:
    servers = redis_servers(url)
    from hubbub.brokers.redis import RedisBroker, RedisPresence  # noqa: PLC0415
    from hubbub.endpoints.redis_credentials import RedisTickets  # noqa: PLC0415

    broker, presence = RedisBroker(servers), RedisPresence(servers)
    return Engines(lambda: broker, lambda: presence, RedisTickets(servers))
