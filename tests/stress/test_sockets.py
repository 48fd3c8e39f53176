"""Thousands of clients on real sockets: nobody misses anything, gets it twice, or gets what is not theirs.

Seeded and self-checking; real sockets repeat themselves as far as they do. Each case is a server process of its own and
one process of clients, whose frames go through `websockets`. By hand:

* ``HUBBUB_STRESS_SECONDS`` of load for each case (5 when left out);
* ``HUBBUB_STRESS_CLIENTS`` (1,000 when left out);
* ``HUBBUB_STRESS_SEED`` repeats the chances of a run.
"""

import os
import random
import resource

import pytest
from evening import Evening
from house import House, Outlet, served
from serving import eventually

SECONDS = float(os.environ.get("HUBBUB_STRESS_SECONDS", "5"))
CLIENTS = int(os.environ.get("HUBBUB_STRESS_CLIENTS", "1000"))
SEED = int(os.environ.get("HUBBUB_STRESS_SEED") or random.SystemRandom().randrange(2**32))

ALLOWANCE = 24 * 1024
"""KiB that a process may hold more than at its start, beside what it keeps."""


@pytest.mark.parametrize("compression", [False, True], ids=["plain", "deflate"])
@pytest.mark.parametrize("outlet", ["direct", "queued"])
async def test_every_log_is_whole_in_order_and_its_own(outlet: Outlet, compression: bool, tmp_path):
    print(f"HUBBUB_STRESS_SEED={SEED}")
    raise_file_limit()
    with served(outlet, tmp_path, compression=compression) as house:
        evening = Evening(house, CLIENTS, SEED)
        before = house.serving.memory()
        try:
            await evening.play(SECONDS)
            assert (await house.serving.get("/readyz")).json()["outlet"] == outlet
            await evening.leave()
            await check_end(house, evening, before)
        except BaseException as error:
            error.add_note(f"repeat it with HUBBUB_STRESS_SEED={SEED}")
            raise
        check_coverage(evening, compression)


async def check_end(house: House, evening: Evening, before: int) -> None:
    """Nothing is left of anybody, and the log has no complaints."""
    serving = house.serving

    async def is_empty() -> bool:
        counts = await serving.counts()
        return counts("hubbub_connections") == counts("hubbub_channels") == 0

    await eventually(is_empty)
    counts = await serving.counts()
    assert counts("hubbub_failures_total") == 0
    assert counts("hubbub_pauses_total") > 0
    assert serving.complaints() == []
    # What the allocator does not give back: a connection's buffers, and with uvicorn's own protocol a zlib context.
    each = 24 if house.outlet == "direct" else 48 if not house.compression else 96
    held = serving.memory() - before
    assert held < ALLOWANCE + evening.kept() + CLIENTS * each, f"{held} KiB, {evening.kept()} are kept"


def check_coverage(evening: Evening, compression: bool) -> None:
    """Everything that was to be tried has happened, or the run has proved less than it says."""
    counts = evening.counts()
    print(dict(sorted(counts.items())), f"late by {evening.slowest}")
    if compression:
        assert counts["deflated bytes"] < 0.95 * counts["inflated bytes"]
    if SECONDS >= 5:
        expected = [
            "messages",
            "acks",
            "announcements",
            "typing",
            "recovered messages",
            "unrecovered",
            "stalls",
        ]
        assert all(counts[each] for each in expected), counts


def raise_file_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * CLIENTS + 200
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))


if __name__ == "__main__":
    raise SystemExit(pytest.main([__file__, "-s"]))
