"""Nodes that are killed at every step of a publication's way: what was committed is in the stream once, and in order.

``HUBBUB_STRESS_KILLS`` says how many are killed on each database (a few dozen when left out), ``HUBBUB_STRESS_SEED`` repeats the
choices of a run.
"""

import os
import random

import pytest
from outbox_deaths import POINTS, deaths
from postgres_servers import postgres_server

KILLS = int(os.environ.get("HUBBUB_STRESS_KILLS", "24"))
SEED = int(os.environ.get("HUBBUB_STRESS_SEED") or random.SystemRandom().randrange(2**32))
CHECKED = 50
"""After how many deaths it is looked at what they left."""


@pytest.fixture(params=["sqlite", "postgresql"])
async def url(request, tmp_path):
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/outbox.db"
        return
    with postgres_server(tmp_path, "fsync=off", "track_commit_timestamp=on") as server:
        await server.start()
        yield await server.new_database()


async def test_whoever_is_killed_each_committed_message_is_one_entry(url, redis):
    print(f"HUBBUB_STRESS_SEED={SEED}")
    dice = random.Random(SEED)
    committed = 0
    async with deaths(url, redis) as nodes:
        for number in range(max(KILLS, len(POINTS))):
            if number < len(POINTS) or dice.random() < 0.7:
                await nodes.die(POINTS[number] if number < len(POINTS) else dice.choice(POINTS), dice)
            else:
                await nodes.die_at_any_moment(dice)
            if number % CHECKED == CHECKED - 1:
                committed = await nodes.check()
        assert await nodes.check() >= max(committed, 100)
        assert [point for point in POINTS if not nodes.killed[point]] == [], "nobody was killed there"
        print(f"{sum(nodes.killed.values())} were killed; {await nodes.check()} messages")
