"""``/metrics`` for Prometheus: what the hub counts, under names of its own."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from hubbub import Hub

Reading = Callable[[Hub], float | Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Row:
    """One metric: what it is called, what it means, how it is read; a table of values needs a `label`."""

    name: str
    help: str
    read: Reading
    label: str | None = None


GAUGES = (
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
COUNTERS = (
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


class HubCollector(Collector):
    """Reads a hub when Prometheus asks, so that nothing is counted twice."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def collect(self) -> Iterator[Metric]:
        """Return every metric with its present value."""
        if not self._hub.is_running:
            return
        for kind, rows in ((GaugeMetricFamily, GAUGES), (CounterMetricFamily, COUNTERS)):
            for row in rows:
                family = kind(row.name, row.help, labels=[row.label] if row.label else [])
                value = row.read(self._hub)
                if isinstance(value, Mapping):
                    for key, count in value.items():
                        family.add_metric([key], count)
                else:
                    family.add_metric([], value)
                yield family


class OfWorker(Collector):
    """Gives everything that another collector reads the label `worker`.

    A scrape reaches one of several processes: without it their counters would be taken for one that jumps.
    """

    def __init__(self, collector: Collector, worker: int) -> None:
        self._collector = collector
        self._label = {"worker": str(worker)}

    def collect(self) -> Iterator[Metric]:
        """Return what the other one returns, with the label."""
        for metric in self._collector.collect():
            metric.samples = [
                sample._replace(labels={**sample.labels, **self._label}) for sample in metric.samples
            ]
            yield metric


def metrics_routes(hub: Hub, worker: int | None = None) -> APIRouter:
    """Serve a hub's metrics, and those of its process; with the label `worker` where it is one of several."""
    router = APIRouter(tags=["operations"])
    registry = CollectorRegistry()
    for collector in (HubCollector(hub), ProcessCollector(registry=None)):
        registry.register(collector if worker is None else OfWorker(collector, worker))

    @router.get("/metrics", response_class=Response, summary="Counters for Prometheus")
    async def metrics() -> Response:
        """In Prometheus' text format."""
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return router


def metrics_table() -> str:
    """Write the metrics as a table in Markdown, for the documentation."""
    rows = ["| Name | Kind | Label | Meaning |", "|---|---|---|---|"]
    for kind, ending, table in (("gauge", "", GAUGES), ("counter", "_total", COUNTERS)):
        rows += [f"| `{row.name}{ending}` | {kind} | {row.label or ''} | {row.help} |" for row in table]
    return "\n".join(rows)
