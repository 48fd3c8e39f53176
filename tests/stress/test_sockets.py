"""Thousands of clients on real sockets under stress: nobody misses anything, gets it twice, or gets what is not theirs.

Seeded and self-checking, as far as real sockets repeat themselves. By hand:

* ``HUBBUB_STRESS_SECONDS`` of load for each case (5 when left out);
* ``HUBBUB_STRESS_CLIENTS`` (1,000 when left out);
* ``HUBBUB_STRESS_SEED`` repeats the chances of a run.
"""

import os
import random
import resource
import time

import pytest
from evening import Evening
from house import Outlet, served
from serving import eventually

SECONDS = float(os.environ.get("HUBBUB_STRESS_SECONDS", "5"))
CLIENTS = int(os.environ.get("HUBBUB_STRESS_CLIENTS", "1000"))
SEED = int(os.environ.get("HUBBUB_STRESS_SEED") or random.SystemRandom().randrange(2**32))


@pytest.mark.parametrize("compression", [False, True], ids=["plain", "deflate"])
@pytest.mark.parametrize("outlet", ["direct", "queued"])
async def test_every_log_is_whole_in_order_and_its_own(outlet: Outlet, compression: bool, tmp_path):
    print(f"HUBBUB_STRESS_SEED={SEED}")
    raise_file_limit()
    with served(outlet, tmp_path, compression=compression) as house:
        serving, evening = house.serving, Evening(house, CLIENTS, SEED)
        try:
            begun = time.monotonic()
            memory = serving.memory()
            await evening.play(SECONDS)
            assert (await serving.get("/readyz")).json()["outlet"] == outlet
            most = serving.memory()
            await evening.leave()

            async def is_empty() -> bool:
                counts = await serving.counts()
                return counts("hubbub_connections") == 0 and counts("hubbub_channels") == 0

            await eventually(is_empty)
            counts = await serving.counts()
            assert counts("hubbub_failures_total") == 0
            assert serving.complaints() == []
        except BaseException as error:
            error.add_note(f"repeat it with HUBBUB_STRESS_SEED={SEED}")
            raise
        print(f"{time.monotonic() - begun:.1f} s, late by {evening.slowest} at most")
        print(f"memory {memory} {most} {serving.memory()} KiB, of that kept {evening.kept() // 1024}")
        print(dict(sorted(evening.counts().items())))
        print(*(line for line in counts.text.splitlines() if line.startswith("hubbub")), sep="; ")


def raise_file_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * CLIENTS + 200
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))


if __name__ == "__main__":
    raise SystemExit(pytest.main([__file__, "-s"]))
