"""A node that does nothing but relay; it says so when it has the lead."""

import asyncio
import os

from hubbub import Hub
from hubbub.database import Database


async def main() -> None:
    database = Database(os.environ["DATABASE"], lease=float(os.environ["LEASE"]))
    hub = Hub(database=database, broker=os.environ["REDIS"], allow_anonymous=True)
    async with database, hub.lifespan(None):
        while not hub.statistics.outbox.is_relaying:  # noqa: ASYNC110 (it has no event)
            await asyncio.sleep(0.01)
        print("relaying", flush=True)
        await asyncio.Event().wait()


asyncio.run(main())
