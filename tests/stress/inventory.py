"""At the end, when all is quiet: what the server says of each channel, over its API, beside what was said there."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import httpx2
import msgspec
from house import policy
from ledger import Ledger, Wrong
from moves import Player
from program import API
from serving import eventually


async def check_streams(client: httpx2.AsyncClient, ledger: Ledger) -> None:
    """Hold what the server keeps of every channel against the ledger: all that it should, and nothing else."""
    for channel, stream in ledger.streams.items():
        page = await answer(client, f"/channels/{channel}/history?limit=1000")
        kept = page["publications"]
        expected = list(range(max(1, stream.top - policy(channel).history + 1), stream.top + 1))
        if page["offset"] != stream.top or [each["offset"] for each in kept] != expected:
            raise Wrong(
                f"{channel} has {len(kept)} up to {page['offset']}, not {len(expected)} to {stream.top}"
            )
        for each in kept:
            ledger.check(channel, each)


async def check_presence(
    client: httpx2.AsyncClient, players: Mapping[str, Sequence[Player]], bring_back: Callable[[], None]
) -> None:
    """Wait until the server says of every channel that those are there who are."""
    for channel in players:
        if policy(channel).presence:
            await check_members(client, channel, players[channel], bring_back)


async def check_members(
    client: httpx2.AsyncClient, channel: str, players: Sequence[Player], bring_back: Callable[[], None]
) -> None:
    """Do so for one channel."""
    seen = ""

    async def agrees() -> bool:
        nonlocal seen
        bring_back()  # tokens end at any time
        page = await answer(client, f"/channels/{channel}/presence?limit=1000")
        there = {player.guest.user for player in players if player.guest.places[channel].live}
        seen = f"the server has {page['active_users']} users in {channel}, where {len(there)} are"
        return page["active_users"] == len(there) and there.issuperset(page["members"])

    try:
        await eventually(agrees, seen=lambda: seen)
    except TimeoutError as error:
        raise Wrong(str(error)) from None


async def answer(client: httpx2.AsyncClient, path: str) -> Any:
    """Return what the API answers to a GET."""
    response = await client.get(API + path)
    assert response.status_code == 200, (path, response.text)
    return msgspec.json.decode(response.content)
