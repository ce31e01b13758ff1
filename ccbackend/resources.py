"""The hosts of a start request with their hardware threads and accelerators."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ccbackend.accelerators import NodeAccelerators, accelerators_of, hosts_like
from ccbackend.facts import JobFacts, NodeFacts
from ccbackend.site_map import SiteMap
from ccbackend.topology import Cluster, NodeTopology

Resource = dict[str, Any]
Warn = Callable[[str], None]


def ignore_warning(_message: str) -> None:
    """Ignore a warning."""


@dataclass(frozen=True, slots=True)
class _NameOnlyNode:
    """A node of which nothing but the name is known."""

    name: str
    cores: None = None
    core_count: None = None
    cpus: None = None
    gres: None = None


def resources_of(
    job: JobFacts, mapping: SiteMap, name: str, warn: Warn
) -> tuple[list[Resource], int]:
    """Return the hosts in Slurm's order, one known to cc-backend first, and the accelerator count.

    Each is `{"hostname": str, "hwthreads": [int], "accelerators": [str]}`, lists only if not empty.
    """
    held: dict[str, NodeFacts] = {node.name: node for node in job.allocations}
    cluster = mapping.clusters.get(name)
    # Full thread lists of thousands of nodes are megabytes. Where a node is held whole, none is
    # needed.
    wide = len(job.nodes) > mapping.listed_nodes
    found: list[Resource] = []
    allocated = listed = 0
    names = mapping.host_names(job.nodes)
    for node_name in job.nodes:
        host = names[node_name]
        node = held.get(node_name) or _NameOnlyNode(node_name)
        topology = _topology(cluster, host, warn)
        gpus = accelerators_of(
            node, mapping.accelerators, topology.accelerators if topology else ()
        )
        allocated, listed = allocated + gpus.allocated, listed + len(gpus.addresses)
        found.append(
            {
                "hostname": host,
                **_threads(node, topology, mapping, wide=wide, warn=warn),
                **_addresses(gpus, warn),
            }
        )
    # The largest of three counts: each source may miss some GPUs (no details, no index, no
    # address), and none invents any.
    return _known_host_first(found, cluster), max(job.gpus or 0, allocated, listed)


def needs_topology(job: JobFacts, mapping: SiteMap) -> bool:
    """Return whether a start should wait until the server's topology has been read.

    Without it the start lacks hardware threads of cores that Slurm has named, or the server's
    spelling of accelerator addresses. No stored run can be corrected in this.
    """
    return not mapping.clusters_known and _lacks_topology(job, mapping)


def needs_newer_topology(job: JobFacts, mapping: SiteMap) -> bool:
    """Return whether the server's topology, as read before, lacks a host of a job.

    The host may have been added to cluster.json since then: the topology is to be read again before
    the start is sent. It is sent all the same if that does not help: the server decides.
    """
    return bool(mapping.clusters) and _lacks_topology(job, mapping)


def _lacks_topology(job: JobFacts, mapping: SiteMap) -> bool:
    cluster = mapping.clusters.get(mapping.cluster_of(job.partition))
    names = mapping.host_names(job.nodes)
    return any(
        (node.cores or accelerators_of(node, mapping.accelerators).addresses)
        and _topology(cluster, names.get(node.name, node.name), ignore_warning) is None
        for node in job.allocations
    )


def _topology(cluster: Cluster | None, host: str, warn: Warn) -> NodeTopology | None:
    if cluster is None:
        return None
    subcluster = cluster.subcluster(host)
    # The host is sent all the same: only the server knows whether it accepts the job.
    if subcluster is None:
        warn(f"host {host} is not in cc-backend's cluster.json for cluster {cluster.name}")
        return None
    return subcluster.topology


def _threads(
    node: NodeFacts,
    topology: NodeTopology | None,
    mapping: SiteMap,
    *,
    wide: bool,
    warn: Warn,
) -> Resource:
    if wide and node.cores is not None and len(node.cores) == node.core_count:
        return {}  # absent means the whole node
    found = hwthreads(node, topology, assume_core_ids=mapping.assume_core_ids)
    if found.problem:
        warn(f"hardware threads are not sent for {hosts_like(node.name)}: {found.problem}")
    return {"hwthreads": list(found.threads)} if found.threads else {}


@dataclass(frozen=True, slots=True)
class HwThreads:
    """Hardware threads of a job on one node; None is left out, which means the whole node."""

    threads: tuple[int, ...] | None = None
    problem: str | None = None


def hwthreads(
    node: NodeFacts, topology: NodeTopology | None, *, assume_core_ids: bool
) -> HwThreads:
    """List all hardware threads of the cores that a job holds on a node, ascending.

    Without a topology, or with one of another size than Slurm's, nothing is listed (misleading for
    shared jobs, but better than wrong threads), unless `assume_core_ids` lets core numbers stand
    for thread ids and nothing hints at several threads a core.
    """
    if node.cores is None:
        return HwThreads(problem="cores are not known")
    # Equal numbers of cores are the only sign that both sides speak of the same hardware. A wrong
    # mapping would show another job's load.
    if topology is not None and node.core_count in (None, len(topology.cores)):
        if all(0 <= core < len(topology.cores) for core in node.cores):
            # All threads of a core: Slurm gives whole cores, also to jobs with
            # --hint=nomultithread. An empty list would mean the whole node, as an absent one does.
            threads = {thread for core in node.cores for thread in topology.cores[core]}
            return HwThreads(tuple(sorted(threads)) or None)
        return HwThreads(problem="the job has cores that cc-backend's topology does not have")
    threaded = topology is not None and topology.threaded
    # More CPUs than cores mean several threads a core, where a core number is no thread id.
    if assume_core_ids and not threaded and (node.cpus or 0) <= len(node.cores):
        return HwThreads(tuple(sorted(node.cores)) or None)
    ours = "unknown" if node.core_count is None else node.core_count
    theirs = "no topology" if topology is None else len(topology.cores)
    return HwThreads(problem=f"cores: {ours} in Slurm, {theirs} at cc-backend")


def _addresses(found: NodeAccelerators, warn: Warn) -> Resource:
    for problem in found.problems:
        warn(problem)
    return {"accelerators": list(found.addresses)} if found.addresses else {}


def _known_host_first(resources: list[Resource], cluster: Cluster | None) -> list[Resource]:
    """Put a known host first: the server derives the subcluster from the first host alone."""
    if cluster is None:
        return resources
    known = [i for i, host in enumerate(resources) if cluster.subcluster(host["hostname"])]
    if not known or known[0] == 0:
        return resources
    # A start whose first host is unknown is refused whole; unknown hosts behind it are accepted.
    first = resources[known[0]]
    return [first, *(host for host in resources if host is not first)]
