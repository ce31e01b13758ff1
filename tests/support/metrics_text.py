"""Read the text format of Prometheus, and make the table of metrics in docs/monitoring.md.

`python tests/support/metrics_text.py` prints the table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from prometheus_client import ProcessCollector
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families

from spool.checks.result import CheckStatus
from spool.files.drain_state import DrainState, HealthReport, HealthState, WaitingCause
from spool.files.layout import Directory
from spool.files.node_round import NodeRound
from spool.files.sweep_state import SweepSummary
from spool.metrics.families import metric_families
from spool.metrics.samples import PREFIX
from spool.metrics.snapshot import DirectoryFigures, MetricsSnapshot

NOON = 1_767_225_600.0
FULL = MetricsSnapshot(
    time=NOON,
    is_running=True,
    drain=DrainState(
        updated=NOON - 1,
        health=HealthReport(state=HealthState.HALTED, code="token_refused"),
        starts=HealthReport(state=HealthState.DOWN),
        stops=HealthReport(state=HealthState.UP),
        server_version="1.5.4",
        server_dialect="shared",
        slurm_release="25.11.1",
        accounting_silent_since=NOON - 9,
        unreported=2,
        inquiries=3,
        held_stops=4,
        waiting=(WaitingCause(cause="a", count=5), WaitingCause(cause="b", count=6)),
        unreadable_count=7,
        last_event=NOON - 2,
        last_delivery=NOON - 3,
        due_since=NOON - 4,
        next_attempt=NOON + 5,
    ),
    sweep=SweepSummary(
        started=NOON - 60,
        finished=NOON - 55,
        pid=1,
        drift=MappingProxyType({"start": 1}),
        held_stops=8,
        succeeded=NOON - 55,
        refusals=MappingProxyType({"fewer": 2}),
    ),
    nodes=NodeRound(
        tried=NOON - 20,
        accepted=NOON - 320,
        seconds=1.5,
        states=MappingProxyType({"idle": 15}),
        left_out=MappingProxyType({"unknown": 16}),
        failures=17,
    ),
    directories={Directory.TODO: DirectoryFigures(count=9, oldest=NOON - 10)},
    dead_letters={"bad_request": 10},
    free_bytes=11,
    free_inodes=12,
    min_free_bytes=13,
    token_expires_at=NOON + 14,
    checks={"runs": CheckStatus.WARNING},
)
"""A snapshot in which every value is known."""


def samples_of(families: Iterable[Metric]) -> dict[str, float]:
    """Return the values of all samples by name and sorted labels, as Prometheus writes them."""
    return {
        sample.name + _labels(sample.labels): sample.value
        for family in families
        for sample in family.samples
    }


def _labels(labels: Mapping[str, str]) -> str:
    words = ",".join(f'{name}="{value}"' for name, value in sorted(labels.items()))
    return f"{{{words}}}" if words else ""


def samples_of_text(text: str) -> dict[str, float]:
    """Return the values of all samples in metrics that are given as text."""
    return samples_of(text_string_to_metric_families(text))


def all_families() -> list[Metric]:
    """Return every metric family that can be written, with at least one sample each."""
    process = ProcessCollector(PREFIX.rstrip("_"), registry=None).collect()
    return [*metric_families(FULL), *process]


def metrics_table() -> str:
    """Return the table of metrics in docs/monitoring.md."""
    rows = ["| metric | type | labels | meaning |", "|---|---|---|---|"]
    for family in sorted(all_families(), key=lambda each: each.name):
        suffix = {"counter": "_total", "info": "_info"}.get(family.type, "")
        kind = "gauge" if family.type == "info" else family.type
        labels = dict.fromkeys(k for s in family.samples for k in s.labels if k != "le")
        words = ", ".join(f"`{label}`" for label in labels)
        text = family.documentation.replace("|", "\\|")
        rows.append(f"| `{family.name}{suffix}` | {kind} | {words} | {text} |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    print(metrics_table(), end="")
