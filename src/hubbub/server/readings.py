"""Metrics as tables: what one is called, what it means, and where it is read when Prometheus asks."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

Source = TypeVar("Source")


@dataclass(frozen=True, slots=True)
class Row(Generic[Source]):
    """One metric: what it is called, what it means, how it is read; a table of values needs a `label`."""

    name: str
    help: str
    read: Callable[[Source], float | Mapping[str, float]]
    label: str | None = None


class Readings(Collector, Generic[Source]):
    """Reads metrics when Prometheus asks, so that nothing is counted twice.

    Args:
        gauges: values that rise and fall.
        counters: totals.
        source: returns what they are read of; `None` while there is nothing to read.
    """

    def __init__(
        self,
        gauges: Sequence[Row[Source]],
        counters: Sequence[Row[Source]],
        source: Callable[[], Source | None],
    ) -> None:
        self._tables = ((GaugeMetricFamily, gauges), (CounterMetricFamily, counters))
        self._source = source

    def collect(self) -> Iterator[Metric]:
        """Return every metric with its present value."""
        source = self._source()
        if source is None:
            return
        for kind, rows in self._tables:
            for row in rows:
                family = kind(row.name, row.help, labels=[row.label] if row.label else [])
                value = row.read(source)
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
