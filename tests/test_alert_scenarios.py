"""Each alert in its scenario: the fault is made, the alert fires, it is repaired, the alert clears.

Drain, node_exporter and Prometheus run for real, beside a stand-in for Slurm and a stub server.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from alert_rules import alert_rules, needs_prometheus
from command_site import NOON, run_of
from drain_process import NODE, TOKEN, until
from prometheus_lab import PATIENCE_SECONDS, MonitoredDrain, PrometheusLab
from stub_server import Fault, Kind, Model, StubServer, refusal

from spool.files.layout import Directory

pytestmark = [pytest.mark.prometheus, needs_prometheus]
DAY = 86400


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[PrometheusLab]:
    """Return a site in which no alert fires."""
    with PrometheusLab(tmp_path) as made:
        until(lambda: made.series("cc_slurm_sync_build_info"), PATIENCE_SECONDS)
        made.wait(lambda firing: not firing, "alerts of a site in order")
        yield made


def use_token(lab: PrometheusLab, expires: float) -> None:
    """Give the drain and the server another token."""
    parts = ({"alg": "EdDSA"}, {"exp": int(expires)}, {"signature": 1})
    words = (base64.urlsafe_b64encode(json.dumps(each).encode()).decode() for each in parts)
    text = ".".join(word.rstrip("=") for word in words)
    lab.server.model.token = text
    write_token(lab, text)


def write_token(lab: PrometheusLab, text: str) -> None:
    """Replace the token file, as an administrator does."""
    lab.drain.site.token.write_text(text + "\n")


def refuse_token(lab: PrometheusLab) -> None:
    """Let the server accept only another token, and start two jobs."""
    lab.server.model.token = "another"
    for _ in range(2):
        lab.drain.slurm.start(NODE)


def accept_token(lab: PrometheusLab) -> None:
    """Let the server accept the drain's token again, and rewrite the token file."""
    text = lab.drain.site.token.read_text().strip()
    lab.server.model.token = text
    write_token(lab, text)


def silence_slurm(lab: PrometheusLab) -> None:
    """Start a job while the controller does not answer."""
    lab.drain.slurm.set_down(controller=True)
    lab.drain.slurm.start(NODE)


def reject_host(lab: PrometheusLab) -> None:
    """Start a job on a host that the server does not know."""
    job_id = lab.drain.slurm.new_id()
    lab.server.model.poison[job_id] = refusal(400, "no subcluster found for host n2cn0101")
    lab.drain.slurm.start(NODE, job_id=job_id)


def accept_host(lab: PrometheusLab) -> None:
    """Add the host to the server, and let the drain try at once."""
    lab.server.model.poison.clear()
    lab.drain.site.call("retry", "ALL")


def reset_connections(lab: PrometheusLab) -> None:
    """Start a job while the server resets all connections."""
    lab.server.fail(Fault(Kind.RESET))
    lab.drain.slurm.start(NODE)


def keep_waiting(lab: PrometheusLab) -> None:
    """Let the server reset all connections, and add a run that is long overdue."""
    lab.server.fail(Fault(Kind.RESET))
    lab.drain.site.put(Directory.TODO, run_of(5))


def put_newer_file(lab: PrometheusLab) -> None:
    """Leave a file of a later version, which this version must not touch."""
    path = lab.drain.site.spool / "todo" / f"7-{NOON}.json"
    path.write_text('{"version": 999}')


def remove_newer_file(lab: PrometheusLab) -> None:
    """Remove the file of the later version and restart the drain."""
    (lab.drain.site.spool / "todo" / f"7-{NOON}.json").unlink()
    lab.drain.end()
    lab.drain.start()


def start_jobs_without_hooks(lab: PrometheusLab) -> None:
    """Start jobs without a prolog event, and let a sweep find them."""
    hook = lab.drain.slurm.root / "hooks" / "prolog_slurmctld"
    kept = hook.read_text()
    hook.write_text("#!/bin/sh\nexit 0\n")
    for _ in range(7):
        lab.drain.slurm.start(NODE)
    hook.write_text(kept)
    lab.drain.sweep()


def set_min_free(lab: PrometheusLab, number: int) -> None:
    """Change `spool.min_free_bytes`; the drain reloads it."""
    lab.drain.site.document["spool"]["min_free_bytes"] = number
    lab.drain.site.write()


def refuse_sweep(lab: PrometheusLab) -> None:
    """Run a sweep while accounting does not answer."""
    lab.drain.slurm.set_down(database=True)
    lab.drain.sweep()


def repeat_sweep(lab: PrometheusLab) -> None:
    """Sweep again with everything in order."""
    lab.drain.slurm.set_down()
    lab.drain.sweep()


