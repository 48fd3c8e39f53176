"""A program beside the clients: it publishes over the HTTP API, excludes some, and has users disconnected."""

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import Any

import httpx2
from guest import Guest
from ledger import Ledger, Said
from moves import Words
from serving import Serving, bearer

API = "/api/v1"
PACE = 0.03
"""Mean seconds between two requests."""


class Program:
    """One of its workers.

    Args:
        serving: the server.
        channels: where it publishes.
        guests: by user.
        ledger: what was said.
        words: what to say.
        choices: where its chances come from.
        report: called for everything that is wrong.
    """

    def __init__(
        self,
        serving: Serving,
        channels: Sequence[str],
        guests: dict[str, list[Guest]],
        ledger: Ledger,
        words: Words,
        choices: random.Random,
        report: Callable[[str], None],
    ) -> None:
        self._serving = serving
        self._channels = channels
        self._guests = guests
        self._users = sorted(guests)
        self._ledger = ledger
        self._words = words
        self._choices = choices
        self._report = report

    async def run(self, over: asyncio.Event) -> None:
        """Go on until it is over; what was begun is finished."""
        async with self.client() as client:
            while not over.is_set():
                try:
                    await self._step(client)
                except Exception as error:
                    self._report(f"over HTTP: {error!r}")
                    return
                await asyncio.sleep(self._choices.expovariate(1 / PACE))

    def client(self) -> httpx2.AsyncClient:
        """Make an HTTP client that the server trusts."""
        headers = bearer("program", scope="server")
        return httpx2.AsyncClient(base_url=self._serving.url, headers=headers, timeout=20, trust_env=False)

    async def _step(self, client: httpx2.AsyncClient) -> None:
        chance = self._choices.random()
        if chance < 0.01:
            user = self._choices.choice(self._users)
            for guest in self._guests[user]:
                guest.expelled = True
            await self._post(client, f"{API}/users/{user}/disconnect", None)
        elif chance < 0.03:
            said = self._ledger.broadcast(self._text(), self._excluded())
            await self._post(client, f"{API}/broadcast", submission(said))
        else:
            await self._publish(client, f"user:{self._choices.choice(self._users)}" if chance < 0.3 else None)

    async def _publish(self, client: httpx2.AsyncClient, channel: str | None) -> None:
        channel = channel or self._choices.choice(self._channels)
        said = self._ledger.intend(channel, self._text(), None, self._excluded())
        asked = {**submission(said), "idempotency_key": said.key}
        place = await self._post(client, f"{API}/channels/{channel}/publish", asked)
        if (
            self._choices.random() < 0.1
            and await self._post(client, f"{API}/publish/{channel}", asked) != place
        ):
            raise AssertionError(f"the same key published twice in {channel}: {asked}")
        self._ledger.acknowledged(said, place)

    async def _post(self, client: httpx2.AsyncClient, path: str, body: Any) -> Any:
        response = await client.post(path, json=body)
        assert response.is_success, (path, response.status_code, response.text)
        return response.json() if response.content else None

    def _text(self) -> str:
        return self._words.some(self._choices, self._choices.choice([20, 500, 4_000]))

    def _excluded(self) -> frozenset[str]:
        return frozenset(
            self._choices.sample(self._users, self._choices.choice([0, 0, 1, len(self._users) // 3]))
        )


def submission(said: Said) -> dict[str, Any]:
    """Write what is said as the API takes it."""
    return {"event": "message", "data": {"content": said.content}, "exclude": sorted(said.exclude)}
