"""Drafts of cluster.json from Slurm's nodes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded_slurm import recordings
from sweep_site import SweepSite

from ccbackend.accelerators import accelerator_map
from ccbackend.site_map import SiteMap
from ccbackend.topology import NodeList, clusters_of_json
from slurm.decode.scontrol_nodes import Node, parse_nodes
from spool.config import load
from spool.draft.cluster_json import DraftedCluster, draft_cluster, fold_hosts
from spool.preflight.hardware import check_hardware


@pytest.mark.parametrize(
    ("hosts", "text"),
    [
        (["n001", "n002", "n003", "n005"], "n[001-003],n005"),
        (["n9", "n10", "n11", "login"], "n9,n[10-11],login"),
        (["r1n1", "r1n2", "r2n1"], "r1n[1-2],r2n1"),
        (["a1-ib", "a2-ib", "a1-ib"], "a1-ib,a2-ib"),
        (["n1x", "n2x", "n4x", "n5x", "n7x"], "n[1-2,4-5]x,n7x"),
        (["n1234567890", "n1234567891"], "n1[234567890-234567891]"),
        ([], ""),
    ],
)
def test_host_names_are_folded_into_a_host_list(hosts: list[str], text: str) -> None:
    """n001, n002 and n003 become n[001-003]; all numbers of a range have the same width."""
    assert text == fold_hosts(hosts)


@given(
    st.sets(st.from_regex(r"[a-z]{1,2}[0-9]{0,4}(-?[a-z][0-9]{0,2})?", fullmatch=True), max_size=40)
)
def test_a_folded_list_contains_exactly_its_hosts(hosts: set[str]) -> None:
    """The list is parsed as cc-backend parses it; similar names are not in it."""
    text = fold_hosts(sorted(hosts))
    found = NodeList.parse(text)

    for brackets in re.findall(r"\[(.*?)\]", text):
        assert all(re.fullmatch(r"[0-9]{1,9}-[0-9]{1,9}", part) for part in brackets.split(","))
    assert "]-" not in text
    assert all(host in found for host in hosts)
    others = {host + "0" for host in hosts} | {host[:-1] for host in hosts if len(host) > 1}
    assert not any(host in found for host in others - hosts)


def nodes_of(series: str) -> tuple[Node, ...]:
    """Return the nodes of a recorded cluster."""
    return parse_nodes(recordings(series)["cluster"]["scontrol-nodes.txt"])


def drafted(*nodes: Node, gpus: dict[str, list[str]] | None = None, **site: Any) -> DraftedCluster:
    """Return the draft of a cluster `lab`."""
    mapping = SiteMap(cluster="lab", accelerators=accelerator_map({}, gpus or {}), **site)
    return draft_cluster("lab", nodes, mapping)


def node(name: str, **fields: Any) -> Node:
    """Return a node of 2 x 4 cores with 2 threads."""
    known = {"sockets": 2, "cores_per_socket": 4, "threads_per_core": 2, "partitions": ("main",)}
    return Node(**{"name": name, **known, **fields})


def test_a_note_names_hosts_that_no_host_list_can_contain() -> None:
    """Names have an underscore or a leading dash; the note shows the first one and the count 2."""
    notes = drafted(*map(node, ("n1", "n_1", "-n2", "N-2"))).notes

    assert 1 == sum(
        n.startswith("host name 'n_1' has a character") and "2 such names" in n for n in notes
    )


@pytest.mark.parametrize("series", ["21.08", "24.11", "26.05"])
def test_a_recorded_cluster_is_drafted(series: str) -> None:
    """Each kind of hardware of a recorded Slurm becomes one subcluster with Slurm's cores."""
    gpus = {"^n2gpu": [f"00000000:0{i}:00.0" for i in range(4)]}
    document = drafted(*nodes_of(series), gpus=gpus).document

    cpu, gpu = document["subClusters"]
    assert ("cpu", "n2cn[001-004]", 2, 4, 2) == tuple(
        cpu[key] for key in ("name", "nodes", "socketsPerNode", "coresPerSocket", "threadsPerCore")
    )
    assert [0, 1, 2, 3, 8, 9, 10, 11] == cpu["topology"]["socket"][0]
    assert [[0, 8], [1, 9]] == cpu["topology"]["core"][:2]
    assert list(range(16)) == cpu["topology"]["node"]
    assert ("a100", "n2gpu[01-02]") == (gpu["name"], gpu["nodes"])
    assert {"id": "00000000:00:00.0", "type": "Nvidia GPU", "model": "a100"} == (
        gpu["topology"]["accelerators"][0]
    )


