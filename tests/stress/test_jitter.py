"""Links that die without a word, a node killed, Redis restarted: of what was published, everybody has everything.

Each client is out of reach for 10 to 20 % of the time, in times of its own, and the server is not told. By hand:

* ``HUBBUB_JITTER_CLIENTS`` (300 when left out; 2,000 need ``ulimit -n`` of 20,000);
* ``HUBBUB_JITTER_SECONDS`` of publishing (25);
* ``HUBBUB_JITTER_SEED`` repeats the chances of a run.
"""

import os
import random
import resource
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import pytest
from journey import SETTLING, Journey, complaints, hubbub_node
from plain_traveller import PlainTraveller
from ports import steady_port
from press import Outcome, OverHttp, http_client
from proxy import RedisProxy
from redis_servers import RedisServer, redis_server

CLIENTS = int(os.environ.get("HUBBUB_JITTER_CLIENTS", "300"))
SECONDS = float(os.environ.get("HUBBUB_JITTER_SECONDS", "25"))
FORGETFUL = 2.0
"""Seconds after which what has not come back to those who forget where they stood never does."""
SEED = int(os.environ.get("HUBBUB_JITTER_SEED") or random.SystemRandom().randrange(2**32))


async def test_everybody_gets_everything_once_and_in_order(tmp_path: Path):
    print(f"HUBBUB_JITTER_SEED={SEED}")
    raise_file_limit()
    try:
        outcome = await run(tmp_path, CLIENTS, SECONDS)
    except BaseException as error:
        error.add_note(f"repeat it with HUBBUB_JITTER_SEED={SEED}")
        raise
    assert outcome.is_perfect, f"{outcome}\nHUBBUB_JITTER_SEED={SEED}"


async def test_who_comes_back_without_positions_misses_something(tmp_path: Path):
    """The run above can fail."""
    outcome = await run(tmp_path, 40, 6.0, forgetful=True)
    assert 0 < outcome.percentage < 99, outcome


async def run(folder: Path, clients: int, seconds: float, *, forgetful: bool = False) -> Outcome:
    async with AsyncExitStack() as stack:
        redis = await stack.enter_async_context(redis_server(folder, appendonly="always"))
        network = await stack.enter_async_context(RedisProxy(*redis.address))
        ports = [steady_port(), steady_port()]
        nodes = [
            hubbub_node(folder / "one", ports[0], network.url, announces=False),
            hubbub_node(folder / "two", ports[1], redis.url, announces=False),
        ]
        for node in nodes:
            await stack.enter_async_context(node)
        publish = OverHttp(await stack.enter_async_context(http_client()), ports)
        make = partial(PlainTraveller, forgetful=forgetful)
        journey = Journey(make, publish, ports, clients, seconds, SEED)
        outcome = await journey.take(
            (0.1, partial(go_dead, network)),
            (0.3, partial(lose_one_in_each_room, network, journey)),
            (0.4, nodes[1].kill_and_start),
            (0.65, redis.restart),
            (0.85, partial(cut_subscriptions, redis)),
            settling=FORGETFUL if forgetful else SETTLING,
        )
        counts = journey.counts()
        print(f"{outcome}\nsettled after {journey.settling:.1f} s, clients busy {journey.busy:.0%}")
        print(dict(sorted(counts.items())))
        assert counts["absences"] >= clients
        assert forgetful or counts["recovered messages"] > 0
        for node in nodes:
            assert complaints(node) == []
        return outcome


async def go_dead(network: RedisProxy) -> None:
    """Have the connections between one node and Redis lose everything, and say nothing."""
    network.half_open()


async def lose_one_in_each_room(network: RedisProxy, journey: Journey) -> None:
    """Have one node not be told of one publication in each room."""
    for room in journey.ledger.rooms:
        network.drop_smessage(f"room:{room}".encode())


async def cut_subscriptions(redis: RedisServer) -> None:
    """Have the nodes lose the connections on which they are told of publications."""
    await redis.cli("CLIENT", "KILL", "TYPE", "pubsub")


def raise_file_limit() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    raise SystemExit(pytest.main([__file__, "-s"]))
