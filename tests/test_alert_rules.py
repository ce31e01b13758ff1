"""The alert rules: form, links, and when each one fires, by promtool."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from alert_rules import DOCS, RULES, alert_rules, needs_prometheus, promtool
from metrics_text import all_families
from prometheus_client.core import Metric

PREFIX = "cc_slurm_sync_"
DAY = 1440
ALERTS = alert_rules()


@dataclass(frozen=True)
class Case:
    """An alert, series (one value a minute), when it must fire and when not, in minutes."""

    alert: str
    series: dict[str, str]
    fires: int
    silent: tuple[int, ...]


CASES = (
    Case("MetricsAbsent", {"build_info": "_x11 1x10"}, 10, (9, 12)),
    Case("MetricsStale", {"metrics_timestamp_seconds": "0x7 420x10"}, 7, (5, 9)),
    Case("DrainDown", {'check_status{check="drain"}': "0 2x5 1x5"}, 4, (2, 7)),
    Case("Halted", {'halted{connection="server",reason="x"}': "0 1x5 0x5"}, 3, (1, 7)),
    Case("BackendDown", {'backend_up{connection="server"}': "1 0x20 1x5"}, 17, (15, 22)),
    Case("SlurmDown", {'slurm_up{source="accounting"}': "1 0x20 1x5"}, 17, (15, 22)),
    Case("NothingDelivered", {'check_status{check="deliveries"}': "0 2x5 0x5"}, 3, (1, 7)),
    Case(
        "BacklogOld",
        {'spool_oldest_timestamp_seconds{directory="todo"}': "0x80 4800x10"},
        66,
        (60, 82),
    ),
    Case("RunsWaiting", {"waiting_runs": "0 3x20 0x5"}, 17, (15, 23)),
    Case(
        "DeadLetters",
        {'dead_letters{reason="x"}': "0 1x10 0x5", 'dead_letters{reason="y"}': "0x20"},
        7,
        (5, 13),
    ),
    Case("UnreadableFiles", {"unreadable_files": "0 1x10 0x5"}, 7, (5, 13)),
    Case(
        "Slow",
        {
            'hook_to_accepted_seconds_bucket{request="start",le="60.0"}': "0x30 0x90 0+1x90",
            'hook_to_accepted_seconds_bucket{request="start",le="300.0"}': "0x30 0+1x180",
            'hook_to_accepted_seconds_bucket{request="start",le="+Inf"}': "0x30 0+1x180",
        },
        60,
        (20, 205),
    ),
    Case(
        "HooksSilent",
        {
            'events_total{source="command",kind="start"}': "0x10 0+1x30 30x100",
            'events_total{source="hook",kind="start"}': "0x50 0+1x50",
        },
        40,
        (5, 80),
    ),
    Case(
        "DiskSpace", {"spool_free_bytes": "9 1x10 9x5", "spool_min_free_bytes": "5x20"}, 7, (5, 13)
    ),
    Case("DiskSpace", {"spool_free_inodes": "9999 1x10 9999x5"}, 7, (5, 13)),
    Case("DiskSpace", {"spool_writable": "1 0x10 1x5"}, 7, (5, 13)),
    Case(
        "TokenExpires",
        {"token_expiry_timestamp_seconds": f"{15 * DAY * 60}x1500 {40 * DAY * 60}x10"},
        DAY + 20,
        (DAY - 10, DAY + 80),
    ),
    Case("Sweep", {'check_status{check="sweep"}': "0 1x40 0x5"}, 32, (30, 43)),
    Case("SweepRefused", {"sweep_refused": "0 1x40 0x5"}, 32, (30, 43)),
    Case("NodeStates", {'check_status{check="node states"}': "0 1x20 0x5"}, 17, (15, 23)),
    Case("Check", {'check_status{check="configuration"}': "0 2x20 0x5"}, 17, (15, 23)),
)


def names_of(family: Metric) -> set[str]:
    """Return the sample names of a metric family."""
    return {sample.name for sample in family.samples}


def test_every_alert_is_tested() -> None:
    """The rules and the cases of this file name the same alerts."""
    assert set(ALERTS) == {f"CcSlurmSync{case.alert}" for case in CASES}


@pytest.mark.parametrize("rule", ALERTS.values(), ids=ALERTS)
def test_an_alert_has_its_annotations_and_severity(rule: dict[str, Any]) -> None:
    """The runbook URL is the section of troubleshooting.md that has the alert's name."""
    assert {"summary", "description", "runbook_url"} == set(rule["annotations"])
    assert rule["labels"]["severity"] in {"warning", "critical"}
    page, _, section = rule["annotations"]["runbook_url"].partition("#")
    assert (f"{DOCS}/troubleshooting.md", rule["alert"].lower()) == (page, section)


@pytest.mark.parametrize("rule", ALERTS.values(), ids=ALERTS)
def test_an_alert_uses_metrics_that_exist(rule: dict[str, Any]) -> None:
    """A rule with a wrong metric name would never fire."""
    known = set().union(*map(names_of, all_families()))
    words = "".join(c if c.isalnum() or c == "_" else " " for c in rule["expr"]).split()

    assert {word for word in words if word.startswith(PREFIX)} <= known


@needs_prometheus
def test_promtool_accepts_the_rules() -> None:
    """An administrator checks the rules with the same command."""
    assert f"SUCCESS: {len(ALERTS)} rules found" in promtool("check", "rules", RULES)


def firing(case: Case, minute: int, *, is_firing: bool) -> dict[str, Any]:
    """Return a test for promtool: whether the alert of a case fires in a minute."""
    name = f"CcSlurmSync{case.alert}"
    found = [{"labels": f'{{alertname="{name}"}}', "value": 1}] if is_firing else []
    expression = f'count by (alertname) (ALERTS{{alertname="{name}", alertstate="firing"}})'
    return {"expr": expression, "eval_time": f"{minute}m", "exp_samples": found}


@needs_prometheus
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.alert)
def test_an_alert_fires_and_clears(case: Case, tmp_path: Path) -> None:
    """Each alert fires at the expected minute, and neither earlier nor after the repair."""
    expected = [firing(case, case.fires, is_firing=True)]
    expected += [firing(case, minute, is_firing=False) for minute in case.silent]
    series = [{"series": PREFIX + name, "values": values} for name, values in case.series.items()]
    document = {
        "rule_files": [str(RULES)],
        "evaluation_interval": "1m",
        "tests": [{"interval": "1m", "input_series": series, "promql_expr_test": expected}],
    }
    path = tmp_path / "test.yml"
    path.write_text(json.dumps(document))  # JSON is YAML
    assert yaml.safe_load(path.read_text()) == document

    assert "SUCCESS" in promtool("test", "rules", path)


@needs_prometheus
def test_halted_deliveries_do_not_fire_backend_down(tmp_path: Path) -> None:
    """One fault must raise one alert: halted deliveries fire Halted only."""
    halted = {
        'backend_up{connection="server"}': "0x30",
        'halted{connection="server",reason="token_refused"}': "1x30",
    }
    test_an_alert_fires_and_clears(Case("Halted", halted, 20, ()), tmp_path)
    with pytest.raises(AssertionError):
        test_an_alert_fires_and_clears(Case("BackendDown", halted, 20, ()), tmp_path)
