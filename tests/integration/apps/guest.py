"""A client that can be stopped like a laptop that is closed: it joins a room and reads for ever."""

import asyncio
import sys

from websockets.asyncio.client import connect


async def main(url: str, token: str) -> None:
    headers = {"Authorization": f"Bearer {token}"}
    async with connect(url, additional_headers=headers, ping_interval=None, proxy=None) as socket:
        async for message in socket:
            if '"joined"' in str(message):
                print("joined", flush=True)


asyncio.run(main(*sys.argv[1:]))
