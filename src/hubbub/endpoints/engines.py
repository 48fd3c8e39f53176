"""What a hub stands on: everything in this process, or everything on one Redis."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from hubbub.authentication.tickets import MemoryTickets, TicketStore
from hubbub.brokers.memory import MemoryBroker
from hubbub.brokers.memory_presence import MemoryPresence
from hubbub.clock import Clock
from hubbub.exceptions import ConfigurationError
from hubbub.hub.broker import Broker
from hubbub.hub.presence import PresenceStore

if TYPE_CHECKING:
    from hubbub.brokers.redis import Servers


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
