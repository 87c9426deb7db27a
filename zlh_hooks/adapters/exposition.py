"""Gauges as text for Prometheus, by its own library."""

from collections.abc import Iterator, Sequence

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from zlh_hooks.domain.metric import Gauge


class _Shelf(Collector):
    def __init__(self, gauges: Sequence[Gauge]) -> None:
        self.gauges = gauges

    def collect(self) -> Iterator[GaugeMetricFamily]:
        return map(_convert, self.gauges)


def render_exposition(gauges: Sequence[Gauge]) -> str:
    """The text exposition format, version 0.0.4."""
    registry = CollectorRegistry()
    registry.register(_Shelf(gauges))
    return generate_latest(registry).decode()


def _convert(gauge: Gauge) -> GaugeMetricFamily:
    family = GaugeMetricFamily(gauge.name, gauge.help, labels=[gauge.label] if gauge.label else [])
    for label, value in gauge.samples:
        family.add_metric([label] if gauge.label else [], value)
    return family
