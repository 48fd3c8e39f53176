"""A Redis Cluster of three, whose slots can be moved."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from redis_servers import TESTED, RedisServer, soon, started
from resp import RedisSaid

SLOTS = 16384
PRIMARIES = 3
NODE_TIMEOUT = 2000


class Cluster:
    """Its nodes: the first three began as primaries, each of the others as the replica of one of them, in order."""

    def __init__(self, nodes: list[RedisServer]) -> None:
        self.all = nodes
        self.nodes = nodes[:PRIMARIES]
        self.replicas = nodes[PRIMARIES:]

    @property
    def url(self) -> str:
        return f"redis+cluster://{','.join(f'127.0.0.1:{node.port}' for node in self.nodes)}/0"

    async def create(self) -> None:
        """Share the slots out and make the nodes acquainted; return when the cluster is whole."""
        for at, node in enumerate(self.nodes):
            first, last = SLOTS * at // PRIMARIES, SLOTS * (at + 1) // PRIMARIES - 1
            await node.cli("CLUSTER", "ADDSLOTSRANGE", first, last)
        for at, node in enumerate(self.all, start=1):
            await node.cli("CLUSTER", "SET-CONFIG-EPOCH", at)
            for other in self.all[:at]:
                await node.cli("CLUSTER", "MEET", *other.address)
        for at, replica in enumerate(self.replicas):
            primary = self.nodes[at % PRIMARIES]
            await soon(lambda replica=replica, primary=primary: attach(replica, primary))
            await replica.catch_up(primary)
        await self.become_whole()

    async def become_whole(self) -> None:
        """Return when all nodes that run are connected and agree who serves each slot, which is one of them."""
        await soon(self._is_whole, seen=lambda: [node.said[-2000:] for node in self.all])

    async def _is_whole(self) -> bool:
        running = [node for node in self.all if node.is_alive]
        states = await asyncio.gather(*(node.facts("CLUSTER", "INFO") for node in running))
        maps = await asyncio.gather(*(owners(node) for node in running))
        return (
            all(each["cluster_state"] == "ok" and each["cluster_slots_ok"] == str(SLOTS) for each in states)
            and all(each == maps[0] for each in maps)
            and {port for _, _, port in maps[0]} <= {node.port for node in running}
            and all([await are_connected(node, running) for node in running])
        )

    async def slot(self, key: str) -> int:
        """Return the slot of a key or a channel."""
        return int(await self.nodes[0].cli("CLUSTER", "KEYSLOT", key))

    async def owner(self, slot: int) -> RedisServer:
        """Return the node that serves a slot, as the first that runs sees it."""
        asked = next(node for node in self.all if node.is_alive)
        for first, last, port in await owners(asked):
            if first <= slot <= last:
                return next(node for node in self.all if node.port == port)
        raise LookupError(f"nobody serves slot {slot}")

    @asynccontextmanager
    async def moving(self, slot: int, to: RedisServer) -> AsyncIterator[RedisServer]:
        """Have a slot on its way from its owner, which is returned, while the block runs; complete that when it is left.

        Meanwhile the owner answers ASK for keys that it has not got.
        """
        source = await self.owner(slot)
        here, there = await source.cli("CLUSTER", "MYID"), await to.cli("CLUSTER", "MYID")
        assert source is not to
        await to.cli("CLUSTER", "SETSLOT", slot, "IMPORTING", here)
        await source.cli("CLUSTER", "SETSLOT", slot, "MIGRATING", there)
        yield source
        while keys := (await source.cli("CLUSTER", "GETKEYSINSLOT", slot, 100)).splitlines():
            await source.cli("MIGRATE", *to.address, "", 0, 5000, "KEYS", *keys)
        others = [node for node in self.all if node.is_alive and node not in (source, to)]
        for node in (to, source, *others):
            if (await node.facts("INFO", "replication"))["role"] == "master":
                await node.cli("CLUSTER", "SETSLOT", slot, "NODE", there)
        await self.become_whole()

    async def move_slot(self, slot: int, to: RedisServer) -> None:
        """Move a slot and its keys; return when all nodes know. Whoever asks the old owner is told MOVED."""
        async with self.moving(slot, to):
            pass


async def attach(replica: RedisServer, primary: RedisServer) -> bool:
    """Make one the other's replica; return whether it knew the other already."""
    try:
        await replica.cli("CLUSTER", "REPLICATE", await primary.cli("CLUSTER", "MYID"))
    except RedisSaid as error:
        if "Unknown node" not in str(error):
            raise
        return False
    return True


async def owners(node: RedisServer) -> list[tuple[int, int, int]]:
    """Return the first slot, the last and the port of the owner of each range, as a node sees it."""
    found = []
    for line in (await node.cli("CLUSTER", "NODES")).splitlines():
        _, address, flags, *rest = line.split()
        if "master" in flags and "fail" not in flags.split(","):
            port = int(address.partition("@")[0].rpartition(":")[2])
            for slots in rest[5:]:
                if not slots.startswith("["):  # on its way
                    first, _, last = slots.partition("-")
                    found.append((int(first), int(last or first), port))
    return sorted(found)


async def are_connected(node: RedisServer, running: list[RedisServer]) -> bool:
    lines = [line.split() for line in (await node.cli("CLUSTER", "NODES")).splitlines()]
    ports = {
        int(line[1].partition("@")[0].rpartition(":")[2])
        for line in lines
        if line[7] == "connected" and "handshake" not in line[2]
    }
    return ports >= {each.port for each in running}


@asynccontextmanager
async def cluster(folder: Path, *settings: str, replicas: int = 0) -> AsyncIterator[Cluster]:
    """Run a cluster of three primaries until the block is left.

    Args:
        folder: where the nodes make folders of their own.
        settings: further lines of `redis.conf` for all of them.
        replicas: how many each primary has.
    """
    own = [
        "cluster-enabled yes",
        'cluster-config-file "../nodes.conf"',
        f"cluster-node-timeout {NODE_TIMEOUT}",
        'save ""',
    ]
    nodes = [RedisServer(folder, *TESTED, *own, *settings) for _ in range(PRIMARIES * (1 + replicas))]
    async with started(*nodes):
        run = Cluster(nodes)
        await run.create()
        yield run
