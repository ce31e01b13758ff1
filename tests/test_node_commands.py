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
    """They go in one request; the result is stored for `status` and `check`."""
    said = site.sweep("nodes")

    assert (0, "reported 20 nodes: ") == (said.code, said.out[:19])
    assert [20] == [len(body["nodes"]) for body in reports(site)]
    kept = read_node_round(site.state)
    assert kept is not None
    assert (20, {"future": 1}) == (kept.nodes, {"future": 1, **kept.left_out})


def test_the_result_can_be_read_by_scripts(site: SweepSite) -> None:
    """The JSON has the nodes by state and by reason."""
    (site.root / "nodes.txt").write_bytes(node_situations()["24.11/start"]["scontrol-do.txt"])
    found = json.loads(site.sweep("nodes", "--json").out)

    expected = expected_nodes("24.11/start")["nodes"].values()
    assert sum(each is not None for each in expected) == sum(found["states"].values())


def test_excluded_nodes_are_counted(site: SweepSite) -> None:
    """The plan lists their names."""
    site.document["ignoreHosts"] = "^n2cn00[12]$"
    site.write()

    said = site.sweep("nodes")
    assert "not reported: 2 excluded by ignoreHosts or filters.clusters\n" in said.out
    plan = site.sweep("nodes", "--plan")
    assert "not reported, excluded by ignoreHosts or filters.clusters: n2cn001, n2cn002\n" in (
        plan.out
    )


def test_a_plan_sends_nothing(site: SweepSite) -> None:
    """It shows each node as it would be reported, with the jobs that a sweep has just seen."""
    write_node_jobs(site.state, time.time(), {"n2cn001": 2})
    said = site.sweep("nodes", "--plan")

    lines = [line.split() for line in said.out.splitlines()]
    assert (0, []) == (said.code, reports(site))
    assert ["cluster", "host", "state", "cpus", "memory_mb", "gpus", "jobs"] == lines[0]
    assert ["lab", "n2cn001", "mixed", "8", "9000", "0", "2"] == lines[1]


def test_a_plan_can_be_read_by_scripts(site: SweepSite) -> None:
    """The JSON has one object for each node."""
    found = json.loads(site.sweep("nodes", "--plan", "--json").out)

    assert {"cluster": "lab", "host": "n2cn001", "state": "mixed", "cpus": 8} == {
        key: found["nodes"][0][key] for key in ("cluster", "host", "state", "cpus")
    }
    assert ({}, 0) == (found["left_out"], found["unreadable"])


def test_an_apply_stores_the_jobs_of_each_node(site: SweepSite) -> None:
    """A later round need not query Slurm; if node states are off, nothing is stored."""
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


def test_old_counts_of_jobs_are_not_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """They expire after two minutes; a file that cannot be written is a warning."""
    write_node_jobs(tmp_path, NOW, {"n1": 1})

    assert {"n1": 1} == read_node_jobs(tmp_path, NOW + JOBS_SECONDS)
    assert None is read_node_jobs(tmp_path, NOW + JOBS_SECONDS + 1)
    write_node_jobs(tmp_path / "missing", NOW, {})
    assert "cannot be written" in caplog.text


@pytest.mark.parametrize("words", [["nodes"], ["nodes", "--plan"]])
def test_a_slurm_that_fails_is_an_error(site: SweepSite, words: list[str]) -> None:
    """No report is sent."""
    (site.root / "nodes.txt").write_text("NodeName=n1 cut")
    said = site.sweep(*words)

    assert (69, []) == (said.code, reports(site))
    assert "node states are not reported: Slurm did not answer" in said.err


def test_a_server_that_does_not_answer_is_an_error(site: SweepSite) -> None:
    """Slurm is not queried."""
    site.server.close()
    said = site.sweep("nodes")

    assert 69 == said.code
    assert "cc-backend does not answer" in said.err


def test_an_older_server_is_an_error(site: SweepSite) -> None:
    """The message names its version and the version that is needed."""
    site.server.model = Model(version="1.4.4")
    said = site.sweep("nodes")

    assert 69 == said.code
    assert "cc-backend 1.4.4 does not accept node states; 1.5.0 or later does" in said.err


# ---- status


def lines(last: NodeRound | None, interval: float = 300) -> list[str]:
    """Return what `status` says, without times."""
    return [line.partition(" (")[0] for line in node_lines(last, NOW, interval)]


def test_status_shows_the_last_round(monkeypatch: pytest.MonkeyPatch) -> None:
    """It shows states, excluded nodes, and failures since then."""
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
    """Node states are off, the server is too old, or there was no round yet."""
    old = NodeRound(tried=NOW, unsupported="1.4.4", problem="cc-backend 1.4.4 takes no node states")

    assert ["node states are not reported"] == lines(None, 0)
    assert ["node states: cc-backend 1.4.4 takes no node states"] == lines(old)
    assert ([], []) == (lines(None), lines(NodeRound(tried=NOW)))
    (line,) = node_lines(accepted(60), NOW, 300)
    assert line.endswith("(1m 00s ago): idle 2")


def test_status_has_the_round_as_json(tmp_path: Path) -> None:
    """The names of the hosts are omitted."""
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


def test_a_recent_round_is_ok() -> None:
    """It may be five intervals old; ignored hosts are excluded on purpose."""
    last = accepted(1500, left_out={"ignored": 3, "future": 1})

    assert [(CheckStatus.OK, "2 nodes, reported 25m 00s ago")] == checked(last)


def test_an_old_round_is_a_warning() -> None:
    """cc-backend shows the old states as if they were current."""
    last = accepted(1501, problem="Slurm did not answer")

    assert [
        (CheckStatus.WARNING, "were last reported 25m 01s ago: Slurm did not answer")
    ] == checked(last)
    assert [(CheckStatus.WARNING, "were last reported 25m 01s ago")] == checked(accepted(1501))


def test_unknown_nodes_are_a_warning() -> None:
    """The hint names the commands that list them."""
    last = accepted(10, left_out={"unknown": 2})

    assert [(CheckStatus.WARNING, "left out: 2 unknown to cc-backend")] == checked(last)


def test_very_many_nodes_are_a_warning() -> None:
    """The server may not answer in time."""
    last = accepted(10, 50_001)

    assert CheckStatus.WARNING is checked(last)[0][0]


def test_a_drain_that_never_reported_is_a_warning() -> None:
    """It must have run long enough, and the server must accept node states."""
    text = "have never been reported"

    assert [(CheckStatus.WARNING, text)] == checked(None, drain())
    assert [] == checked(None, drain(age=1499))
    assert [] == checked(None, drain(server_dialect="exclusive"))
    assert [] == checked(None, drain(once=True))
    assert [] == checked(None, drain(started=None))
    assert [] == checked(None)


def test_nothing_is_checked_without_node_states() -> None:
    """They are off, or the server is too old."""
    assert [] == checked(accepted(9999), interval=0)
    assert [] == checked(NodeRound(tried=NOW, unsupported="1.4.4", problem="old"), drain())
