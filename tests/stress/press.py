"""Who publishes while others travel, and what of it everybody has to have in the end."""

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import httpx2
from serving import bearer
from traveller import Log, Traveller

AGAIN = 0.1
"""Seconds before a publication that failed is tried again."""
ANSWER = 8.0
"""Seconds in which a server answers."""
SHOWN = 5


@dataclass(slots=True)
class Edition:
    """One publication.

    Args:
        room: where.
        number: in its room.
        is_repeated: whether it was tried again with its key until the call returned.
        returned: whether the call returned.
        offset: what it returned, or where it was found.
    """

    room: str
    number: int
    is_repeated: bool
    returned: bool = False
    offset: int | None = None


@dataclass
class Ledger:
    """What was published, room by room."""

    rooms: dict[str, list[Edition]]

    def begin(self, room: str, *, is_repeated: bool = False) -> Edition:
        """Note that a publication is about to be made."""
        edition = Edition(room, len(self.rooms[room]), is_repeated)
        self.rooms[room].append(edition)
        return edition

    def top(self, room: str) -> Edition:
        """Return the last one that was published."""
        return next(each for each in reversed(self.rooms[room]) if each.returned)


class Publish(Protocol):
    """Publishes once; raises `NotPublished` where that failed or may have failed."""

    knows_keys: bool
    """Whether the same key again publishes nothing new."""

    async def __call__(self, room: str, content: str, key: str | None) -> int | None: ...


class NotPublished(Exception):
    """The call did not return."""


class OverHttp:
    """Publishes over the HTTP API, to one server after the other."""

    knows_keys = True

    def __init__(self, client: httpx2.AsyncClient, ports: Sequence[int]) -> None:
        self._client = client
        self._ports = itertools.cycle(ports)

    async def __call__(self, room: str, content: str, key: str | None) -> int | None:
        """Publish once."""
        url = f"http://127.0.0.1:{next(self._ports)}/api/v1/channels/room:{room}/publish"
        body: dict[str, Any] = {"event": "message", "data": {"content": content}}
        if key is not None:
            body["idempotency_key"] = key
        try:
            response = await self._client.post(url, json=body, headers=bearer("press", scope="server"))
        except httpx2.HTTPError as error:
            raise NotPublished(repr(error)) from error
        if response.status_code >= 500:
            raise NotPublished(response.text)
        assert response.is_success, response.text
        return int(response.json()["offset"])


def http_client() -> httpx2.AsyncClient:
    """Make a client for it."""
    return httpx2.AsyncClient(timeout=ANSWER, trust_env=False)


class Press:
    """Publishes to one room at a rate; after a failure that many more, so that as many are made in the end.

    Args:
        room: where.
        ledger: where it is written down.
        publish: how.
        choices: which publications are tried again with a key, and which are left uncertain.
    """

    def __init__(self, room: str, ledger: Ledger, publish: Publish, choices: random.Random) -> None:
        self._room = room
        self._ledger = ledger
        self._publish = publish
        self._choices = choices
        self.failures: Counter[str] = Counter()

    async def run(self, begun: float, seconds: float, rate: float) -> None:
        """Publish for so many seconds, and once more when everybody shall be there."""
        loop = asyncio.get_running_loop()
        start = begun + self._choices.random() / rate
        for count in itertools.count():
            due = start + count / rate
            if due > begun + seconds:
                break
            await asyncio.sleep(due - loop.time())
            await self.make(is_repeated=self._publish.knows_keys and self._choices.random() < 0.5)
        while not await self.make(is_repeated=self._publish.knows_keys):
            pass

    async def make(self, *, is_repeated: bool) -> bool:
        """Make one publication; return whether the call returned."""
        edition = self._ledger.begin(self._room, is_repeated=is_repeated)
        content = f"{edition.number} {'x' * self._choices.randrange(80)}"
        key = f"{self._room}-{edition.number}" if is_repeated else None
        while True:
            try:
                edition.offset = await self._publish(self._room, content, key)
            except NotPublished as error:
                self.failures[str(error)[:100]] += 1
                if not is_repeated:
                    return False
                await asyncio.sleep(AGAIN)
            else:
                edition.returned = True
                return True


@dataclass
class Outcome:
    """What the logs show."""

    expected: int = 0
    delivered: int = 0
    duplicates: int = 0
    disordered: int = 0
    missing: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    @property
    def percentage(self) -> float:
        """Of what was published, how much has come."""
        return 100 * self.delivered / self.expected if self.expected else 0.0

    @property
    def is_perfect(self) -> bool:
        """Whether everything is there, once and in order, and nobody was told otherwise."""
        return self.expected == self.delivered and not (self.duplicates or self.disordered or self.wrong)

    def __str__(self) -> str:
        share = f"{self.percentage:.3f} % of {self.expected} delivered"
        order = f"{self.duplicates} twice, {self.disordered} out of order"
        return "\n".join([f"{share}, {order}", *self.missing[:SHOWN], *self.wrong[:SHOWN]])


def compare(ledger: Ledger, travellers: Sequence[Traveller]) -> Outcome:
    """Hold every log against what was published."""
    outcome = Outcome()
    _find(ledger, [log for traveller in travellers for log in traveller.logs.values()])
    for traveller in travellers:
        outcome.wrong += [f"{traveller.name}: {each}" for each in traveller.wrong]
        for log in traveller.logs.values():
            _compare(outcome, ledger, traveller.name, log)
    return outcome


def _find(ledger: Ledger, logs: Sequence[Log]) -> None:
    """What was left uncertain and came to somebody is stored, and has to come to all."""
    for log in logs:
        for number, offset in zip(log.numbers, log.offsets, strict=False):
            edition = ledger.rooms[log.room][number]
            if edition.offset is None:
                edition.offset = offset


def _compare(outcome: Outcome, ledger: Ledger, name: str, log: Log) -> None:
    editions = ledger.rooms[log.room]
    if log.first_number is None:
        outcome.wrong.append(f"{name} never was in {log.room}")
        return
    held = Counter(log.numbers)
    due = [each for each in editions if _is_due(each, log)]
    missing = [each for each in due if not held[each.number]]
    outcome.expected += len(due)
    outcome.delivered += len(due) - len(missing)
    outcome.duplicates += held.total() - len(held)
    order = log.order
    outcome.disordered += sum(after < before for before, after in itertools.pairwise(order))
    if missing:
        outcome.missing.append(f"{name} in {log.room} misses {[(one.number, one.offset) for one in missing]}")
    for number, offset in zip(log.numbers, log.offsets, strict=False):
        if editions[number].offset != offset:
            outcome.wrong.append(f"{name} got {number} at {offset}, it was published as {editions[number]}")


def _is_due(edition: Edition, log: Log) -> bool:
    if log.first_offset is not None:
        return edition.offset is not None and edition.offset > log.first_offset
    return edition.returned and log.first_number is not None and edition.number >= log.first_number
