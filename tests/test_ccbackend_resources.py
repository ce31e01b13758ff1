"""Hosts of a start request: threads, host names and accelerator addresses."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from ccbackend.accelerators import accelerator_map, map_problems
from ccbackend.resources import ignore_warning, needs_topology, resources_of
from ccbackend.site_map import SiteMap
from ccbackend.topology import Cluster, clusters_of_json
from slurm.job import Gres, Job, NodeAllocation

CORES = {"socket": [[0, 1, 2, 3]], "core": [[0, 2], [1, 3]]}
GPU = Gres(name="gpu", count=1, indices=(0,))
ADDRESSES = accelerator_map({"g": {"0": "00000000:0A:00.0"}}, {})


def lab(nodes: str = "g[1-9]", *ids: str) -> dict[str, Cluster]:
    """Return the server's description of one cluster, by name."""
    topology = CORES | {"accelerators": [{"id": one, "type": "gpu"} for one in ids]}
    sub = {"name": "main", "nodes": nodes, "topology": topology}
    (found,) = clusters_of_json({"clusters": [{"name": "lab", "subClusters": [sub]}]})
    return {"lab": found}


def job_on(*allocations: NodeAllocation) -> Job:
    """Return a job with these allocations on nodes."""
    names = tuple(node.name for node in allocations)
    return Job(
        job_id=7, user="ada", start_time=1767225600, nodes=names, allocations=allocations, gpus=None
    )


def node(name: str = "g1", **facts: Any) -> NodeAllocation:
    """Return the allocation of a job on a node with two cores."""
    return NodeAllocation(**{"name": name, "core_count": 2, **facts})


UNREAD = SiteMap(cluster="lab", accelerators=ADDRESSES)


@pytest.mark.parametrize(
    ("held", "needs"),
    [
        (node(cores=(0,)), True),
        (node(cores=None), False),
        (node(cores=()), False),
        (node(gres=(GPU,)), True),
        (node(gres=(replace(GPU, indices=None),)), False),
        (node("c1", gres=(GPU,)), False),
    ],
    ids=["cores", "no cores known", "no cores held", "gpu", "gpu unknown", "gpu without address"],
)
def test_a_start_waits_for_a_topology_that_adds_threads_or_addresses(
    held: NodeAllocation, *, needs: bool
) -> None:
    """The job must have core numbers, or a GPU with an index and a configured address."""
    assert needs is needs_topology(job_on(held), UNREAD)


@pytest.mark.parametrize(
    ("mapping", "needs"),
    [
        (replace(UNREAD, clusters_known=True), False),
        (replace(UNREAD, clusters=lab()), False),
        (replace(UNREAD, clusters=lab("n[1-9]")), True),
        (replace(UNREAD, clusters=lab(), clusters_known=True), False),
        (replace(UNREAD, assume_core_ids=True), True),
    ],
    ids=["server has none", "from a file", "file without the host", "read", "assumed"],
)
def test_a_start_does_not_wait_if_the_topology_was_read(mapping: SiteMap, *, needs: bool) -> None:
    """A topology file that has the host is enough, or cc-backend's answer without a topology."""
    assert needs is needs_topology(job_on(node(cores=(0,))), mapping)


def hosts(job: Job, mapping: SiteMap) -> list[dict[str, Any]]:
    """Return the resources of a job."""
    return resources_of(job, mapping, "lab", ignore_warning)[0]


@pytest.mark.parametrize("configured", ["0000:0a:00.0", "00000000:0A:00.0", "0A:00.0"])
@pytest.mark.parametrize("spelled", ["0000:0a:00.0", "00000000:0a:00.0", "00000000:0A:00.0"])
def test_an_accelerator_gets_the_servers_form_of_its_address(configured: str, spelled: str) -> None:
    """The server compares text; each side may write the same device in short or long form."""
    site = accelerator_map({}, {"^g1$": [configured]})
    mapping = SiteMap(cluster="lab", accelerators=site, clusters=lab("g1", spelled))

    assert [spelled] == hosts(job_on(node(gres=(GPU,))), mapping)[0]["accelerators"]
    assert () == map_problems(site, {"g1": "g1"}, mapping.clusters["lab"])


def test_an_address_that_the_server_does_not_know_is_sent_in_the_usual_form() -> None:
    """Eight domain digits in upper case; the check reports the addresses of both sides."""
    site = accelerator_map({}, {"^g1$": ["0000:0b:00.0"]})
    mapping = SiteMap(cluster="lab", accelerators=site, clusters=lab("g1", "0000:0a:00.0"))

    assert ["00000000:0B:00.0"] == hosts(job_on(node(gres=(GPU,))), mapping)[0]["accelerators"]
    assert (
        "accelerator 00000000:0B:00.0 of hosts ^g1$ is not in cc-backend's cluster.json",
        (
            "accelerator 0000:0a:00.0 of hosts named gN (N: a number) is in cc-backend's"
            " cluster.json, but not in the configuration"
        ),
    ) == map_problems(site, {"g1": "g1"}, mapping.clusters["lab"])