def test_a_draft_passes_the_full_check(tmp_path: Path) -> None:
    """`check --full` finds that host names, cores and accelerators agree with Slurm's."""
    (tmp_path / "config.json").write_text(
        json.dumps({"clustername": "lab", "cc-backend": {"host": "https://h"}})
    )
    config = load(tmp_path / "config.json")
    gpus = accelerator_map({}, {"^n2gpu0[12]$": [f"00000000:0{i}:00.0" for i in range(4)]})
    nodes = nodes_of("24.11")
    document = draft_cluster("lab", nodes, SiteMap(cluster="lab", accelerators=gpus)).document
    clusters = {each.name: each for each in clusters_of_json({"clusters": [document]})}
    site = SiteMap(cluster="lab", accelerators=gpus, clusters=clusters)

    assert {"OK"} == {result.status.name for result in check_hardware(config, site, nodes)}


def test_only_the_nodes_of_the_cluster_are_in_its_draft() -> None:
    """A node in a partition of another cluster is omitted; a node has its cc-backend name."""
    found = drafted(
        node("x1"), node("g1", partitions=("gpu",)),
        partition_clusters={"gpu": "fat"}, hosts=((re.compile("^x"), "n"),),
    ).document  # fmt: skip

    assert ["n1"] == [each["nodes"] for each in found["subClusters"]]


def test_subclusters_of_the_same_name_are_numbered() -> None:
    """Nodes that differ in cores or architecture become cpu, cpu-2 and cpu-3."""
    found = drafted(
        node("a1"),
        node("a2", cores_per_socket=8),
        node("a3", arch="aarch64"),
        node("g1", devices=(("gpu", "mi300", 2), ("shard", "", 8))),
        node("g2", devices=(("gpu", "", 1),)),
        gpus={"g1": ["a", "b"], "g2": ["c", "d"]},
    )

    assert ["cpu", "cpu-2", "cpu-3", "mi300", "gpu"] == [
        each["name"] for each in found.document["subClusters"]
    ]
    types = [each["topology"].get("accelerators") for each in found.document["subClusters"]]
    assert [{"id": "a", "type": "AMD GPU", "model": "mi300"}] == types[3][:1]
    assert any(
        "the configuration has addresses of 2 devices for each host, but Slurm has 1;" in n
        for n in found.notes
    )
    assert found.document["subClusters"][2]["processorType"].endswith("(aarch64)")


def test_accelerators_without_addresses_are_null() -> None:
    """A note names `cc-spool draft-gpus`, which gets the addresses."""
    found = drafted(node("g1", devices=(("gpu", "pvc", 2),)))

    assert None is found.document["subClusters"][0]["topology"]["accelerators"]
    assert any("cc-spool draft-gpus" in note for note in found.notes)


def test_fields_to_be_filled_in_are_noted() -> None:
    """Notes name fields such as flopRateScalar, and host names that cc-backend does not accept."""
    notes = "\n".join(drafted(node("n_1")).notes)

    assert "flopRateScalar" in notes
    assert "lscpu -e" in notes
    assert "digits and dashes; 1 such name): map it" in notes


@pytest.fixture
def site(tmp_path: Path) -> Iterator[SweepSite]:
    """Return a site with the nodes of a recorded cluster."""
    with SweepSite(tmp_path) as made:
        text = recordings("24.11")["cluster"]["scontrol-nodes.txt"]
        (tmp_path / "nodes.txt").write_bytes(text)
        yield made


def test_a_draft_is_written_to_stdout(site: SweepSite) -> None:
    """`draft-cluster` prints JSON with several numbers on a line; the notes go to stderr."""
    said = site.call("draft-cluster")

    document = json.loads(said.out)
    assert (0, "lab") == (said.code, document["name"])
    assert '"node": [0, 1, 2, 3, 4,' in said.out
    assert "check: a100: accelerators is null" in said.err


def test_ignored_hosts_are_not_drafted(site: SweepSite) -> None:
    """`ignoreHosts` removes the GPU nodes; for a cluster without nodes the command exits with 2."""
    site.document["ignoreHosts"] = "gpu"
    site.write()

    found = json.loads(site.call("draft-cluster").out)
    assert ["cpu"] == [each["name"] for each in found["subClusters"]]
    said = site.call("draft-cluster", "--cluster", "other")
    assert (2, "") == (said.code, said.out)
    assert "cluster other has no Slurm nodes" in said.err


def test_a_failed_slurm_request_drafts_nothing(site: SweepSite) -> None:
    """`draft-cluster` exits with 69 and prints no draft if `scontrol` fails."""
    (site.root / "scontrol").write_text("#!/bin/sh\necho gone >&2\nexit 1\n")
    said = site.call("draft-cluster")

    assert (69, "") == (said.code, said.out)
    assert "Slurm did not answer" in said.err
