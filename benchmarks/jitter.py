"""The jitter test beside others: the same absences, the same publishing, a node killed, Redis restarted.

Each in turn is put through what `tests/stress/test_jitter.py` puts Hubbub through, with the same seed, on two processes
and one Redis (the usual manager knows one process). Of what came back to its publisher, or was acknowledged: how much
reached each client that had joined before, how much twice, how much out of order.

    .venv/bin/python benchmarks/jitter.py [--clients 200] [--seconds 20] [--write]
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from functools import lru_cache, partial
from pathlib import Path
from random import Random
from typing import Any

import rings  # noqa: F401 (what is imported below is found by it)

# isort: split

from journey import Journey, Node, hubbub_node, room_names
from plain_traveller import PlainTraveller
from ports import steady_port
from press import NotPublished, Outcome, OverHttp, http_client
from radio import Radio, handshake
from redis_servers import redis_server
from rich.console import Console
from traveller import Traveller

import contestants as of
import machine
import report
from processes import Server, serving, unwind_on_signals
from seats import token
from tables import Table

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
BEGIN, END = "<!-- jitter: written by benchmarks/jitter.py -->", "<!-- end of jitter -->"

ECHO = 3.0
"""Seconds in which a publication has to come back to its publisher."""
SETTLING = 8.0
"""Seconds after the last publication; who does not ask for what it missed does not get it later either."""

decode = lru_cache(4096)(json.loads)


class Peer(Traveller):
    """A client of a server without positions: it comes back, joins, and gets what comes from then on."""

    took: Callable[[str, int], None] | None = None

    def take(self, room: str, content: str) -> None:
        number = int(content.partition(" ")[0])
        self.logs[room].take(number)
        if self.took is not None:
            self.took(room, number)


class HandMade(Peer):
    """Speaks what FastAPI's usual `ConnectionManager` speaks here."""

    def request(self, port: int) -> bytes:
        return handshake(port, "/ws", f"Authorization: Bearer {token(self.name)}")

    def opened(self, radio: Radio) -> None:
        for room in self.logs:
            radio.say(json.dumps({"type": "join_room", "room_id": room}).encode())

    def heard(self, radio: Radio, text: bytes) -> None:
        message = decode(text)
        if message["type"] == "message":
            self.take(message["room_id"], message["content"])
        elif message["type"] == "joined":
            self.entered(message["room_id"])

    def publish(self, room: str, content: str) -> None:
        if self.radio is not None:
            self.radio.say(json.dumps({"type": "message", "room_id": room, "content": content}).encode())


class SocketIo(Peer):
    """Speaks Socket.IO over a WebSocket from the start."""

    def request(self, port: int) -> bytes:
        return handshake(port, "/socket.io/?EIO=4&transport=websocket")

    def opened(self, radio: Radio) -> None:
        """Wait for the server's words."""

    def heard(self, radio: Radio, text: bytes) -> None:
        if text.startswith(b"42"):
            name, data = decode(text[2:])
            if name == "message":
                self.take(data["room_id"], data["content"])
            else:
                self.entered(data["room_id"])
        elif text == b"2":
            radio.say(b"3")
        elif text.startswith(b"40"):
            for room in self.logs:
                radio.say(b"42" + json.dumps(["join_room", {"room_id": room}]).encode())
        elif text.startswith(b"0"):
            radio.say(b"40")

    def publish(self, room: str, content: str) -> None:
        if self.radio is not None:
            event = ["message", {"room_id": room, "content": content}]
            self.radio.say(b"42" + json.dumps(event).encode())


