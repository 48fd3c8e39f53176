"""Two ways to load a room: a number of publications kept in flight, or so many a second whatever comes back."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from crowd import MARK, NEEDLE, Crowd, LoadError, Member


@dataclass(frozen=True, slots=True)
class Throughput:
    """What arrived while publications were kept in flight."""

    deliveries: int
    seconds: float
    server_cpu: float
    client_cpu: float
    bytes_received: int


@dataclass(frozen=True, slots=True)
class Latency:
    """How long publications took to each reader, in ms; one that never came counts with its age at the end."""

    p50: float
    p99: float
    expected: int
    missing: int


def keep_in_flight(
    crowd: Crowd, publisher: Member, window: int, server_cpu: Callable[[], float], warm: float, seconds: float
) -> Throughput:
    """Publish while fewer than `window` publications are on the way, and count what arrives after `warm` seconds.

    A publication has arrived when there are as many deliveries as readers. The publisher is a member of the room,
    but what it receives itself is not counted.
    """
    readers = len(crowd.members) - 1
    before = crowd.deliveries - publisher.received
    sent = 0

    def publish_until(end: float) -> None:
        nonlocal sent
        while time.monotonic() < end:
            arrived = (crowd.deliveries - publisher.received - before) // readers
            while sent - arrived < window:
                crowd.publish(publisher)
                sent += 1
            crowd.turn(0.02)

    publish_until(time.monotonic() + warm)
    start, own, cpu = time.monotonic(), time.process_time(), server_cpu()
    counted, received = crowd.deliveries - publisher.received, crowd.bytes_received
    publish_until(start + seconds)
    result = Throughput(
        deliveries=crowd.deliveries - publisher.received - counted,
        seconds=time.monotonic() - start,
        server_cpu=server_cpu() - cpu,
        client_cpu=time.process_time() - own,
        bytes_received=crowd.bytes_received - received,
    )
    if crowd.lost or not result.deliveries:
        raise LoadError(f"{result.deliveries} deliveries, {crowd.lost} clients closed while measuring")
    return result


def keep_rate(
    crowd: Crowd, publisher: Member, rate: float, seconds: float, padding: int, drain: float
) -> Latency:
    """Publish `rate` messages a second, then wait at most `drain` seconds for what is missing."""
    stopwatch = Stopwatch()
    crowd.on_marks = stopwatch.take
    readers = len(crowd.members)
    sent = 0
    start = time.monotonic()
    while (now := time.monotonic() - start) < seconds:
        while sent < now * rate:
            stopwatch.awaited[crowd.publish(publisher, "x" * padding)] = readers
            sent += 1
        crowd.turn(0.001)
    while any(stopwatch.awaited.values()) and time.monotonic() < start + seconds + drain:
        crowd.turn(0.02)
    crowd.on_marks = None
    missing = stopwatch.give_up()
    timed = sorted(stopwatch.times)
    return Latency(
        p50=timed[len(timed) // 2] / 1e6,
        p99=timed[len(timed) * 99 // 100] / 1e6,
        expected=sent * readers,
        missing=missing,
    )


@dataclass(slots=True)
class Stopwatch:
    """Times marks as they come in: `awaited` says how many readers each still has to reach."""

    awaited: dict[int, int] = field(default_factory=dict)
    times: list[int] = field(default_factory=list)

    def take(self, data: bytes | bytearray) -> None:
        """Time the marks of a chunk."""
        now = time.monotonic_ns()
        at = data.find(NEEDLE)
        while at >= 0:
            stamp = int(data[at + len(NEEDLE) : at + MARK], 16)
            if self.awaited.get(stamp):
                self.awaited[stamp] -= 1
                self.times.append(now - stamp)
            at = data.find(NEEDLE, at + MARK)

    def give_up(self) -> int:
        """Enter what has not come with its age, and return how many that are."""
        now = time.monotonic_ns()
        for stamp, absent in self.awaited.items():
            self.times.extend([now - stamp] * absent)
        return sum(self.awaited.values())
