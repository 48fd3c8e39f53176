"""What a node counts; `/metrics` shows these, and tests read them."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class OutboxStatistics:
    """What a node knows of the publications that wait in a database; all but the totals only while it relays them."""

    is_relaying: bool = False
    """Whether this node is the one that relays."""
    waiting: int = 0
    """Rows that are to be published, as they were counted last."""
    oldest: float = 0.0
    """Seconds since the oldest of them was written."""
    parked: int = 0
    """Rows that can never be published, and are kept."""
    relayed: int = 0
    """Rows that this node published, in total."""
    refused: int = 0
    """Rows that this node put aside, in total."""

    def leave(self) -> None:
        """Know nothing any more of what another node relays now."""
        self.is_relaying, self.waiting, self.oldest, self.parked = False, 0, 0.0, 0


@dataclass(slots=True)
class Statistics:
    """Totals since the node started. Every bound that is reached has a counter here."""

    connections: int = 0
    """Sessions that were welcomed."""
    refused_connections: dict[str, int] = field(default_factory=dict)
    """Handshakes turned away, by error code."""
    closes: dict[int, int] = field(default_factory=dict)
    """Sessions that the server closed, by close code."""
    commands: int = 0
    """Messages from clients that were carried out."""
    refusals: dict[str, int] = field(default_factory=dict)
    """Messages from clients that were answered with an error, by error code."""
    publications: int = 0
    """Publications that arrived from the broker for local subscribers."""
    deliveries: int = 0
    """Publications handed to sessions, one for each receiver."""
    recoveries: dict[str, int] = field(default_factory=lambda: {"recovered": 0, "unrecovered": 0})
    """Subscriptions with a position, by outcome."""
    pauses: int = 0
    """Times a session was too slow and left the fast set."""
    catch_ups: int = 0
    """Times a slow session was brought up to date from the streams."""
    gaps: dict[str, int] = field(default_factory=dict)
    """Publications that sessions will not get: by the overflow policy of the namespace for which a session was too slow,
    ``not_kept`` where there is no stream, ``broker`` where the stream itself had lost them."""
    interruptions: dict[str, int] = field(default_factory=dict)
    """Times that the broker may have missed deliveries: ``deaf``, ``connection`` or ``moved``."""
    mended: int = 0
    """Publications that the broker did not deliver, and that were found in the stream."""
    outlet: str | None = None
    """How the bytes of the last connection leave: ``direct``, written to its socket, or ``queued``, through ASGI."""
    failures: int = 0
    """Commands that failed unexpectedly: a fault of a hook, or of the server."""

    outbox: OutboxStatistics = field(default_factory=OutboxStatistics)
    """Publications that wait in a database."""

    @staticmethod
    def count(table: dict[str, int], key: str, by: int = 1) -> None:
        """Add to one row of a table."""
        table[key] = table.get(key, 0) + by