@pytest.mark.parametrize(
    ("prefix", "kind", "counts"),
    [
        ("n2fpga", "fpga", True),
        ("n2acc", "fpga", True),
        ("n2vpu", "vpu", True),
        ("N2NPU", "npu", True),
        ("n2acc", "nvme", False),
    ],
)
def test_an_old_address_map_counts_other_kinds(prefix: str, kind: str, *, counts: bool) -> None:
    """The predecessor's file has no kinds: `fpga` counts, and a kind named in the host prefix."""
    site = accelerator_map({prefix: {"1": "0000:01:00.0"}}, {})
    held = node(f"{prefix}7", gres=(Gres(name=kind, type="x", count=1, indices=(1,)),))

    found = hosts(job_on(held), SiteMap(cluster="lab", accelerators=site))[0]

    assert (["00000000:01:00.0"] if counts else None) == found.get("accelerators")


def test_an_fpga_never_gets_the_address_of_a_gpu() -> None:
    """If a job has both on one host, the address map counts for its GPUs only."""
    site = accelerator_map({"g": {"0": "0000:01:00.0", "1": "0000:02:00.0"}}, {})
    fpga = Gres(name="fpga", count=1, indices=(1,))

    found = hosts(job_on(node(gres=(GPU, fpga))), SiteMap(cluster="lab", accelerators=site))[0]

    assert ["00000000:01:00.0"] == found["accelerators"]


def test_address_patterns_apply_to_configured_kinds_only() -> None:
    """An FPGA gets no address from a host pattern if only `gpu` is configured."""
    site = accelerator_map({}, {"^g1$": ["0000:01:00.0"]})
    held = node(gres=(Gres(name="fpga", count=1, indices=(0,)),))

    assert [{"hostname": "g1"}] == hosts(job_on(held), SiteMap(cluster="lab", accelerators=site))


def named(nodes: tuple[str, ...], host_map: dict[str, str]) -> list[str]:
    """Return the host names that are sent for a job on these nodes."""
    patterns = tuple((re.compile(pattern), text) for pattern, text in host_map.items())
    job = Job(job_id=7, user="ada", start_time=1, nodes=nodes)
    return [each["hostname"] for each in hosts(job, SiteMap(cluster="lab", hosts=patterns))]


@pytest.mark.parametrize(
    ("nodes", "names"),
    [
        (("n1.rack1", "n1.rack2"), ["n1.rack1", "n1.rack2"]),
        (("n1.rack1", "n1.rack2", "n2.rack1"), ["n1.rack1", "n1.rack2", "n2"]),
        (("n1.a.example", "n2.a.example"), ["n1", "n2"]),
        (("n1", "n1.rack1"), ["n1", "n1.rack1"]),
    ],
)
def test_short_names_that_collide_are_sent_in_full(
    nodes: tuple[str, ...], names: list[str]
) -> None:
    """Two nodes of one job are never sent as one host."""
    assert names == named(nodes, {})


@pytest.mark.parametrize(
    ("host_map", "names"),
    [
        ({r"^(n\d+)\.(rack\d+)$": r"\2-\1"}, ["rack1-n1", "rack2-n1"]),
        ({r"\.": "-"}, ["n1-rack1", "n1-rack2"]),
        ({r"^x": "y", r"^(.*)\.rack(\d)": r"\1r\2"}, ["n1r1", "n1r2"]),
        ({"^n": "host"}, ["n1.rack1", "n1.rack2"]),
    ],
)
def test_the_host_map_applies_to_the_full_name(host_map: dict[str, str], names: list[str]) -> None:
    """If a pattern gives two nodes the same name, their full names are sent."""
    assert names == named(("n1.rack1", "n1.rack2"), host_map)


@pytest.mark.parametrize("node_name", ["n1.cluster.example", "n1"])
def test_a_host_map_pattern_for_short_names_matches_full_names(node_name: str) -> None:
    """The domain of n1.cluster.example is removed, as without a map."""
    assert ["10.0.0.1"] == named((node_name,), {r"^n(\d)$": r"10.0.0.\1"})
    assert ["host1"] == named((node_name,), {"^n": "host"})


def test_accelerator_addresses_are_found_by_full_and_short_names() -> None:
    """A host pattern may be written for g1.rack1 or for g1."""
    full = accelerator_map({}, {r"^g1\.rack1$": ["full"], "^g1$": ["short"]})
    held = [node(name, gres=(GPU,)) for name in ("g1.rack1", "g1.rack2")]

    found = hosts(job_on(*held), SiteMap(cluster="lab", accelerators=full))

    assert [["full"], ["short"]] == [each["accelerators"] for each in found]
