"""A node that does nothing but relay; it says so when it has the lead."""

import asyncio
import os
from functools import partial

from hubbub import Hub
from hubbub.database import keeping
from hubbub.database.liveness import Liveness

keeping.Liveness = partial(Liveness, lease=float(os.environ["LEASE"]))  # type: ignore[misc,assignment]


async def main() -> None:
    hub = Hub(database=os.environ["DATABASE"], broker=os.environ["REDIS"], allow_anonymous=True)
    async with hub.lifespan(None):
        while not hub.statistics.outbox.is_relaying:  # noqa: ASYNC110 (it has no event)
            await asyncio.sleep(0.01)
        print("relaying", flush=True)
        await asyncio.Event().wait()


asyncio.run(main())
