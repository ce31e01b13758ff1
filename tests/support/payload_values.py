"""Small jobs, a site and a server for tests of payloads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ccbackend.facts import JobFacts
from ccbackend.payload import (
    start_payload,
)
from ccbackend.site_map import SiteMap
from ccbackend.topology import clusters_of_json
from ccbackend.version import Dialect
from slurm.job import Job, NodeAllocation

T = 1767225600
SMT = {
    "socket": [[0, 1, 2, 3, 8, 9, 10, 11], [4, 5, 6, 7, 12, 13, 14, 15]],
    "core": [[0, 8], [1, 9], [2, 10], [3, 11], [4, 12], [5, 13], [6, 14], [7, 15]],
}


def job_of(**facts: Any) -> Job:
    """Return a small job with some facts set."""
    small: dict[str, Any] = {"job_id": 7, "user": "ada", "start_time": T, "nodes": ("n1",)}
    return Job(**small | facts)


def site(**settings: Any) -> SiteMap:
    """Return a minimal site mapping with some settings changed."""
    return SiteMap(**{"cluster": "lab", **settings})


def server(nodes: str = "n[1-9]", name: str = "lab") -> dict[str, Any]:
    """Return the server's topology of one cluster whose cores have two hardware threads."""
    sub = {"name": "main", "nodes": nodes, "topology": SMT}
    clusters = clusters_of_json({"clusters": [{"name": name, "subClusters": [sub]}]})
    return {cluster.name: cluster for cluster in clusters}


def start(job: JobFacts, mapping: SiteMap | None = None, **options: Any) -> dict[str, Any]:
    """Return the payload of a start for a recent server."""
    given: dict[str, Any] = {"dialect": Dialect.SHARED, "metadata": {}} | options
    return start_payload(job, mapping=mapping or site(), **given)


def node(name: str, cores: Sequence[int] | None = None, **facts: Any) -> NodeAllocation:
    """Return the allocation of a job on a node of eight cores."""
    held = None if cores is None else tuple(cores)
    return NodeAllocation(**{"name": name, "cores": held, "core_count": 8, **facts})
