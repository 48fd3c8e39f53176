"""Two ways to load rooms: publications kept in flight, or so many a second whatever comes back."""

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hubbub.bench.counting import Stopwatch
from hubbub.bench.crowd import Crowd
from hubbub.bench.errors import LoadError
from hubbub.bench.members import Member
from hubbub.bench.percentiles import Percentiles, percentiles

TIMED = 20
"""Members whose every delivery is timed while publications are kept in flight; of the others they are counted."""

BREATH = 0.05
"""Seconds without a publication after the server has refused one for its rate."""

BURST = 1024
"""Publications between two turns of the crowd: what comes meanwhile is read late, and so is that the server closed."""

BURST_BYTES = 1 << 24
"""The same for long messages, which the client holds where the server does not take them."""


@dataclass(frozen=True, slots=True)
class Load:
    """What arrived.

    Args:
        published: publications sent, warm-up included, without those that the server refused.
        received: deliveries of these, when the last had come or was given up.
        missing: deliveries that never came.
        deliveries: those that came while it was measured.
        seconds: how long that was by the clock.
        server_cpu: and in the server's CPU seconds; `None` where it cannot be read.
        client_cpu: and in the client's.
        bytes_received: while it was measured.
        refused: publications that the server refused.
        latency: from the call that sends to the arrival.
    """

    published: int
    received: int
    missing: int
    deliveries: int
    seconds: float
    server_cpu: float | None
    client_cpu: float
    bytes_received: int
    refused: int
    latency: Percentiles | None

    @property
    def per_second(self) -> float:
        """Deliveries a second by the clock."""
        return self.deliveries / self.seconds

    @property
    def per_cpu_second(self) -> float | None:
        """Deliveries a second of the server's CPU."""
        return self.deliveries / self.server_cpu if self.server_cpu else None


