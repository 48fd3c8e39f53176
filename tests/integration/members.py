"""Well-behaved clients: the `websockets` library, with a deadline on everything that waits."""

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any

from serving import Serving, bearer
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

DEADLINE = 10.0

_names = itertools.count(1)


def fresh(word: str) -> str:
    """Return a name that no other test has used."""
    return f"{word}-{next(_names)}"


class Member:
    """One connection."""

    def __init__(self, connection: ClientConnection, user: str | None) -> None:
        self.connection = connection
        self.user = user

    async def send(self, message: Any) -> None:
        await self.connection.send(json.dumps(message))

    async def receive(self, within: float = DEADLINE) -> dict[str, Any]:
        """Return the next message."""
        async with asyncio.timeout(within):
            message: dict[str, Any] = json.loads(await self.connection.recv())
            return message

    async def expect(self, kind: str, within: float = DEADLINE, **fields: Any) -> dict[str, Any]:
        """Return the next message of this type with these fields; others before it are passed over."""
        passed: list[Any] = []
        try:
            async with asyncio.timeout(within):
                while True:
                    message = await self.receive(within)
                    if message["type"] == kind and fields.items() <= message.items():
                        return message
                    passed.append(message)
        except TimeoutError:
            raise TimeoutError(f"no {kind!r} {fields} within {within:g} s; there came {passed}") from None

    async def ask(self, message: dict[str, Any], within: float = DEADLINE) -> dict[str, Any]:
        """Send a command with a `ref` of its own and return what answers it."""
        ref = next(_names)
        await self.send({**message, "ref": ref})
        async with asyncio.timeout(within):
            while (answer := await self.receive(within)).get("ref") != ref:
                pass
        return answer

    async def join(self, room: str, **fields: Any) -> dict[str, Any]:
        """Join a room and return its `joined`."""
        await self.send({"type": "join_room", "room_id": room, **fields})
        return await self.expect("joined", room_id=room)

    async def say(self, room: str, content: str, **fields: Any) -> None:
        await self.send({"type": "message", "room_id": room, "content": content, **fields})

    async def expect_close(self, within: float = DEADLINE) -> tuple[int | None, str]:
        """Return the code and reason with which the server closed; messages before it are passed over."""
        async with asyncio.timeout(within):
            try:
                while True:
                    await self.connection.recv()
            except ConnectionClosed as closed:
                return (None, "") if closed.rcvd is None else (closed.rcvd.code, closed.rcvd.reason)


@asynccontextmanager
async def connected(
    serving: Serving, user: str | None, path: str = "/ws", *, welcome: bool = True, **options: Any
) -> AsyncIterator[Member]:
    """Connect as a user, by `Authorization: Bearer`; with `None` without a credential."""
    headers = {**({} if user is None else bearer(user)), **options.pop("headers", {})}
    settings = {"compression": None, "max_queue": None, "ping_interval": None, "proxy": None, **options}
    if serving.tls is not None:
        settings["ssl"] = serving.tls
    url = f"{serving.url.replace('http', 'ws', 1)}{path}"
    async with connect(url, additional_headers=headers, **settings) as connection:
        member = Member(connection, user)
        if welcome:
            await member.expect("welcome")
        yield member


class Witness:
    """Somebody in a room who listens, while somebody else says `tick 0`, `tick 1` and so on.

    Each is said when the one before was heard, so what is heard late, twice, or not at all is noticed.
    """

    def __init__(self, room: str, speaker: Member, listener: Member) -> None:
        self.room = room
        self.speaker = speaker
        self.listener = listener
        self.heard: list[dict[str, Any]] = []
        """Everything that came to the listener, in order."""
        self.slowest = 0.0
        """The longest that a tick took to be heard, in seconds."""
        self._said = 0
        self._over = asyncio.Event()

    async def tick(self) -> None:
        """Say one and wait until it was heard."""
        content = f"tick {self._said}"
        self._said += 1
        begun = time.monotonic()
        await self.speaker.say(self.room, content)
        while True:
            message = await self.listener.receive()
            self.heard.append(message)
            if message.get("content") == content:
                break
        self.slowest = max(self.slowest, time.monotonic() - begun)

    async def talk(self) -> None:
        """Say one after the other until it is over, at a pace that the rate limit allows."""
        while not self._over.is_set():
            await self.tick()
            with suppress(TimeoutError):
                async with asyncio.timeout(0.04):
                    await self._over.wait()

    def finish(self) -> None:
        self._over.set()

    def check(self) -> None:
        """Fail unless every tick was heard once and in order, and offsets only rose."""
        ticks = [each["content"] for each in self.heard if str(each.get("content")).startswith("tick ")]
        assert ticks == [f"tick {number}" for number in range(self._said)]
        offsets = [each["offset"] for each in self.heard if "offset" in each]
        assert offsets == sorted(set(offsets))
        unpleasant = [
            each for each in self.heard if each["type"] in {"gap", "reset", "error", "unsubscribed"}
        ]
        assert unpleasant == []

    def of_type(self, *kinds: str, user: str | None = None) -> list[dict[str, Any]]:
        """Return what was heard of these types, and about this user."""
        return [
            each
            for each in self.heard
            if each["type"] in kinds and (user is None or each.get("user_id") == user)
        ]


@asynccontextmanager
async def bystander(serving: Serving, room: str, *, patience: float = 3.0) -> AsyncIterator[Witness]:
    """Run a block beside two members of a room who talk, and fail if they notice anything.

    Args:
        serving: the server.
        room: where they are; the troublemaker should be there too.
        patience: seconds that a message may take at most.
    """
    listener_name = fresh("listener")
    async with connected(serving, fresh("speaker")) as speaker, connected(serving, listener_name) as listener:
        await listener.join(room)
        await speaker.join(room)
        witness = Witness(room, speaker, listener)
        await witness.tick()
        talk = asyncio.create_task(witness.talk())
        try:
            yield witness
        finally:
            witness.finish()
            await asyncio.wait([talk])
        talk.result()
        await witness.tick()
        witness.check()
        assert witness.slowest < patience
    await serving.check_health()


async def gather(work: Iterable[Any], *, at_once: int = 100) -> list[Any]:
    """Run coroutines, so many at once; return their results in order."""
    slots = asyncio.Semaphore(at_once)

    async def run(coroutine: Any) -> Any:
        async with slots:
            return await coroutine

    return await asyncio.gather(*(run(each) for each in work))
