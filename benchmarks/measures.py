"""What is measured, each on a server started for it alone; a figure has a name and is a number."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import contestants as of
from contestants import Contestant
from hubbub.bench import Crowd, Load, Member, Seat, keep_in_flight, keep_rate
from processes import Server
from seats import seats, token, words

WARM = 0.5

Figures = dict[str, float]


@dataclass(frozen=True, slots=True)
class Size:
    """How large and how long; `short` is for seeing that everything works."""

    seconds: float = 2.0
    quiet: float = 1.0
    members: int = 1000
    few: int = 100
    rooms: int = 500
    room_of: int = 10
    many: int = 5000
    deflated: int = 300
    readers: int = 500
    stalled: int = 5
    rate: float = 50.0
    padding: int = 2000
    stalled_seconds: float = 8.0
    idle: int = 15_000
    idle_of_others: int = 2000
    handshakes: int = 2000


SHORT = Size(
    seconds=0.4,
    quiet=0.3,
    members=200,
    few=50,
    rooms=50,
    many=300,
    deflated=50,
    readers=100,
    stalled=2,
    stalled_seconds=2.0,
    idle=500,
    idle_of_others=200,
    handshakes=300,
)


def fan_out(contestant: Contestant, core: int, size: Size) -> Figures:
    """Load one room with 64 and with 4 publications in flight."""
    figures: Figures = {}
    with contestant.serving(core) as server, _crowd(contestant, server) as crowd:
        members = crowd.join(seats(size.members, "bench"))
        for window in (64, 4):
            load = _load(crowd, server, members[-1:], size.members, window, size)
            figures[f"deliveries {window}"] = load.per_cpu_second or 0.0
            figures[f"p99 {window}"] = load.latency.p99 if load.latency else 0.0
            figures[f"busy {window}"] = 100 * load.client_cpu / load.seconds
            figures["bytes"] = load.bytes_received / load.deliveries
    return figures


def one_at_a_time(contestant: Contestant, core: int, size: Size) -> Figures:
    """Load a small room with one publication in flight, every delivery timed."""
    with contestant.serving(core) as server, _crowd(contestant, server) as crowd:
        members = crowd.join(seats(size.few, "bench"))
        load = _load(crowd, server, members[-1:], size.few, 1, size, timed=size.few)
    if load.latency is None:
        return {}
    latency = {"p50": load.latency.p50, "p99": load.latency.p99, "p99.9": load.latency.p999}
    return {"deliveries": load.per_cpu_second or 0.0, **latency}


def small_rooms(contestant: Contestant, core: int, size: Size) -> Figures:
    """Let one member of each of many small rooms talk, with one and with four publications in flight a room."""
    figures: Figures = {}
    with contestant.serving(core) as server, _crowd(contestant, server) as crowd:
        members = crowd.join(seats(size.rooms * size.room_of, "bench", size.room_of))
        talkers = members[:: size.room_of]
        for window in (1, 4):
            load = _load(crowd, server, talkers, size.room_of, window * size.rooms, size)
            figures[f"messages {window}"] = (load.per_cpu_second or 0.0) / size.room_of
            figures[f"deliveries {window}"] = load.per_cpu_second or 0.0
            figures[f"p99 {window}"] = load.latency.p99 if load.latency else 0.0
    return figures


def many_rooms(contestant: Contestant, core: int, size: Size) -> Figures:
    """Let every member talk, each in ten of as many rooms as there are members."""
    users = [f"u{number}" for number in range(size.many)]
    everybody = [
        Seat(user, [f"r{(number + step * 7) % size.many}" for step in range(size.room_of)], token(user))
        for number, user in enumerate(users)
    ]
    with contestant.serving(core) as server, _crowd(contestant, server) as crowd:
        members = crowd.join(everybody)
        load = _load(crowd, server, members, size.room_of, size.many, size)
    messages = (load.per_cpu_second or 0.0) / size.room_of
    p99 = load.latency.p99 if load.latency else 0.0
    return {"messages": messages, "deliveries": load.per_cpu_second or 0.0, "p99": p99}


def deflated(contestant: Contestant, core: int, size: Size) -> Figures:
    """Send a KiB of JSON to members that all have negotiated compression."""
    figures: Figures = {}
    with (
        contestant.serving(core, deflate=True) as server,
        Crowd(server.port, wire=contestant.wire, deflate=True) as crowd,
    ):
        members = crowd.join(seats(size.deflated, "bench"))
        for window in (1, 8):
            load = _load(crowd, server, members[-1:], size.deflated, window, size, words(1024))
            figures[f"deliveries {window}"] = load.per_cpu_second or 0.0
            figures[f"bytes {window}"] = load.bytes_received / load.deliveries
    return figures


def stalled_receivers(contestant: Contestant, core: int, size: Size) -> Figures:
    """Time a room at a modest rate, without and with members that never read; then see who was cut off."""
    figures: Figures = {}
    for name, stalled in (("without", 0), ("with", size.stalled)):
        with contestant.serving(core) as server, _crowd(contestant, server) as crowd:
            idlers = crowd.join(seats(stalled, "bench"), small_buffers=True) if stalled else []
            *_, publisher = crowd.join(
                [Seat(f"r{i}", ["bench"], token(f"r{i}")) for i in range(size.readers)]
            )
            crowd.settle(size.quiet)
            crowd.stall(idlers)
            load = keep_rate(
                crowd,
                [publisher],
                size.readers,
                size.rate,
                size.stalled_seconds,
                padding="x" * size.padding,
                server_cpu=server.process.cpu_seconds,
            )
            if load.latency is not None:
                figures[f"p50 {name}"] = load.latency.p50
                figures[f"p99 {name}"] = load.latency.p99
            if stalled:
                figures["missing"] = 100 * load.missing / (load.published * size.readers)
                figures["closed"] = 100 * crowd.cut_off(idlers) / stalled
    figures["p99 ratio"] = figures["p99 with"] / figures["p99 without"]
    return figures


def idle(contestant: Contestant, core: int, size: Size) -> Figures:
    """Weigh the server before and after a crowd has joined one room."""
    connections = size.idle if contestant.holds_many else size.idle_of_others
    with contestant.serving(core) as server, _crowd(contestant, server) as crowd:
        crowd.join(seats(10, "elsewhere"))  # what is loaded once is not a connection's
        crowd.settle(size.quiet)
        before = server.process.memory()
        crowd.join(seats(connections, "bench"))
        crowd.settle(size.quiet)
        after = server.process.memory()
    pss, rss = after.pss - before.pss, after.rss - before.rss
    return {"connections": connections, "pss": pss / connections, "rss": rss / connections}


def handshakes(contestant: Contestant, core: int, size: Size) -> Figures:
    """Let a crowd in as fast as the server can: into one room, and into small ones."""
    figures: Figures = {}
    for name, room_of in (("room", None), ("rooms", size.room_of)):
        with contestant.serving(core) as server, _crowd(contestant, server) as crowd:
            crowd.join(seats(200, "first", size.room_of))
            crowd.settle(size.quiet)
            coming = seats(size.handshakes, "bench", room_of)
            start, cpu = time.monotonic(), server.process.cpu_seconds()
            crowd.join(coming)
            seconds = time.monotonic() - start
            crowd.settle(size.quiet)  # announcements that are put off are part of a join's cost
            figures[f"{name} cpu"] = size.handshakes / (server.process.cpu_seconds() - cpu)
            figures[f"{name} clock"] = size.handshakes / seconds
    return figures


def _crowd(contestant: Contestant, server: Server) -> Crowd:
    return Crowd(server.port, wire=contestant.wire)


def _load(
    crowd: Crowd,
    server: Server,
    publishers: Sequence[Member],
    readers: int,
    window: int,
    size: Size,
    padding: str = "",
    timed: int = 20,
) -> Load:
    crowd.settle(size.quiet)
    return keep_in_flight(
        crowd,
        publishers,
        readers,
        window,
        size.seconds,
        warm=min(WARM, size.seconds),
        padding=padding,
        server_cpu=server.process.cpu_seconds,
        timed=timed,
    )


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Args:
        heading: over it.
        figure: what is in it.
        compared: whether the ratio of Hubbub to this server is shown beside it.
        less_is_better: which way the ratio goes.
    """

    heading: str
    figure: str
    compared: bool = False
    less_is_better: bool = False


