"""Rooms under stress: everybody comes, goes, stalls and vanishes at random, and no log has a hole or a double.

Seeded and self-checking. ``HUBBUB_STRESS_SEED`` repeats the choices of a run, ``HUBBUB_STRESS_SECONDS`` says how long
it takes (8 when left out).
"""

import asyncio
import json
import os
import random
from collections import deque
from collections.abc import Callable, Collection
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest
from fastapi import FastAPI

from hubbub import History, Hub, Identity, Limits, Position
from hubbub.brokers.memory import MemoryBroker
from hubbub.hub.broker import Reading, Receiver, Retention
from hubbub.hub.publications import Draft, Publication
from hubbub.testing import Client, connect
from hubbub.types import UserId

SECONDS = float(os.environ.get("HUBBUB_STRESS_SECONDS", "8"))
SEED = int(os.environ.get("HUBBUB_STRESS_SEED") or random.SystemRandom().randrange(2**32))
SETTLING = 30.0

CLIENTS = 48
USERS = 30
PUBLISHERS = 4
HISTORY = {"calm": 100_000, "close": 2_000, "drop": 60, "conflate": 60}
CHANNELS = [f"{namespace}:{number}" for namespace in HISTORY for number in range(2)]


class Postman:
    """Receives for somebody else, in its own time."""

    def __init__(self, receive: Callable[[Publication], None]) -> None:
        self.receive = receive

    def interrupted(self, reason: str) -> None: ...

    async def mend(self, channels: Collection[str]) -> None: ...


class Ledger(MemoryBroker):
    """A broker that answers and delivers late, as one across a network does, and keeps what was ever said in it.

    Every read is one atomic step between two waits; deliveries come in order, some time after the publishing.
    """

    def __init__(self, choices: random.Random) -> None:
        super().__init__()
        self.said: dict[str, list[Draft]] = {channel: [] for channel in CHANNELS}
        self._choices = choices
        self._mail: deque[Publication] = deque()

    async def publish(
        self, draft: Draft, retention: Retention, idempotency_key: str | None = None
    ) -> Position:
        await self._dawdle()
        position = await super().publish(draft, retention, idempotency_key)
        if position.id == draft.id and position.offset:
            said = self.said[draft.channel]
            said.append(draft)
            assert position.offset == len(said)
        await self._dawdle()
        return position

    async def read(self, channel: str, since: Position | None = None) -> Reading:
        await self._dawdle()
        reading = await super().read(channel, since)
        await self._dawdle()
        return reading

    async def history(self, channel: str, *, limit: int, before: int | None = None) -> Reading:
        await self._dawdle()
        reading = await super().history(channel, limit=limit, before=before)
        await self._dawdle()
        return reading

    async def subscribe(self, channel: str) -> None:
        await self._dawdle()
        await super().subscribe(channel)
        await self._dawdle()

    async def unsubscribe(self, channel: str) -> None:
        await self._dawdle()
        await super().unsubscribe(channel)
        await self._dawdle()

    def deliver_to(self, receiver: Receiver) -> None:
        loop = asyncio.get_running_loop()

        def hand_over() -> None:
            while self._mail:
                receiver.receive(self._mail.popleft())

        def post(publication: Publication) -> None:
            if not self._mail:
                loop.call_later(self._choices.random() * 0.004, hand_over)
            self._mail.append(publication)

        super().deliver_to(Postman(post))

    async def _dawdle(self) -> None:
        for _ in range(self._choices.randrange(4)):
            await asyncio.sleep(0)
        if self._choices.random() < 0.1:
            await asyncio.sleep(self._choices.random() * 0.005)


@dataclass
class Place:
    """Where a client stands in one channel, and whether it is on it."""

    state: str = "off"
    since: dict[str, Any] | None = None
    asked: dict[str, Any] | None = None
    offset: int = 0


