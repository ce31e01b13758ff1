"""Metric families of Prometheus with their samples."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from spool.escaping import escape

PREFIX = "cc_slurm_sync_"
Samples = Mapping[tuple[str, ...], float]


def gauge(name: str, text: str, value: float | None) -> Metric:
    """Return a gauge with one sample, or without a sample if the value is None (not known)."""
    return gauges(name, text, [], {} if value is None else {(): value})


def gauges(name: str, text: str, labels: list[str], values: Samples) -> Metric:
    """Return a gauge with a sample for each combination of labels."""
    return _filled(GaugeMetricFamily(PREFIX + name, text, labels=labels), values.items())


def counters(name: str, text: str, labels: list[str], values: Samples) -> Metric:
    """Return a counter with a sample for each combination of labels."""
    return _filled(CounterMetricFamily(PREFIX + name, text, labels=labels), values.items())


def _filled(
    family: GaugeMetricFamily | CounterMetricFamily,
    samples: Iterable[tuple[tuple[str, ...], float]],
) -> Metric:
    for labels, value in samples:
        # A damaged state file may hold what has no UTF-8 (lone surrogates).
        family.add_metric([escape(label) for label in labels], value)
    return family
