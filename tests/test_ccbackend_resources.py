"""Hosts of a start request: what the server's topology adds, and names and addresses it knows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ccbackend.accelerators import accelerator_map
from ccbackend.resources import needs_topology
from ccbackend.site_map import SiteMap
from ccbackend.topology import Cluster, clusters_of_json
from slurm.job import Gres, Job, NodeAllocation

CORES = {"socket": [[0, 1, 2, 3]], "core": [[0, 2], [1, 3]]}
GPU = Gres(name="gpu", count=1, indices=(0,))
ADDRESSES = accelerator_map({"g": {"0": "00000000:0A:00.0"}}, {})


def lab(nodes: str = "g[1-9]", *ids: str) -> dict[str, Cluster]:
    """The server's view of one cluster, by name."""
    topology = CORES | {"accelerators": [{"id": one, "type": "gpu"} for one in ids]}
    sub = {"name": "main", "nodes": nodes, "topology": topology}
    (found,) = clusters_of_json({"clusters": [{"name": "lab", "subClusters": [sub]}]})
    return {"lab": found}


def job_on(*allocations: NodeAllocation) -> Job:
    """A job that holds something on these nodes."""
    names = tuple(node.name for node in allocations)
    return Job(
        job_id=7, user="ada", start_time=1767225600, nodes=names, allocations=allocations, gpus=None
    )


def node(name: str = "g1", **facts: Any) -> NodeAllocation:
    """What a job holds on a node of two cores."""
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
def test_a_start_waits_for_the_topology_that_would_add_to_it(
    held: NodeAllocation, *, needs: bool
) -> None:
    """Threads of known cores, and the server's spelling of an address."""
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
def test_a_known_topology_is_not_waited_for(mapping: SiteMap, *, needs: bool) -> None:
    """A file of the configuration is enough; a server that has none will not get one."""
    assert needs is needs_topology(job_on(node(cores=(0,))), mapping)