@dataclass
class Said:
    """What a client wants to have said, until it is told that it was."""

    channel: str
    content: str
    key: str


class Guest:
    """A client as the documentation tells one to be; it checks all that it is told."""

    def __init__(self, name: str, user: str, app: FastAPI, ledger: Ledger, choices: random.Random) -> None:
        self.name = name
        self.user = user
        self.app = app
        self.ledger = ledger
        self.choices = choices
        self.places = {channel: Place() for channel in choices.sample(CHANNELS, 4)}
        self.client: Client | None = None
        self.stack = AsyncExitStack()
        self.unsaid: dict[int, Said] = {}
        self.taken: set[str] = set()
        self.refs = 0
        self.stalled = False
        self.counts = dict.fromkeys(
            ("messages", "recovered", "unrecovered", "gaps", "closes", "cuts", "stalls"), 0
        )

    # What it does.

    async def run(self, until: asyncio.Event) -> None:
        while not until.is_set():
            await self.step()
            self.listen()
            await asyncio.sleep(self.choices.random() * 0.01)

    async def step(self) -> None:
        if self.client is None:
            await self.come()
            return
        chance = self.choices.random()
        if self.stalled:
            if chance < 0.08:
                self.client.resume()
                self.stalled = False
        elif chance < 0.02:
            await self.go("cut")
        elif chance < 0.03:
            await self.go("close")
        elif chance < 0.07:
            self.client.stall()
            self.stalled = True
            self.counts["stalls"] += 1
        elif chance < 0.30:
            await self.change(self.choices.choice(list(self.places)))
        elif chance < 0.50:
            await self.say(self.choices.choice(list(self.places)))

    async def come(self) -> None:
        self.client = await self.stack.enter_async_context(connect(self.app, "/ws", token=self.user))
        self.stalled = False
        for channel, place in self.places.items():
            if place.state != "off":
                await self.ask_for(channel)
        for ref in tuple(self.unsaid):
            await self.repeat(ref)

    async def go(self, way: str) -> None:
        assert self.client is not None
        await getattr(self.client, way)()
        await self.stack.aclose()
        self.client = None
        self.counts["cuts"] += 1

    async def change(self, channel: str) -> None:
        place = self.places[channel]
        assert self.client is not None
        if place.state == "off":
            await self.ask_for(channel)
        elif place.state == "on" and self.choices.random() < 0.3:
            place.state = "leaving"
            await self.client.send({"type": "unsubscribe", "channel": channel})
        elif place.state == "on" and self.choices.random() < 0.2:
            await self.ask_for(channel)

    async def ask_for(self, channel: str) -> None:
        place = self.places[channel]
        place.state, place.asked = "joining", place.since
        since = {} if place.since is None else {"since": place.since}
        assert self.client is not None
        await self.client.send({"type": "subscribe", "channel": channel, **since})

    async def say(self, channel: str) -> None:
        if self.places[channel].state != "on":
            return
        self.refs += 1
        content = f"{self.name} {self.refs} ".ljust(self.choices.choice([20, 200, 4_000]), ".")
        self.unsaid[self.refs] = Said(channel, content, f"{self.name} {self.refs}")
        await self.repeat(self.refs)

    async def repeat(self, ref: int) -> None:
        assert self.client is not None
        said = self.unsaid[ref]
        await self.client.send(
            {
                "type": "publish",
                "channel": said.channel,
                "event": "message",
                "data": {"content": said.content},
                "idempotency_key": said.key,
                "ref": ref,
            }
        )

    # What it is told.

    def listen(self) -> None:
        if self.client is None:
            return
        for message in self.client.waiting():
            self.check(message)
        closed = self.client.closed
        if closed is not None:
            assert closed.code == 4008, f"{self.name} was closed: {closed}"
            self.counts["closes"] += 1
            self.client = None
            self.stack.push_async_callback(asyncio.sleep, 0)

    def check(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        if kind in {"welcome", "ping"}:
            return
        if kind == "ack":
            self.taken.add(self.unsaid.pop(message["ref"]).content)
            return
        channel = message.get("channel")
        assert channel in self.places, f"{self.name} got {message}"
        place = self.places[channel]
        match kind:
            case "subscribed":
                self.check_subscribed(channel, place, message)
            case "unsubscribed":
                assert (place.state, message["code"]) == ("leaving", 0), message
                place.state = "off"
            case "message":
                assert place.state != "off", f"{self.name} is not on {channel}, and got {message}"
                self.check_next(channel, place, message)
            case "gap":
                assert channel.startswith(("drop:", "conflate:")), message
                self.check_hole(channel, place.offset, message["from"])
                assert message["to"] >= message["from"]
                self.move(place, message["to"], None)
                self.counts["gaps"] += 1
            case "user_joined" | "user_left" | "typing":
                assert message["user_id"] != self.user, message
            case _:
                raise AssertionError(f"{self.name} got {message}")

    def check_subscribed(self, channel: str, place: Place, message: dict[str, Any]) -> None:
        assert place.state == "joining", message
        place.state = "on"
        since = place.asked
        if since is None:
            assert "recovered" not in message
            assert message["messages"] == []
        else:
            # Whoever is on it already is answered from where they asked, with what came meanwhile once more.
            place.offset = since["offset"]
            # What was trimmed is known from the size alone: nothing here gets old.
            whole = since["offset"] >= message["offset"] - HISTORY[channel.partition(":")[0]]
            assert message["recovered"] is whole, (since, message)
            self.counts["recovered" if whole else "unrecovered"] += 1
            if whole:
                for each in message["messages"]:
                    self.check_next(channel, place, each)
                self.check_hole(channel, place.offset, message["offset"] + 1)
            else:
                assert message["messages"] == []
        place.since = {"epoch": message["epoch"], "offset": message["offset"]}
        place.offset = message["offset"]

    def check_next(self, channel: str, place: Place, message: dict[str, Any]) -> None:
        offset = message["offset"]
        assert offset > place.offset, f"{self.name} stands at {place.offset} of {channel}, and got {message}"
        self.check_hole(channel, place.offset, offset)
        draft = self.ledger.said[channel][offset - 1]
        assert message["id"] == draft.id
        assert message["content"] == json.loads(draft.data)["content"]
        assert UserId(self.user) not in draft.exclude, f"{self.name} got what excludes {self.user}: {message}"
        self.move(place, offset, message["id"])
        self.counts["messages"] += 1

    def check_hole(self, channel: str, before: int, after: int) -> None:
        """See whether everything between two offsets was for others."""
        for draft in self.ledger.said[channel][before : after - 1]:
            assert UserId(self.user) in draft.exclude, (
                f"{self.name} misses {draft.id} between {before} and {after}"
            )

    def move(self, place: Place, offset: int, id: str | None) -> None:  # noqa: A002 (the field's name)
        place.offset = offset
        if place.since is not None:
            place.since = {
                "epoch": place.since["epoch"],
                "offset": offset,
                **({} if id is None else {"id": id}),
            }

    # How it ends.

    async def catch_up(self) -> None:
        """Come back, get on everything, and read to the end."""
        deadline = asyncio.get_running_loop().time() + SETTLING
        while not self.is_done():
            assert asyncio.get_running_loop().time() < deadline, self.unfinished()
            if self.client is None:
                await self.come()
            self.client.resume()
            for channel, place in self.places.items():
                if place.state == "off":
                    await self.ask_for(channel)
            await asyncio.sleep(0.005)
            self.listen()

    def unfinished(self) -> str:
        missing = {channel: len(self.missing(channel)) for channel in self.places}
        return f"{self.name} misses {missing}, stands at {self.places} and waits for {sorted(self.unsaid)}"

    def is_done(self) -> bool:
        return not self.unsaid and all(
            place.state == "on" and not self.missing(channel) for channel, place in self.places.items()
        )

    def missing(self, channel: str) -> list[Draft]:
        """Return what was said behind the last this guest saw, and not for others."""
        rest = self.ledger.said[channel][self.places[channel].offset :]
        return [draft for draft in rest if UserId(self.user) not in draft.exclude]


@dataclass
class Scene:
    """The hub, its guests, and those who publish beside them."""

    ledger: Ledger
    guests: list[Guest] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.hub = Hub(
            broker=self.ledger,
            authenticate=lambda token: Identity(UserId(token)),
            limits=Limits(message_rate=0, connections_per_user=0),
            presence_grace=0.5,
        )
        for namespace, size in HISTORY.items():
            self.hub.namespace(
                namespace,
                publish="authenticated",
                presence=True,
                history=History(size=size),
                overflow={"drop": "drop_oldest", "conflate": "conflate"}.get(namespace, "close"),
                overflow_bytes=10**9 if namespace == "calm" else 30_000,
            )
        self.app = FastAPI(lifespan=self.hub.lifespan)
        self.app.include_router(self.hub.router)

    async def publish(self, choices: random.Random, until: asyncio.Event) -> None:
        while not until.is_set():
            channel = choices.choice(CHANNELS)
            exclude = {f"user{choices.randrange(USERS)}" for _ in range(choices.choice([0, 0, 0, 1, 5]))}
            content = f"server {choices.random()} ".ljust(choices.choice([20, 500, 4_000]), ".")
            await self.hub.publish(channel, "message", {"content": content}, exclude=exclude)
            await asyncio.sleep(choices.random() * 0.004)


async def play(scene: Scene, choices: random.Random) -> None:
    until = asyncio.Event()
    scene.guests += [
        Guest(
            f"guest{number}",
            f"user{number % USERS}",
            scene.app,
            scene.ledger,
            random.Random(choices.random()),
        )
        for number in range(CLIENTS)
    ]
    async with scene.hub.lifespan(scene.app):
        async with asyncio.TaskGroup() as tasks:
            for guest in scene.guests:
                tasks.create_task(guest.run(until))
            for _ in range(PUBLISHERS):
                tasks.create_task(scene.publish(random.Random(choices.random()), until))
            await asyncio.sleep(SECONDS)
            until.set()
        async with asyncio.TaskGroup() as tasks:
            for guest in scene.guests:
                tasks.create_task(guest.catch_up())
        for guest in scene.guests:
            if guest.client is not None:
                await guest.go("close")
        await scene.hub._running.background.settle()
        check_end(scene)


def check_end(scene: Scene) -> None:
    """Nothing was said twice, nothing that was acknowledged is missing, and the hub is empty."""
    contents = [
        json.loads(draft.data)["content"]
        for said in scene.ledger.said.values()
        for draft in said
        if draft.sender
    ]
    assert len(contents) == len(set(contents))
    assert set().union(*(guest.taken for guest in scene.guests)) == set(contents)
    assert scene.hub.connections == 0
    assert scene.hub.channels == 0


async def test_nobody_misses_anything_or_gets_it_twice_or_gets_what_is_not_theirs():
    print(f"HUBBUB_STRESS_SEED={SEED}")
    choices = random.Random(SEED)
    scene = Scene(Ledger(random.Random(choices.random())))
    try:
        await play(scene, choices)
    except BaseException as error:
        error.add_note(f"repeat it with HUBBUB_STRESS_SEED={SEED}")
        raise
    counts = {name: sum(guest.counts[name] for guest in scene.guests) for name in scene.guests[0].counts}
    print(counts, {channel: len(said) for channel, said in scene.ledger.said.items()})
    if SECONDS >= 5:  # or the run has proved less than it says
        assert all(counts.values()), counts


if __name__ == "__main__":
    raise SystemExit(pytest.main([__file__, "-s"]))
