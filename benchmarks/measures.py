"""What is measured, each on a server started for it alone."""

import time
from dataclasses import dataclass

from contestants import SECRET, Contestant
from crowd import Crowd
from load import Latency, Throughput, keep_in_flight, keep_rate

ROOM = "bench"
WARM = 0.5


@dataclass(frozen=True, slots=True)
class Size:
    """How large and how long."""

    members: int = 1000
    windows: tuple[int, ...] = (4, 64)
    seconds: float = 3.0
    readers: int = 200
    stalled: int = 10
    rate: float = 50.0
    padding: int = 2000
    stalled_seconds: float = 8.0
    connections: int = 2000
    room_of: int = 10


@dataclass(frozen=True, slots=True)
class Idle:
    """What a connection costs that has joined one room with all others: KiB, and the server's CPU to get in."""

    pss: float
    rss: float
    handshakes_per_cpu_second: float


@dataclass(frozen=True, slots=True)
class Handshakes:
    """Handshakes with token check and join: a second of the server's CPU, and a second by the clock."""

    per_cpu_second: float
    per_second: float


def fan_out(contestant: Contestant, core: int, size: Size) -> dict[int, Throughput]:
    """Load one room at each number of publications in flight."""
    with contestant.serving(core) as server, Crowd(server.port, SECRET) as crowd:
        publisher, *_ = crowd.join((f"u{i}", ROOM) for i in range(size.members + 1))
        results = {}
        for window in size.windows:
            crowd.settle()
            results[window] = keep_in_flight(crowd, publisher, window, server.cpu_seconds, WARM, size.seconds)
        return results


def stalled_receivers(contestant: Contestant, core: int, size: Size) -> dict[int, Latency]:
    """Time a room at a modest rate, without and with members that never read."""
    results = {}
    for stalled in (0, size.stalled):
        with contestant.serving(core) as server, Crowd(server.port, SECRET) as crowd:
            idlers = crowd.join(((f"idler{i}", ROOM) for i in range(stalled)), small_buffers=True)
            publisher, *_ = crowd.join((f"u{i}", ROOM) for i in range(size.readers))
            crowd.settle()
            keep_rate(crowd, publisher, size.rate, WARM, 0, drain=1.0)
            crowd.stall(idlers)
            results[stalled] = keep_rate(
                crowd, publisher, size.rate, size.stalled_seconds, size.padding, drain=2.0
            )
    return results


def idle_memory(contestant: Contestant, core: int, size: Size) -> Idle:
    """Weigh the server before and after a crowd has joined one room."""
    with contestant.serving(core) as server, Crowd(server.port, SECRET) as crowd:
        crowd.join((f"first{i}", "elsewhere") for i in range(10))  # what is loaded once is not a connection's
        crowd.settle()
        before, cpu = server.memory(), server.cpu_seconds()
        crowd.join((f"u{i}", ROOM) for i in range(size.connections))
        crowd.settle()
        after, cpu = server.memory(), server.cpu_seconds() - cpu
    return Idle(
        pss=(after.pss - before.pss) / size.connections,
        rss=(after.rss - before.rss) / size.connections,
        handshakes_per_cpu_second=size.connections / cpu,
    )


def handshakes(contestant: Contestant, core: int, size: Size) -> Handshakes:
    """Let a crowd in as fast as the server can, into small rooms."""
    with contestant.serving(core) as server, Crowd(server.port, SECRET) as crowd:
        crowd.join((f"first{i}", f"first{i // size.room_of}") for i in range(200))
        crowd.settle()
        start, cpu = time.monotonic(), server.cpu_seconds()
        crowd.join((f"u{i}", f"{ROOM}{i // size.room_of}") for i in range(size.connections))
        seconds = time.monotonic() - start
        crowd.settle()  # announcements that are put off are part of a join's cost
        cpu = server.cpu_seconds() - cpu
    return Handshakes(size.connections / cpu, size.connections / seconds)
