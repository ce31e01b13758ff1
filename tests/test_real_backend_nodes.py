"""A drafted cluster.json and node states on a real cc-backend, if CC_BACKEND names its binary."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import requests
from cc_backend_server import RealServer
from recorded_nodes import expected_nodes, node_situations, read_listing
from slurm_lab import RELEASES, Lab, Settings, require_slurm, require_tree, wait_until

from ccbackend.accelerators import AcceleratorMap, accelerator_map
from ccbackend.client import BackendClient
from ccbackend.job_filters import JobFilters
from ccbackend.site_map import SiteMap
from ccbackend.version import SharedServerInfo
from ccbackend.wire.transport import Transport
from slurm.client import Slurm
from slurm.commands import CommandPaths
from slurm.decode.job_rows import parse_queue_snapshot
from slurm.decode.node_states import NodeListing
from slurm.decode.scontrol_nodes import Node, parse_nodes
from slurm.process import ProcessRunner
from spool.checks.result import CheckStatus
from spool.config import load
from spool.draft.cluster_json import cluster_text, draft_cluster
from spool.files.node_round import NodeRound
from spool.nodes.reporter import NodeReporter, NodeSite, NodeSlurm
from spool.preflight.hardware import check_hardware

BINARY = os.environ.get("CC_BACKEND")
SITUATIONS = ("22.05/completing", "24.11/drain-fail", "26.05/busy", "26.05/reservations")
QUERY = '{ nodes(filter:[{cluster:{eq:"lab"}}]) { items { hostname schedulerState } } }'
USED = {
    **dict.fromkeys(("n2cn001", "n2cn002"), "down"),
    "n2cn003": "reserved",
    "n2cn004": "allocated",
    "n2gpu01": "mixed",
    "n2gpu02": "idle",
}
WANTED = dict(Counter(USED.values()))
ADDRESSES = accelerator_map({}, {"^n2[a-z0-9]+$": [f"00000000:0{i}:00.0" for i in range(4)]})


class Recorded:
    """A Slurm that answers with the recordings of a situation."""

    def __init__(self, situation: str) -> None:
        self.files = node_situations()[situation]

    def node_listing(self) -> NodeListing:
        """Return the nodes."""
        return read_listing(self.files["scontrol-do.txt"])

    def ping(self) -> tuple[tuple[str, str, bool], ...]:
        """Return the one controller."""
        return (("primary", "ctl01", True),)


def drafted_nodes() -> tuple[Node, ...]:
    """Return the recorded nodes from which the cluster is drafted."""
    lines = node_situations()["26.05/dynamic"]["scontrol-do.txt"].splitlines()
    return tuple(parse_nodes(b"\n\n".join(lines)))


def drafted_server(
    root: Path, accelerators: AcceleratorMap, nodes: Sequence[Node] | None = None
) -> RealServer:
    """Return a server, not started yet, whose cluster was drafted from (the recorded) nodes."""
    if BINARY is None:
        pytest.skip("no real cc-backend: CC_BACKEND names no server binary")
    site = SiteMap(cluster="lab", accelerators=accelerators)
    drafted = draft_cluster("lab", nodes or drafted_nodes(), site)
    server = RealServer(Path(BINARY).resolve(), root)
    server.replace_cluster("lab", cluster_text(drafted.document))
    return server


@pytest.mark.parametrize("accelerators", [AcceleratorMap(), ADDRESSES], ids=["null", "addresses"])
def test_a_drafted_cluster_json_is_accepted(tmp_path: Path, accelerators: AcceleratorMap) -> None:
    """cc-backend starts with the drafted file, and has Slurm's nodes, cores and accelerators."""
    with drafted_server(tmp_path, accelerators) as server:
        transport = Transport(requests.Session(), server.url, token=lambda: server.token)
        found = BackendClient(transport, SharedServerInfo()).clusters().clusters or ()
    site = SiteMap(
        cluster="lab", accelerators=accelerators, clusters={each.name: each for each in found}
    )
    path = tmp_path / "our-config.json"
    path.write_text(json.dumps({"clustername": "lab", "cc-backend": {"host": "https://h"}}))
    results = check_hardware(load(path), site, drafted_nodes())

    assert [] == [each.text for each in results if each.status is not CheckStatus.OK]