@dataclass(frozen=True, slots=True)
class Target:
    """What Hubbub shall reach: so many times another's figure, or an absolute one."""

    figure: str
    factor: float
    of: Contestant | None = None
    at_most: bool = False


@dataclass(frozen=True, slots=True)
class Measure:
    """A table: who is in it, how a figure is taken, what is shown and what shall be reached."""

    title: Callable[[Size], str]
    take: Callable[[Contestant, int, Size], Figures]
    columns: Sequence[Column]
    contestants: Sequence[Contestant]
    targets: Sequence[Target] = ()
    note: str = ""


ALL = of.ALL

MEASURES = {
    "fan-out": Measure(
        lambda size: f"One room, {size.members:,} members: deliveries per second of server CPU",
        fan_out,
        [
            Column("64 in flight", "deliveries 64", compared=True),
            Column("p99 ms", "p99 64"),
            Column("client busy %", "busy 64"),
            Column("4 in flight", "deliveries 4", compared=True),
            Column("p99 ms", "p99 4"),
            Column("client busy %", "busy 4"),
            Column("bytes a delivery", "bytes"),
        ],
        ALL,
        [Target("deliveries 64", 1, of.UWEBSOCKETS), Target("deliveries 4", 1, of.UWEBSOCKETS)],
        "Client busy: how much of its core the load took; near 100 % the server may have waited for it.",
    ),
    "one-at-a-time": Measure(
        lambda size: f"One room, {size.few:,} members, one publication in flight",
        one_at_a_time,
        [
            Column("deliveries per second of server CPU", "deliveries", compared=True),
            Column("p50 ms", "p50", compared=True, less_is_better=True),
            Column("p99 ms", "p99"),
            Column("p99.9 ms", "p99.9"),
        ],
        ALL,
        [Target("p50", 1, of.NODE_WS, at_most=True)],
    ),
    "small-rooms": Measure(
        lambda size: f"{size.rooms:,} rooms of {size.room_of}, every room talking",
        small_rooms,
        [
            Column("messages in per second of server CPU, 1 in flight a room", "messages 1", compared=True),
            Column("deliveries", "deliveries 1"),
            Column("p99 ms", "p99 1"),
            Column("messages in, 4 in flight a room", "messages 4", compared=True),
            Column("deliveries", "deliveries 4"),
            Column("p99 ms", "p99 4"),
        ],
        ALL,
        [Target("messages 1", 1, of.NODE_WS), Target("messages 4", 1, of.NODE_WS)],
    ),
    "many-rooms": Measure(
        lambda size: f"{size.many:,} connections, each in {size.room_of} of {size.many:,} rooms, all talking",
        many_rooms,
        [
            Column("messages in per second of server CPU", "messages", compared=True),
            Column("deliveries", "deliveries"),
            Column("p99 ms", "p99"),
        ],
        [of.HUBBUB, of.UWEBSOCKETS, of.NODE_WS, of.ONE_BY_ONE],
        [Target("messages", 1, of.NODE_WS)],
    ),
    "deflate": Measure(
        lambda size: f"1 KiB of JSON to {size.deflated:,} members that negotiated permessage-deflate",
        deflated,
        [
            Column("deliveries per second of server CPU, 1 in flight", "deliveries 1", compared=True),
            Column("8 in flight", "deliveries 8", compared=True),
            Column("bytes a delivery", "bytes 8"),
        ],
        [each for each in ALL if each.deflate is not None],
        [Target("deliveries 1", 1, of.NODE_WS), Target("deliveries 8", 1, of.NODE_WS)],
    ),
    "stalled": Measure(
        lambda size: (
            f"{size.readers:,} members, {size.rate:.0f} messages a second of {size.padding / 1000:.0f} kB, "
            f"{size.stalled} more members that never read: latency of the others in ms"
        ),
        stalled_receivers,
        [
            Column("p50 without", "p50 without"),
            Column("p50 with", "p50 with"),
            Column("p99 without", "p99 without"),
            Column("p99 with", "p99 with"),
            Column("p99 ratio", "p99 ratio", compared=False),
            Column("not delivered %", "missing"),
            Column("stalled ones closed %", "closed"),
        ],
        [of.HUBBUB, of.NODE_WS, of.QUEUE_AND_WRITER, of.ONE_BY_ONE],
        [Target("p99 ratio", 1.5, at_most=True), Target("closed", 100)],
        "What was not delivered when the time was over counts with its age then. Closed: the server was seen to end "
        "the connection of a member that did not read.",
    ),
    "idle": Measure(
        lambda _: "Idle connections joined to one room: KiB a connection",
        idle,
        [
            Column("connections", "connections"),
            Column("Pss", "pss", compared=True, less_is_better=True),
            Column("Rss", "rss"),
        ],
        ALL,
        [Target("pss", 4, at_most=True)],
        "Hubbub tells the room who came and keeps presence; the others do neither.",
    ),
    "handshakes": Measure(
        lambda size: f"{size.handshakes:,} handshakes with token check and join, a second of server CPU",
        handshakes,
        [
            Column("into one room", "room cpu", compared=True),
            Column("a second by the clock", "room clock"),
            Column("into rooms of ten", "rooms cpu", compared=True),
            Column("a second by the clock", "rooms clock"),
        ],
        [each for each in ALL if each.tokens],
        [Target("room cpu", 1, of.ONE_BY_ONE), Target("rooms cpu", 1, of.ONE_BY_ONE)],
        "Hubbub tells the room who came and keeps presence; the others do neither.",
    ),
}