def keep_in_flight(
    crowd: Crowd,
    publishers: Sequence[Member],
    readers: int,
    window: int,
    seconds: float,
    *,
    warm: float = 0.5,
    padding: str = "",
    server_cpu: Callable[[], float] | None = None,
    timed: int = TIMED,
) -> Load:
    """Let the publishers take turns while fewer than `window` publications are on the way, and count what arrives.

    A publication has arrived when there are as many deliveries as readers. What is sent in the first `warm` seconds
    is not measured.

    Args:
        crowd: who receives.
        publishers: who sends, each to the first of its rooms.
        readers: how many members each publication reaches, its publisher included.
        window: how many may be on the way in all rooms together.
        seconds: how long it is measured.
        warm: seconds before that.
        padding: what makes the messages longer.
        server_cpu: reads the server's CPU seconds.
        timed: how many members, evenly spread, are timed.

    Raises:
        LoadError: nothing arrived, or members were closed.
    """
    flight = _Flight(crowd, publishers, readers, padding)
    everybody = list(crowd.members.values())
    crowd.time(everybody[:: max(1, len(everybody) // timed)])
    crowd.counter.stopwatch = Stopwatch(since=time.monotonic_ns() + int(warm * 1e9))
    flight.keep(window, time.monotonic() + warm)
    cpu = server_cpu() if server_cpu else 0.0
    start, own, counted, received = (
        time.monotonic(),
        time.process_time(),
        crowd.deliveries,
        crowd.bytes_received,
    )
    flight.keep(window, start + seconds)
    measured = {
        "deliveries": crowd.deliveries - counted,
        "seconds": time.monotonic() - start,
        "client_cpu": time.process_time() - own,
        "server_cpu": server_cpu() - cpu if server_cpu else None,
        "bytes_received": crowd.bytes_received - received,
    }
    flight.drain(2.0)
    times = crowd.counter.stopwatch.times
    crowd.counter.stopwatch = None
    if crowd.lost or not measured["deliveries"]:
        raise LoadError(
            f"{measured['deliveries']} deliveries, {crowd.lost.total()} members closed under load: {crowd.losses}."
        )
    return Load(
        published=flight.taken,
        received=flight.arrived,
        missing=flight.taken * readers - flight.arrived,
        refused=flight.refused,
        latency=percentiles(times),
        **measured,  # type: ignore[arg-type]  # mypy joins the values' types
    )


def keep_rate(
    crowd: Crowd,
    publishers: Sequence[Member],
    readers: int,
    rate: float,
    seconds: float,
    *,
    padding: str = "",
    drain: float = 2.0,
    server_cpu: Callable[[], float] | None = None,
) -> Load:
    """Publish `rate` messages a second in all, then wait until nothing has come for `drain` seconds.

    Every delivery is timed; one that never comes counts with its age when the wait is over. Nothing is published while
    the server does not take what was: then fewer than `rate` are.

    Raises:
        LoadError: a member that publishes was closed.
    """
    flight = _Flight(crowd, publishers, readers, padding)
    crowd.time(crowd.members.values())
    crowd.counter.stopwatch = stopwatch = Stopwatch(awaited={})
    awaited = stopwatch.awaited = {}
    cpu = server_cpu() if server_cpu else 0.0
    own, received = time.process_time(), crowd.bytes_received
    start = time.monotonic()
    while (now := time.monotonic() - start) < seconds:
        most = flight.most(flight.sent)
        while flight.sent < now * rate and flight.sent < most:
            awaited[flight.publish()] = readers
        crowd.turn(0.001)
    flight.drain(drain)
    crowd.counter.stopwatch = None
    if flight.arrived < flight.taken * readers:
        stopwatch.give_up()
    return Load(
        published=flight.taken,
        received=flight.arrived,
        missing=flight.taken * readers - flight.arrived,
        deliveries=flight.arrived,
        seconds=time.monotonic() - start,
        server_cpu=server_cpu() - cpu if server_cpu else None,
        client_cpu=time.process_time() - own,
        bytes_received=crowd.bytes_received - received,
        refused=flight.refused,
        latency=percentiles(stopwatch.times),
    )


class _Flight:
    """Publications of one load: who sends the next one, how many were sent, how many have arrived."""

    def __init__(self, crowd: Crowd, publishers: Sequence[Member], readers: int, padding: str) -> None:
        crowd.prepare(publishers, padding)
        self._crowd = crowd
        self._readers = readers
        self._turns = itertools.cycle(publishers)
        self._before = crowd.deliveries
        self._refused_before = crowd.refused
        self.sent = 0
        longest = max(sum(map(len, publisher.template)) for publisher in publishers)
        self.burst = max(1, min(BURST, BURST_BYTES // longest))

    def most(self, sent: int) -> int:
        """Return how many may be sent before the next turn: none more while the client holds much untaken."""
        held = sum(len(member.unsent) for member in self._crowd.unsent)
        return sent if held >= BURST_BYTES else sent + self.burst

    @property
    def refused(self) -> int:
        return self._crowd.refused - self._refused_before

    @property
    def taken(self) -> int:
        return self.sent - self.refused

    @property
    def arrived(self) -> int:
        return self._crowd.deliveries - self._before

    def publish(self) -> int:
        self.sent += 1
        return self._crowd.publish(next(self._turns))

    def keep(self, window: int, end: float) -> None:
        # Next to nothing is done for a turn: where the client keeps up there is one for each delivery or two.
        crowd, readers, before, burst = self._crowd, self._readers, self._before, self.burst
        turn, monotonic, unsent = crowd.turn, time.monotonic, crowd.unsent
        refused, taken = crowd.refused, self.taken
        held_until = 0.0
        while (now := monotonic()) < end and not crowd.lost:
            if crowd.refused != refused:
                refused, taken, held_until = crowd.refused, self.taken, now + BREATH
            elif now >= held_until:
                most = window + (crowd.deliveries - before) // readers
                if taken < most:
                    if unsent or most - taken > burst:
                        most = min(most, self.most(taken))
                    while taken < most:
                        self.publish()
                        taken += 1
            turn(0.02)

    def drain(self, seconds: float) -> None:
        """Wait for what is on the way, until nothing has come for so long."""
        arrived, end = self.arrived, time.monotonic() + seconds
        while self.arrived < self.taken * self._readers and time.monotonic() < end and not self._crowd.lost:
            self._crowd.turn(0.02)
            if self.arrived != arrived:
                arrived, end = self.arrived, time.monotonic() + seconds
