"""What the order of commits costs on PostgreSQL: commits a second of publishers at once, with the outbox's triggers and without.

Run it on an empty database of a server that nobody uses meanwhile::

    python benchmarks/commit_order.py postgresql://user:password@host/empty
"""

import asyncio
import sys
import time

import asyncpg

from hubbub.database import migrate

PUBLISHERS = 16
SECONDS = 5.0
ROUNDS = 3
INSERT = (
    "INSERT INTO hubbub_outbox (publication, channel, event, data, kind, time, history_size, history_ttl) "
    "VALUES ('00000000-0000-7000-8000-000000000000', $1, 'task', $2, 0, 1, 500, 86400)"
)
DATA = b'{"title":"' + b"x" * 200 + b'"}'


async def publish(url: str, channel: str, until: float) -> int:
    """Commit a row after the other; return how many."""
    connection = await asyncpg.connect(url)
    count = 0
    while time.monotonic() < until:
        async with connection.transaction():
            await connection.execute(INSERT, channel, DATA)
        count += 1
    await connection.close()
    return count


async def measure(url: str, channels: int) -> float:
    """Return the commits a second of all publishers."""
    admin = await asyncpg.connect(url)
    await admin.execute("TRUNCATE hubbub_outbox")
    await admin.close()
    until = time.monotonic() + SECONDS
    counts = await asyncio.gather(
        *(publish(url, f"topic:{number % channels}", until) for number in range(PUBLISHERS))
    )
    return sum(counts) / SECONDS


async def main(url: str) -> None:
    """Measure each case in turn, several times."""
    await migrate(url)
    admin = await asyncpg.connect(url)
    for _ in range(ROUNDS):
        for triggers in ("ENABLE", "DISABLE"):
            await admin.execute(f"ALTER TABLE hubbub_outbox {triggers} TRIGGER USER")
            for channels in (1, PUBLISHERS):
                rate = await measure(url, channels)
                print(
                    f"{'with' if triggers == 'ENABLE' else 'without'} triggers, {channels} channels: {rate:.0f} commits a second"
                )
    await admin.execute("ALTER TABLE hubbub_outbox ENABLE TRIGGER USER")
    await admin.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