def node_states_reported(lab: PrometheusLab, at: float) -> None:
    """Write the file of a round of node states at a time, after the drain's first round."""
    path = lab.drain.site.state / "nodes.json"
    until(path.exists, PATIENCE_SECONDS)
    path.write_text(json.dumps({"tried": at, "accepted": at, "states": {"idle": 1}}))


def remove_metrics(lab: PrometheusLab) -> None:
    """Stop the drain and remove its metrics file."""
    lab.drain.end()
    lab.textfile.unlink()


@dataclass(frozen=True)
class Scenario:
    """An alert, its fault and the repair; other alerts may fire for the same fault."""

    alert: str
    fault: Callable[[PrometheusLab], object]
    repair: Callable[[PrometheusLab], object]
    also: frozenset[str] = field(default_factory=frozenset)


SCENARIOS = (
    Scenario("MetricsAbsent", remove_metrics, lambda lab: lab.drain.start()),
    Scenario("MetricsStale", lambda lab: lab.drain.kill(), lambda lab: lab.drain.start()),
    Scenario("DrainDown", lambda lab: lab.drain.end(), lambda lab: lab.drain.start()),
    Scenario("Halted", refuse_token, accept_token),
    Scenario(
        "BackendDown",
        reset_connections,
        lambda lab: lab.server.fail(None),
        frozenset({"RunsWaiting"}),
    ),
    Scenario("SlurmDown", silence_slurm, lambda lab: lab.drain.slurm.set_down()),
    Scenario(
        "BacklogOld",
        keep_waiting,
        lambda lab: lab.server.fail(None),
        frozenset({"BackendDown", "RunsWaiting", "Slow"}),
    ),
    Scenario("RunsWaiting", reject_host, accept_host),
    Scenario(
        "DeadLetters",
        lambda lab: lab.drain.site.put_event("odd name"),
        lambda lab: lab.drain.site.call("discard", "ALL", "--yes"),
    ),
    Scenario("UnreadableFiles", put_newer_file, remove_newer_file, frozenset({"BacklogOld"})),
    Scenario("Slow", lambda lab: lab.drain.late_hook(300), lambda lab: lab.drain.slurm.start(NODE)),
    Scenario(
        "HooksSilent",
        start_jobs_without_hooks,
        lambda lab: lab.drain.slurm.start(NODE),
    ),
    Scenario("DiskSpace", lambda lab: set_min_free(lab, 2**50), lambda lab: set_min_free(lab, 0)),
    Scenario(
        "TokenExpires",
        lambda lab: use_token(lab, time.time() + DAY),
        lambda lab: use_token(lab, time.time() + 90 * DAY),
    ),
    Scenario(
        "Sweep",
        lambda lab: lab.drain.sweep_ended(time.time() - 7200),
        repeat_sweep,
    ),
    Scenario("SweepRefused", refuse_sweep, repeat_sweep),
    Scenario(
        "NodeStates",
        lambda lab: node_states_reported(lab, time.time() - 7200),
        lambda lab: node_states_reported(lab, time.time()),
    ),
    Scenario(
        "Check",
        lambda lab: lab.drain.site.spool.chmod(0o757),
        lambda lab: lab.drain.site.spool.chmod(0o755),
    ),
)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.alert)
def test_an_alert_fires_on_its_fault_and_clears_after_the_repair(
    lab: PrometheusLab, scenario: Scenario
) -> None:
    """During the fault only the alerts listed in the scenario fire; after the repair none fires."""
    scenario.fault(lab)
    lab.wait(lambda firing: scenario.alert in firing, f"{scenario.alert} does not fire")
    others = (lab.firing() or set()) - {scenario.alert} - scenario.also
    scenario.repair(lab)
    lab.wait(lambda firing: not firing, "alerts after the repair")

    assert set() == others


def test_due_runs_without_a_delivery_raise_an_alert(tmp_path: Path, lab: PrometheusLab) -> None:
    """Requests to start_job hang, others work; this drain serves its metrics over HTTP."""
    with StubServer(Model(version="1.4.4", token=TOKEN)) as server:
        second = MonitoredDrain(tmp_path / "second", server, listen=lab.drain_port)
        server.fail(Fault(Kind.SILENCE, path="/api/jobs/start_job"))
        with second:
            until(lambda: lab.series('up{job="drain"} == 1'), PATIENCE_SECONDS)
            for _ in range(6):  # one of them is always due
                second.slurm.start(NODE)
            lab.wait(lambda firing: "NothingDelivered" in firing, "NothingDelivered")
            server.fail(None)
            lab.wait(lambda firing: "NothingDelivered" not in firing, "after the repair")


def test_every_alert_has_a_scenario() -> None:
    """The rules and the scenarios of this file name the same alerts."""
    names = {scenario.alert for scenario in SCENARIOS} | {"NothingDelivered"}

    assert set(alert_rules()) == {f"CcSlurmSync{name}" for name in names}
