"""``/metrics`` for Prometheus: what the hub counts, under names of its own."""

from typing import Any

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.registry import Collector

from hubbub import Hub
from hubbub.server.job_metrics import JOB_COUNTERS, JOB_GAUGES, JobMetrics
from hubbub.server.readings import OfWorker, Readings, Row

GAUGES: tuple[Row[Hub], ...] = (
    Row("hubbub_connections", "Clients that are connected to this node.", lambda hub: hub.connections),
    Row(
        "hubbub_draining", "1 while clients are sent away before a stop.", lambda hub: float(hub.is_draining)
    ),
    Row("hubbub_channels", "Channels with subscribers on this node.", lambda hub: hub.channels),
    Row(
        "hubbub_nodes",
        "Nodes that this one hears of, itself included.",
        lambda hub: hub.cluster.known_nodes,
    ),
    Row(
        "hubbub_revocations",
        "Revocations that are in force, as far as this node knows.",
        lambda hub: hub.cluster.revocations,
    ),
    Row(
        "hubbub_outbox_relaying",
        "1 on the node that relays what transactions published.",
        lambda hub: float(hub.statistics.outbox.is_relaying),
    ),
    Row(
        "hubbub_outbox_waiting",
        "Publications of transactions that are to be relayed; 0 on nodes that do not relay, as are the next two.",
        lambda hub: hub.statistics.outbox.waiting,
    ),
    Row(
        "hubbub_outbox_oldest_seconds",
        "How long ago the oldest of them was written.",
        lambda hub: hub.statistics.outbox.oldest,
    ),
    Row(
        "hubbub_outbox_parked",
        "Publications of transactions that can never be relayed and are kept.",
        lambda hub: hub.statistics.outbox.parked,
    ),
)
COUNTERS: tuple[Row[Hub], ...] = (
    Row("hubbub_connections_opened", "Connections welcomed.", lambda hub: hub.statistics.connections),
    Row(
        "hubbub_connections_refused",
        "Handshakes turned away, by error code.",
        lambda hub: hub.statistics.refused_connections,
        "code",
    ),
    Row(
        "hubbub_connections_closed",
        "Connections that the server closed, by close code.",
        lambda hub: {str(code): count for code, count in hub.statistics.closes.items()},
        "code",
    ),
    Row(
        "hubbub_commands", "Messages from clients that were carried out.", lambda hub: hub.statistics.commands
    ),
    Row(
        "hubbub_commands_refused",
        "Messages from clients that were answered with an error, by error code.",
        lambda hub: hub.statistics.refusals,
        "code",
    ),
    Row(
        "hubbub_publications",
        "Publications that arrived from the broker for subscribers on this node.",
        lambda hub: hub.statistics.publications,
    ),
    Row(
        "hubbub_deliveries",
        "Publications handed to connections, one for each receiver.",
        lambda hub: hub.statistics.deliveries,
    ),
    Row(
        "hubbub_recoveries",
        "Subscriptions with a position, by outcome.",
        lambda hub: hub.statistics.recoveries,
        "outcome",
    ),
    Row(
        "hubbub_pauses",
        "Times a connection was too slow to be written to.",
        lambda hub: hub.statistics.pauses,
    ),
    Row(
        "hubbub_catch_ups",
        "Times a slow connection was brought up to date from the streams.",
        lambda hub: hub.statistics.catch_ups,
    ),
    Row(
        "hubbub_gap_publications",
        "Publications that connections will not get, by the reason.",
        lambda hub: hub.statistics.gaps,
        "overflow",
    ),
    Row(
        "hubbub_broker_interruptions",
        "Times that the broker may have missed deliveries, by the reason.",
        lambda hub: hub.statistics.interruptions,
        "reason",
    ),
    Row(
        "hubbub_publications_mended",
        "Publications that the broker did not deliver, and that were found in the stream.",
        lambda hub: hub.statistics.mended,
    ),
    Row(
        "hubbub_outbox_relayed",
        "Publications of transactions that this node has relayed.",
        lambda hub: hub.statistics.outbox.relayed,
    ),
    Row(
        "hubbub_outbox_refused",
        "Publications of transactions that this node has put aside, because they can never be relayed.",
        lambda hub: hub.statistics.outbox.refused,
    ),
    Row(
        "hubbub_failures",
        "Hooks of the application that raised something unexpected.",
        lambda hub: hub.statistics.failures,
    ),
)


def hub_readings(hub: Hub) -> Readings[Hub]:
    """Return the metrics of a hub, as long as it runs."""
    return Readings(GAUGES, COUNTERS, lambda: hub if hub.is_running else None)


def metrics_routes(hub: Hub, jobs: JobMetrics | None = None, worker: int | None = None) -> APIRouter:
    """Serve the metrics of a hub, of jobs and of the process; with the label `worker` where it is one of several."""
    router = APIRouter(tags=["operations"])
    registry = CollectorRegistry()
    collectors: list[Collector] = [
        hub_readings(hub),
        Readings(JOB_GAUGES, JOB_COUNTERS, lambda: jobs),
        ProcessCollector(registry=None),
    ]
    for collector in collectors:
        registry.register(collector if worker is None else OfWorker(collector, worker))

    @router.get("/metrics", response_class=Response, summary="Counters for Prometheus")
    async def metrics() -> Response:
        """In Prometheus' text format."""
        if jobs is not None:
            await jobs.look()
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return router


def metrics_table() -> str:
    """Write the metrics as a table in Markdown, for the documentation."""
    rows = ["| Name | Kind | Label | Meaning |", "|---|---|---|---|"]
    tables: tuple[tuple[str, str, tuple[Row[Any], ...]], ...]
    tables = (("gauge", "", (*GAUGES, *JOB_GAUGES)), ("counter", "_total", (*COUNTERS, *JOB_COUNTERS)))
    for kind, ending, table in tables:
        rows += [f"| `{row.name}{ending}` | {kind} | {row.label or ''} | {row.help} |" for row in table]
    return "\n".join(rows)
