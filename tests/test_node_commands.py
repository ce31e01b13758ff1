"""`cc-sweep nodes`, and what `status` and `check` say about node states."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from command_site import CommandSite
from recorded_nodes import expected_nodes, node_situations
from stub_server import Model
from sweep_site import SweepSite

from ccbackend.node_states import NodeCondition
from spool.checks.node_states import check_nodes
from spool.checks.result import CheckStatus
from spool.commands.status_lines import node_lines
from spool.files.drain_state import DrainState
from spool.files.node_round import (
    JOBS_SECONDS,
    NodeRound,
    read_node_jobs,
    read_node_round,
    write_node_jobs,
)

NOW = 1_767_225_600.0
NODES = "n2cn[001-099],n2gpu[01-02]"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[SweepSite]:
    """A site with cc-backend 1.5.4 and the nodes of a recorded situation."""
    with SweepSite(tmp_path) as made:
        clusters = [{"name": "lab", "subClusters": [{"name": "a", "nodes": NODES}]}]
        made.server.model = Model(version="1.5.4", clusters=clusters)
        recorded = node_situations()["24.11/busy"]["scontrol-do.txt"]
        (tmp_path / "nodes.txt").write_bytes(recorded)
        yield made


def reports(site: SweepSite) -> list[dict[str, Any]]:
    """Return the bodies that the server got."""
    return [json.loads(each.body) for each in site.server.log if each.path == "/api/nodestate/"]


def test_all_nodes_are_reported(site: SweepSite) -> None:
    """`cc-sweep nodes` sends all nodes in one request and stores the result for `status`."""
    said = site.sweep("nodes")

    assert (0, "reported 20 nodes: ") == (said.code, said.out[:19])
    assert [20] == [len(body["nodes"]) for body in reports(site)]
    kept = read_node_round(site.state)
    assert kept is not None
    assert (20, {"future": 1}) == (kept.nodes, {"future": 1, **kept.left_out})


def test_nodes_json_counts_the_nodes_by_state(site: SweepSite) -> None:
    """The counts of `cc-sweep nodes --json` add up to the number of nodes that are reported."""
    (site.root / "nodes.txt").write_bytes(node_situations()["24.11/start"]["scontrol-do.txt"])
    found = json.loads(site.sweep("nodes", "--json").out)

    expected = expected_nodes("24.11/start")["nodes"].values()
    assert sum(each is not None for each in expected) == sum(found["states"].values())


def test_excluded_nodes_are_counted(site: SweepSite) -> None:
    """`cc-sweep nodes` prints how many nodes ignoreHosts excludes; `--plan` prints their names."""
    site.document["ignoreHosts"] = "^n2cn00[12]$"
    site.write()

    said = site.sweep("nodes")
    assert "not reported: 2 excluded by ignoreHosts or filters.clusters\n" in said.out
    plan = site.sweep("nodes", "--plan")
    assert "not reported, excluded by ignoreHosts or filters.clusters: n2cn001, n2cn002\n" in (
        plan.out
    )


def test_a_node_plan_sends_no_report(site: SweepSite) -> None:
    """`cc-sweep nodes --plan` shows each node, with the jobs that a recent sweep counted."""
    write_node_jobs(site.state, time.time(), {"n2cn001": 2})
    said = site.sweep("nodes", "--plan")

    lines = [line.split() for line in said.out.splitlines()]
    assert (0, []) == (said.code, reports(site))
    assert ["cluster", "host", "state", "cpus", "memory_mb", "gpus", "jobs"] == lines[0]
    assert ["lab", "n2cn001", "mixed", "8", "9000", "0", "2"] == lines[1]


def test_a_node_plan_in_json_has_one_object_per_node(site: SweepSite) -> None:
    """`cc-sweep nodes --plan --json` prints cluster, host, state and CPUs of each node."""
    found = json.loads(site.sweep("nodes", "--plan", "--json").out)

    assert {"cluster": "lab", "host": "n2cn001", "state": "mixed", "cpus": 8} == {
        key: found["nodes"][0][key] for key in ("cluster", "host", "state", "cpus")
    }
    assert ({}, 0) == (found["left_out"], found["unreadable"])


def test_apply_stores_the_number_of_jobs_of_each_node(site: SweepSite) -> None:
    """`cc-sweep apply` stores the counts for later node reports, unless node states are off."""
    (site.root / "squeue.txt").write_bytes(node_situations()["24.11/busy"]["squeue.txt"])
    site.sweep("apply", "--wait", 0)
    assert {"n2cn001": 2, "n2cn002": 1} == {
        name: count
        for name, count in (read_node_jobs(site.state, time.time()) or {}).items()
        if name in {"n2cn001", "n2cn002"}
    }

    (site.state / "node_jobs.json").unlink()
    site.document["nodes"] = {"interval_seconds": 0}
    site.write()
    site.sweep("apply", "--wait", 0)
    assert None is read_node_jobs(site.state, time.time())


def test_old_job_counts_of_nodes_are_not_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Job counts expire after 2 minutes; a file that cannot be written causes a warning."""
    write_node_jobs(tmp_path, NOW, {"n1": 1})

    assert {"n1": 1} == read_node_jobs(tmp_path, NOW + JOBS_SECONDS)
    assert None is read_node_jobs(tmp_path, NOW + JOBS_SECONDS + 1)
    write_node_jobs(tmp_path / "missing", NOW, {})
    assert "cannot be written" in caplog.text


