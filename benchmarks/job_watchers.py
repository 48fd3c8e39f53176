"""Users who each start a job and watch it: a process of their own, so that reading is not done at the chat's expense."""

import json
import multiprocessing
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.client import HTTPConnection
from multiprocessing.connection import Connection
from typing import Any

from hubbub.bench import PLAIN, Crowd, Seat, Step
from hubbub.bench.wires import json_text
from seats import token

WATCHING = replace(PLAIN, steps=(Step(b'"type":"welcome"'),), needle=b'"progress":')
"""Nobody enters a room; each update of a job is a delivery."""
LOW = 10
"""How nice the process is: the chat's clients, on the same core, go first."""
PATIENCE = 120.0


class Watchers:
    """The process, as the benchmark holds it."""

    def __init__(self, line: Connection) -> None:
        self._line = line

    def start(self, steps: int, seconds: float) -> None:
        """Have everybody start a job that tells of so many steps, and watch it."""
        self._ask(("start", steps, seconds))

    def updates(self) -> int:
        """Return how many updates they have been given so far."""
        return int(self._ask(("updates",)))

    def _ask(self, request: tuple[Any, ...]) -> Any:
        self._line.send(request)
        if not self._line.poll(PATIENCE):
            raise TimeoutError(f"the watchers do not answer {request[0]!r}")
        return self._line.recv()


@contextmanager
def watchers(port: int, count: int) -> Iterator[Watchers]:
    """Have so many users connected, in a process that ends with the block."""
    ours, theirs = multiprocessing.Pipe()
    child = multiprocessing.get_context("spawn").Process(
        target=_watch, args=(port, count, theirs), daemon=True
    )
    child.start()
    theirs.close()
    try:
        if not ours.poll(PATIENCE):
            raise TimeoutError("the watchers do not get in")
        ours.recv()
        yield Watchers(ours)
    finally:
        child.kill()
        child.join()


def _watch(port: int, count: int, line: Connection) -> None:
    os.nice(LOW)
    users = [Seat(f"watcher-{number}", [], token(f"watcher-{number}")) for number in range(count)]
    with Crowd(port, wire=WATCHING) as crowd:
        members = crowd.join(users)
        line.send(len(members))
        while True:
            crowd.turn(0.02)
            if crowd.lost:
                raise ConnectionError(crowd.losses)
            if not line.poll():
                continue
            match line.recv():
                case ("start", steps, seconds):
                    for member in members:
                        job = _start(port, member.seat, steps, seconds)
                        member.send(json_text({"type": "subscribe", "channel": f"job:{job}"}))
                        crowd.turn(0)
                    line.send(len(members))
                case _:
                    line.send(crowd.deliveries)


def _start(port: int, seat: Seat, steps: int, seconds: float) -> str:
    body = {"kind": "demo", "params": {"steps": steps, "seconds": seconds}}
    return str(asked(port, "POST", "/api/v1/tasks/", seat.token, body)["id"])


def asked(port: int, method: str, path: str, bearer: str, body: Any = None) -> dict[str, Any]:
    """Ask the server over HTTP.

    Raises:
        ValueError: it refuses.
    """
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    headers = {"Authorization": f"Bearer {bearer}", "Content-Type": "application/json"}
    try:
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        response = connection.getresponse()
        text = response.read()
    finally:
        connection.close()
    if response.status >= 400:
        raise ValueError(f"{method} {path}: {response.status} {text[:200]!r}")
    return dict(json.loads(text))