def test_recorded_node_states_are_shown_as_they_were_sent(tmp_path: Path) -> None:
    """cc-backend shows the nodes of four recorded situations, sent one after another."""
    server = drafted_server(tmp_path, ADDRESSES)
    admin = server.admin_token()
    with server:
        transport = Transport(requests.Session(), server.url, token=lambda: server.token)
        backend = BackendClient(transport, SharedServerInfo())
        if not backend.detect_server().takes_node_states:
            pytest.skip("node states came with 1.5.0")
        for situation in SITUATIONS:
            jobs = parse_queue_snapshot(node_situations()[situation]["squeue.txt"]).jobs_by_node()
            report(backend, Recorded(situation), jobs)
            found = states(server, admin)
            expected = expected_nodes(situation)["nodes"]
            wanted = {name: each["state"] for name, each in expected.items() if each is not None}
            assert wanted == {name: found.get(name) for name in wanted}


@pytest.mark.slurm
@pytest.mark.parametrize("release", RELEASES)
def test_node_states_of_real_slurm_are_shown(tmp_path: Path, release: str) -> None:
    """cc-backend shows down (also for drained), reserved, allocated, mixed and idle nodes."""
    if BINARY is None:
        pytest.skip("no real cc-backend: CC_BACKEND names no server binary")
    require_slurm()
    with Lab(Settings(tree=require_tree(release))) as lab:
        nodes = tuple(parse_nodes(lab.run("scontrol", "show", "node").stdout.encode()))
        server = drafted_server(tmp_path, ADDRESSES, nodes)
        admin = server.admin_token()
        use_nodes(lab)
        with server:
            transport = Transport(requests.Session(), server.url, token=lambda: server.token)
            backend = BackendClient(transport, SharedServerInfo())
            if not backend.detect_server().takes_node_states:
                pytest.skip("node states came with 1.5.0")
            commands = {name: lab.command(name) for name in ("squeue", "sacct", "scontrol")}
            source = Slurm(CommandPaths(**commands, conf=Path(lab.conf)), ProcessRunner())
            wait_until(lambda: report(backend, source, {}) == WANTED, "the states")
            found = states(server, admin)

    assert USED == found


def use_nodes(lab: Lab) -> None:
    """Drain a node, set one down, reserve one, fill one with a job and another one in part."""
    lab.run("scontrol", "update", "nodename=n2cn001", "state=drain", "reason=disk")
    lab.run("scontrol", "update", "nodename=n2cn002", "state=down", "reason=fan")
    lab.run(
        *("scontrol", "create", "reservation", "reservationname=r", "nodes=n2cn003"),
        *("flags=ignore_jobs", "starttime=now", "duration=60", "users=root"),
    )
    for options in (
        ("-p", "cpu", "-w", "n2cn004", "--exclusive"),
        ("-p", "gpu", "-w", "n2gpu01", "--gres=gpu:a100:1"),
    ):
        lab.jobs.wait_state(lab.jobs.sbatch(*options, script="sleep 300"), "RUNNING")


def report(backend: BackendClient, source: NodeSlurm, jobs: Mapping[str, int]) -> dict[str, int]:
    """Report the nodes of a situation, in a new second: the server stores whole seconds."""
    site = NodeSite(
        site_of=lambda found: SiteMap(cluster="lab", clusters={c.name: c for c in found or ()}),
        filters=JobFilters(),
        jobs=lambda: jobs,
    )
    time.sleep(1.1)
    last = NodeReporter(source, backend, site).run(NodeRound())
    assert "" == last.problem
    return dict(last.states)


def states(server: RealServer, token: str) -> dict[str, str]:
    """Return the state that cc-backend shows for each host."""
    headers = {"Authorization": f"Bearer {token}"}
    answer: Any = requests.post(
        f"{server.url}/query", json={"query": QUERY}, headers=headers, timeout=10
    ).json()
    return {each["hostname"]: each["schedulerState"] for each in answer["data"]["nodes"]["items"]}