@pytest.mark.parametrize("words", [["nodes"], ["nodes", "--plan"]])
def test_a_failed_node_query_of_slurm_is_an_error(site: SweepSite, words: list[str]) -> None:
    """Slurm's node list is incomplete: `cc-sweep nodes` exits with 69 and sends no report."""
    (site.root / "nodes.txt").write_text("NodeName=n1 cut")
    said = site.sweep(*words)

    assert (69, []) == (said.code, reports(site))
    assert "node states are not reported: Slurm did not answer" in said.err


def test_node_states_without_cc_backend_are_an_error(site: SweepSite) -> None:
    """`cc-sweep nodes` exits with 69 if cc-backend does not answer."""
    site.server.close()
    said = site.sweep("nodes")

    assert 69 == said.code
    assert "cc-backend does not answer" in said.err


def test_a_server_without_node_states_is_an_error(site: SweepSite) -> None:
    """`cc-sweep nodes` exits with 69; the message names the server's version and the one needed."""
    site.server.model = Model(version="1.4.4")
    said = site.sweep("nodes")

    assert 69 == said.code
    assert "cc-backend 1.4.4 does not accept node states; 1.5.0 or later does" in said.err


# ---- status


def lines(last: NodeRound | None, interval: float = 300) -> list[str]:
    """Return what `status` says, without times."""
    return [line.partition(" (")[0] for line in node_lines(last, NOW, interval)]