class OverConnection:
    """Publishes over a connection of its own in all rooms; what comes back on it was published."""

    knows_keys = False

    def __init__(
        self, speak: type[HandMade] | type[SocketIo], ports: Sequence[int], rooms: Sequence[str]
    ) -> None:
        self.peer = speak("press", rooms, ports, (), Random(0), lambda _: 0)
        self.peer.took = self._took
        self._awaited: dict[tuple[str, int], asyncio.Future[None]] = {}

    async def __call__(self, room: str, content: str, key: str | None) -> None:
        number = int(content.partition(" ")[0])
        back = self._awaited[room, number] = asyncio.get_running_loop().create_future()
        if not self.peer.is_inside:
            await asyncio.sleep(0.1)
        self.peer.publish(room, content)
        try:
            async with asyncio.timeout(ECHO):
                await back
        except TimeoutError:
            raise NotPublished("it did not come back") from None

    def _took(self, room: str, number: int) -> None:
        back = self._awaited.pop((room, number), None)
        if back is not None and not back.done():
            back.set_result(None)


async def hubbub(options: argparse.Namespace) -> Outcome:
    """Put two `hubbub serve` through it."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        redis = await stack.enter_async_context(redis_server(folder, appendonly="always"))
        ports = [steady_port(), steady_port()]
        nodes = [hubbub_node(folder / str(port), port, redis.url, announces=False) for port in ports]
        for node in nodes:
            await stack.enter_async_context(node)
        publish = OverHttp(await stack.enter_async_context(http_client()), ports)
        journey = Journey(PlainTraveller, publish, ports, options.clients, options.seconds, options.seed)
        return await journey.take((0.4, nodes[1].kill_and_start), (0.65, redis.restart))


async def peer(
    contestant: of.Contestant,
    speak: type[HandMade] | type[SocketIo],
    processes: int,
    options: argparse.Namespace,
) -> Outcome:
    """Put processes of a peer through it."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        redis = await stack.enter_async_context(redis_server(folder, appendonly="always"))
        ports = [steady_port() for _ in range(processes)]
        environment = {**of.COMMON, **contestant.environment}
        if processes > 1:
            environment["REDIS_URL"] = redis.url
        nodes: list[Node[Server]] = [
            Node(partial(serving, contestant.command, environment, port=port)) for port in ports
        ]
        for node in nodes:
            await stack.enter_async_context(node)
        publish = OverConnection(speak, ports, room_names(options.clients))
        travel = asyncio.create_task(publish.peer.travel(0.0))
        journey = Journey(speak, publish, ports, options.clients, options.seconds, options.seed)
        try:
            return await journey.take(
                (0.4, nodes[-1].kill_and_start), (0.65, redis.restart), settling=SETTLING
            )
        finally:
            travel.cancel()
            publish.peer.end()


def main() -> int:
    options = _options()
    unwind_on_signals()
    machine.lift_file_limit()
    console = Console(width=None if sys.stdout.isatty() else 180)
    runs: list[tuple[str, Callable[[argparse.Namespace], Any]]] = [
        ("Hubbub, 2 nodes", hubbub),
        ("python-socketio, 2 processes", partial(peer, of.PYTHON_SOCKETIO, SocketIo, 2)),
        ("one by one, 1 process", partial(peer, of.ONE_BY_ONE, HandMade, 1)),
    ]
    table = Table(
        f"Links that die without a word: {options.clients:,} clients, each away for 10 to 20 % of {options.seconds:g} s, "
        "a process killed, Redis restarted",
        ["server", "due", "delivered %", "missing", "twice", "out of order"],
    )
    load, *_ = os.getloadavg()
    for name, run in runs:
        with console.status(name):
            outcome = asyncio.run(run(options))
        table.rows.append(
            [
                name,
                f"{outcome.expected:,}",
                f"{outcome.percentage:.3f}",
                f"{outcome.expected - outcome.delivered:,}",
                f"{outcome.duplicates:,}",
                f"{outcome.disordered:,}",
            ]
        )
    table.notes.append(
        "Due: what was published (its call returned, or it came back to its publisher) after the client had joined for "
        f"the first time. The same seed ({options.seed}) for all, so the same absences; load average before {load:.2f}."
    )
    table.print(console)
    if options.write:
        report.write(PAGE, table.markdown(), BEGIN, END)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=4)
    parser.add_argument("--write", action="store_true", help=f"put the table into docs/{PAGE.name}")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
