"""The Grafana dashboard: its schema by Grafana's own types, each query by a real Prometheus."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from alert_rules import ROOT, needs_prometheus
from drain_process import NODE, until
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard
from metrics_text import all_families
from prometheus_lab import PATIENCE_SECONDS, PrometheusLab

DOCUMENT = json.loads((ROOT / "deploy" / "grafana" / "cc-slurm-sync.json").read_text())
PANELS = [panel for panel in DOCUMENT["panels"] if panel["type"] != "row"]
QUERIES = [
    pytest.param(target["expr"], id=f"{panel['title']} {target['refId']}")
    for panel in PANELS
    for target in panel["targets"]
]
VARIABLES = {"$__rate_interval": "30s", "$instance": ".*"}
MAX_WIDTH = 24


def lost(before: Any, after: Any, path: str = "") -> Iterator[str]:
    """Yield the paths of values in one document that are missing or different in another."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key, value in before.items():
            yield from lost(value, after.get(key, f"no {key}"), f"{path}/{key}")
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for number, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from lost(one, other, f"{path}/{number}")
    elif before != after:
        yield path


def test_grafana_knows_every_key_and_type() -> None:
    """Grafana drops unknown keys when the dashboard is saved."""
    register_default_plugins()
    read = Dashboard.from_json(DOCUMENT)

    assert [] == list(lost(DOCUMENT, json.loads(JSONEncoder().encode(read))))


def test_an_unknown_key_of_a_panel_is_found() -> None:
    """The comparison with Grafana's types reports the misspelt key `titel`."""
    register_default_plugins()
    wrong = DOCUMENT | {"panels": [PANELS[0] | {"titel": "x"}]}
    back = json.loads(JSONEncoder().encode(Dashboard.from_json(wrong)))

    assert ["/panels/0/titel"] == list(lost(wrong, back))


def test_every_panel_has_a_description_and_a_query() -> None:
    """No two panels of the dashboard have the same id."""
    ids = [panel["id"] for panel in DOCUMENT["panels"]]

    assert all(panel["description"] and panel["targets"] for panel in PANELS)
    assert len(set(ids)) == len(ids)


def test_panels_of_a_row_are_adjacent() -> None:
    """Grafana would move panels that overlap."""
    by_line: dict[int, list[dict[str, int]]] = {}
    for panel in DOCUMENT["panels"]:
        by_line.setdefault(panel["gridPos"]["y"], []).append(panel["gridPos"])
    for line in by_line.values():
        for left, right in pairwise(line):
            assert left["x"] + left["w"] == right["x"]
        assert MAX_WIDTH == line[-1]["x"] + line[-1]["w"]


@pytest.mark.parametrize("expression", QUERIES)
def test_a_query_uses_metrics_that_exist(expression: str) -> None:
    """Each metric of a dashboard query exists and is filtered by the chosen instances."""
    known = {sample.name for family in all_families() for sample in family.samples}
    words = "".join(c if c.isalnum() or c == "_" else " " for c in expression).split()
    used = [word for word in words if word.startswith("cc_slurm_sync_")]

    assert set(used) <= known
    assert len(used) == expression.count('instance=~"$instance"')


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusLab]:
    """Return a site with some jobs, a dead letter and a sweep."""
    with PrometheusLab(tmp_path_factory.mktemp("lab")) as made:
        until(lambda: made.series("cc_slurm_sync_drain_up == 1"), PATIENCE_SECONDS)
        made.drain.site.put_event("odd name")
        job_id = made.drain.slurm.start(NODE)
        until(lambda: made.drain.states() == {job_id: "running"})
        made.drain.slurm.end(job_id)
        made.drain.sweep()
        until(lambda: made.drain.states() == {job_id: "completed"}, PATIENCE_SECONDS)
        until(lambda: made.series("cc_slurm_sync_dead_letters"), PATIENCE_SECONDS)
        time.sleep(2)  # two more samples for the rates
        yield made


@pytest.mark.prometheus
@needs_prometheus
@pytest.mark.parametrize("expression", QUERIES)
def test_a_query_returns_data(lab: PrometheusLab, expression: str) -> None:
    """Prometheus has samples of jobs, of a dead letter and of a sweep of a test site."""
    for name, value in VARIABLES.items():
        expression = expression.replace(name, value)

    assert lab.series(expression), expression