def test_status_shows_the_last_report_of_node_states(monkeypatch: pytest.MonkeyPatch) -> None:
    """`status` prints the states, the excluded nodes, and the failures since the last success."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    last = NodeRound(
        tried=NOW - 60,
        accepted=NOW - 360,
        states={"down": 1, "idle": 2},
        left_out={"unknown": 3},
        failures=1,
        problem="Slurm did not answer",
    )

    assert [
        "node states of 3 nodes reported 2025-12-31 23:54:00 +0000 (6m 00s ago): down 1, idle 2",
        "left out of the node states: 3 unknown to cc-backend",
        "node states: 1 failed report, the last at 2025-12-31 23:59:00 +0000: Slurm did not answer",
    ] == list(node_lines(last, NOW, 300))


def test_status_shows_why_there_are_no_node_states() -> None:
    """Node states are off, or the server is too old; before the first report no line is printed."""
    old = NodeRound(tried=NOW, unsupported="1.4.4", problem="cc-backend 1.4.4 takes no node states")

    assert ["node states are not reported"] == lines(None, 0)
    assert ["node states: cc-backend 1.4.4 takes no node states"] == lines(old)
    assert ([], []) == (lines(None), lines(NodeRound(tried=NOW)))
    (line,) = node_lines(accepted(60), NOW, 300)
    assert line.endswith("(1m 00s ago): idle 2")


def test_status_json_has_the_last_report_of_node_states(tmp_path: Path) -> None:
    """`status --json` prints time and states of the report without the names of the hosts."""
    site = CommandSite(tmp_path)
    assert None is json.loads(site.call("status", "--json").out)["nodes"]
    (site.state / "nodes.json").write_text('{"tried": 5, "states": {"idle": 1}}')

    found = json.loads(site.call("status", "--json").out)["nodes"]
    assert (5.0, {"idle": 1}, None) == (found["tried"], found["states"], found["hosts"])
    assert "node states" not in site.call("status").out


# ---- check


def checked(
    last: NodeRound | None, state: DrainState | None = None, interval: float = 300
) -> list[tuple[CheckStatus, str]]:
    """Return the results of a check."""
    found = check_nodes(last, state, NOW, interval)
    return [(result.status, result.text) for result in found]


def drain(age: float = 1501, **fields: Any) -> DrainState:
    """Return the state of a drain that has run for some seconds."""
    return replace(DrainState(started=NOW - age, server_dialect="shared"), **fields)


def accepted(age: float, count: int = 2, **fields: Any) -> NodeRound:
    """Return a round that was accepted."""
    return NodeRound(
        tried=NOW - age, accepted=NOW - age, states={str(NodeCondition.IDLE): count}, **fields
    )


def test_a_recent_report_of_node_states_is_ok() -> None:
    """A report is OK for five intervals (25 min); ignored and FUTURE nodes cause no warning."""
    last = accepted(1500, left_out={"ignored": 3, "future": 1})

    assert [(CheckStatus.OK, "2 nodes, reported 25m 00s ago")] == checked(last)


def test_an_old_report_of_node_states_is_a_warning() -> None:
    """After five intervals cc-backend still shows the old states as if they were current."""
    last = accepted(1501, problem="Slurm did not answer")

    assert [
        (CheckStatus.WARNING, "were last reported 25m 01s ago: Slurm did not answer")
    ] == checked(last)
    assert [(CheckStatus.WARNING, "were last reported 25m 01s ago")] == checked(accepted(1501))


def test_unknown_nodes_are_a_warning() -> None:
    """`check` warns about nodes that were not reported because cc-backend does not know them."""
    last = accepted(10, left_out={"unknown": 2})

    assert [(CheckStatus.WARNING, "left out: 2 unknown to cc-backend")] == checked(last)


def test_more_than_50000_nodes_are_a_warning() -> None:
    """cc-backend can fail to answer a report of so many nodes in time."""
    last = accepted(10, 50_001)

    assert CheckStatus.WARNING is checked(last)[0][0]


def test_a_drain_that_never_reported_node_states_is_a_warning() -> None:
    """The drain must have run for five intervals, with a server that accepts node states."""
    text = "have never been reported"

    assert [(CheckStatus.WARNING, text)] == checked(None, drain())
    assert [] == checked(None, drain(age=1499))
    assert [] == checked(None, drain(server_dialect="exclusive"))
    assert [] == checked(None, drain(once=True))
    assert [] == checked(None, drain(started=None))
    assert [] == checked(None)


@pytest.mark.parametrize(("failures", "count"), [(4, 0), (5, 1)])
def test_node_states_that_never_succeeded_are_a_warning(failures: int, count: int) -> None:
    """Five rounds have failed, the last one 10 s ago; after four the check gives no result."""
    last = NodeRound(tried=NOW - 10, failures=failures, problem="Slurm did not answer")
    expected = (CheckStatus.WARNING, "have never been reported: Slurm did not answer")

    assert [expected] * count == checked(last, drain())


def test_node_states_that_are_off_are_not_checked() -> None:
    """`check` gives no result if the interval is 0 or the server does not accept node states."""
    assert [] == checked(accepted(9999), interval=0)
    assert [] == checked(NodeRound(tried=NOW, unsupported="1.4.4", problem="old"), drain())
