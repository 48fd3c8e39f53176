"""One trial of a running server, from its first connection to the report: what `hubbub bench` does."""

import contextlib
import resource
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from hubbub.bench.crowd import Crowd
from hubbub.bench.errors import LoadError
from hubbub.bench.load import Load, keep_in_flight, keep_rate
from hubbub.bench.processes import Process
from hubbub.bench.wires import Seat

FILES_BESIDE = 64
"""Open files of this process that are not members."""

KEPT = 0.95
"""Of a rate: with less it is said that it was not kept."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked for.

    Args:
        port: where the server listens.
        token: makes the token of a user.
        host: on which address.
        members: in each room; all of them publish in turn.
        rooms: how many.
        in_flight: publications on the way at any time, in each room.
        rate: so many publications a second in all instead.
        seconds: how long it is measured.
        padding: bytes that make each message longer.
        deflate: whether compression is negotiated.
        server: the server's process, where it is on this machine.
        warm: seconds of load before it is measured.
        quiet: seconds without a byte after which the joins count as over.
    """

    port: int
    token: Callable[[str], str]
    host: str = "127.0.0.1"
    members: int = 100
    rooms: int = 1
    in_flight: int = 4
    rate: float | None = None
    seconds: float = 5.0
    padding: int = 0
    deflate: bool = False
    server: Process | None = None
    warm: float = 0.5
    quiet: float = 1.0


@dataclass(frozen=True, slots=True)
class Trial:
    """What came out; what needs the server's process is `None` where that is not known, or too small to tell.

    Args:
        connections: how many were opened.
        handshakes_per_second: with token check and a join, by the clock.
        handshakes_per_cpu_second: the same by the server's CPU, with what announcing the joins cost.
        kib_per_connection: of the server's memory (Pss).
        load: deliveries and their latency.
        notes: what the reader should know about these figures.
    """

    connections: int
    handshakes_per_second: float
    handshakes_per_cpu_second: float | None
    kib_per_connection: float | None
    load: Load
    notes: list[str] = field(default_factory=list)


def run(plan: Plan) -> Trial:
    """Open the connections, load the rooms, close everything.

    Raises:
        LoadError: it did not work; the message says what to do.
    """
    connections = plan.members * plan.rooms
    _lift_file_limit(connections)
    name = f"bench-{secrets.token_hex(4)}"  # rooms that no other run has been in
    users = [f"{name}-{number}" for number in range(connections)]
    # Tokens are made before the clock starts: signing them is not the server's work.
    seats = [
        Seat(user, [f"{name}-{number // plan.members}"], plan.token(user))
        for number, user in enumerate(users)
    ]
    server = plan.server
    with Crowd(plan.port, plan.host, deflate=plan.deflate) as crowd:
        memory, cpu, start = _memory(server), _cpu(server), time.monotonic()
        members = crowd.join(seats)
        seconds = time.monotonic() - start
        crowd.settle(plan.quiet)
        entered, grown = _cpu(server) - cpu, _memory(server) - memory
        read_cpu = server.cpu_seconds if server else None
        padding = "x" * plan.padding if not plan.deflate else _words(plan.padding)
        # Every member in turn, one of each room after the other, so that no sender is above the rate limit early.
        publishers = [
            members[room * plan.members + seat] for seat in range(plan.members) for room in range(plan.rooms)
        ]
        if plan.rate is None:
            window = plan.in_flight * plan.rooms
            load = keep_in_flight(
                crowd,
                publishers,
                plan.members,
                window,
                plan.seconds,
                warm=plan.warm,
                padding=padding,
                server_cpu=read_cpu,
            )
        else:
            load = keep_rate(
                crowd, publishers, plan.members, plan.rate, plan.seconds, padding=padding, server_cpu=read_cpu
            )
        notes = [f"{refusal} ({count:,} times)" for refusal, count in crowd.refusals.items()]
        notes += [f"{loss} (members closed: {count:,})" for loss, count in crowd.lost.items()]
        notes += _rate_not_kept(plan, load)
    return Trial(
        connections=connections,
        handshakes_per_second=connections / seconds,
        handshakes_per_cpu_second=connections / entered if entered else None,
        kib_per_connection=grown / connections if grown > 0 else None,
        load=load,
        notes=notes,
    )


def _rate_not_kept(plan: Plan, load: Load) -> list[str]:
    sent = load.published + load.refused
    if plan.rate is None or sent >= KEPT * int(plan.rate * plan.seconds):
        return []
    return [f"the rate was not kept: {sent / plan.seconds:,.0f} a second were sent, not {plan.rate:,.0f}"]


def _cpu(server: Process | None) -> float:
    return server.cpu_seconds() if server else 0.0


def _memory(server: Process | None) -> int:
    return server.memory().pss if server else 0


def _words(size: int) -> str:
    """Return text that deflates about as well as JSON does, and is the same each time."""
    return " ".join(f"{number * 2654435761 % 4294967296:x}" for number in range(size // 8 + 1))[:size]


def _lift_file_limit(connections: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = connections + FILES_BESIDE
    if soft >= needed:
        return
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(needed, hard), hard))
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < needed:
        raise LoadError(
            f"{connections:,} connections need as many open files, and {hard:,} are allowed: ulimit -n."
        )
