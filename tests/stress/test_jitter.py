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
from journey import Journey, Node, settings
from plain_traveller import PlainTraveller
from ports import steady_port
from press import Outcome, OverHttp, http_client
from redis_servers import RedisServer, redis_server

CLIENTS = int(os.environ.get("HUBBUB_JITTER_CLIENTS", "300"))
SECONDS = float(os.environ.get("HUBBUB_JITTER_SECONDS", "25"))
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
    assert 50 < outcome.percentage < 99, outcome


async def run(folder: Path, clients: int, seconds: float, *, forgetful: bool = False) -> Outcome:
    async with AsyncExitStack() as stack:
        redis = await stack.enter_async_context(redis_server(folder, appendonly="always"))
        nodes = [Node(folder / name, steady_port(), **settings(redis)) for name in ("one", "two")]
        for node in nodes:
            await stack.enter_async_context(node)
        ports = [node.port for node in nodes]
        client = await stack.enter_async_context(http_client())
        journey = Journey(
            partial(PlainTraveller, forgetful=forgetful),
            OverHttp(client, ports),
            ports,
            clients,
            seconds,
            SEED,
        )
        outcome = await journey.take(
            (0.35, nodes[1].kill_and_start),
            (0.6, redis.restart),
            (0.8, partial(cut_subscriptions, redis)),
            is_settled=journey.is_up_to_date,
        )
        counts = journey.counts()
        print(outcome)
        print(dict(sorted(counts.items())))
        assert counts["absences"] >= clients
        assert forgetful or counts["recovered messages"] > 0
        for node in nodes:
            assert node.complaints() == []
        return outcome


async def cut_subscriptions(redis: RedisServer) -> None:
    """Have the nodes lose the connections on which they are told of publications."""
    await redis.cli("CLIENT", "KILL", "TYPE", "pubsub")


def raise_file_limit() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    raise SystemExit(pytest.main([__file__, "-s"]))
