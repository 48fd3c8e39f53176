"""What the processes of one system share, where the settings name a Redis: the parts that must not be in one process's memory."""

import asyncio
from dataclasses import dataclass

from hubbub.authentication.tickets import TicketStore, UsedIds
from hubbub.endpoints.engines import redis_servers
from hubbub.hub.broker import Broker
from hubbub.hub.presence import PresenceStore
from hubbub.server.attempts import Attempts
from hubbub.server.settings import Settings


@dataclass(frozen=True, slots=True)
class Shared:
    """The parts; `None` each for one of this process alone.

    Args:
        broker: carries publications.
        presence: keeps leases.
        tickets: keeps tickets for handshakes.
        used: remembers which sign-in codes were used.
        attempts: counts failed attempts to sign in.
    """

    broker: Broker | None = None
    presence: PresenceStore | None = None
    tickets: TicketStore | None = None
    used: UsedIds | None = None
    attempts: Attempts | None = None


def reach_shared(settings: Settings) -> None:
    """Reach what the settings name, as a node that starts does, and let it go.

    Raises:
        ConfigurationError: it cannot be reached, or refuses; the message says why.
    """
    broker = choose_shared(settings).broker
    if broker is not None:
        asyncio.run(_reach(broker))


async def _reach(broker: Broker) -> None:
    async with broker:
        pass


def choose_shared(settings: Settings) -> Shared:
    """Make what the settings ask for.

    Raises:
        ConfigurationError: the address is none, or Redis's client is not installed.
    """
    if settings.redis_url is None:
        return Shared()
    servers = redis_servers(settings.redis_url.get_secret_value())
    # Only here: without Redis its client need not be installed.
    from hubbub.brokers.redis import RedisBroker, RedisPresence  # noqa: PLC0415
    from hubbub.endpoints.redis_credentials import RedisTickets, RedisUsedOnce  # noqa: PLC0415
    from hubbub.server.redis_attempts import RedisAttempts  # noqa: PLC0415

    return Shared(
        RedisBroker(servers),
        RedisPresence(servers),
        RedisTickets(servers),
        RedisUsedOnce(servers),
        RedisAttempts(servers),
    )
