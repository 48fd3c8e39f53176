"""What can be done to a Redis and to the connections with it."""

import asyncio
import contextlib
from collections.abc import Iterable

from redis_servers import RedisServer, soon
from resp import RedisSaid

from hubbub.brokers.redis import RedisBroker

COMMANDS, SUBSCRIPTIONS = "commands", "subscriptions"


async def clients(server: RedisServer, *, use: str = "", node: str = "hubbub-") -> list[str]:
    """Return the ids of the connections that nodes have with a server."""
    found = []
    for line in (await server.cli("CLIENT", "LIST")).splitlines():
        facts = dict(fact.split("=", 1) for fact in line.split())
        if facts["name"].startswith(node) and facts["name"].endswith(use):
            found.append(facts["id"])
    return found


async def kill_clients(servers: Iterable[RedisServer], *, use: str = "", node: str = "hubbub-") -> int:
    """Have servers cut connections of nodes; return how many there were."""
    killed = 0
    for server in servers:
        for client in await clients(server, use=use, node=node):
            with contextlib.suppress(RedisSaid):  # it is gone already
                killed += int(await server.cli("CLIENT", "KILL", "ID", client))
    return killed


async def pause(server: RedisServer, seconds: float) -> None:
    """Let a server not answer for a time; the time is the fault."""
    server.pause()
    try:
        await asyncio.sleep(seconds)
    finally:
        server.resume()


async def well(*brokers: RedisBroker) -> None:
    """Return when none of them has a problem."""

    async def are_well() -> bool:
        return all(broker.problem is None for broker in brokers)

    await soon(are_well, seen=lambda: [broker.problem for broker in brokers])
