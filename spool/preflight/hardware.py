"""Slurm's nodes against the server's cluster.json: names, cores, accelerators.

A host that the server does not know makes its jobs wait; a topology of another size costs the
hardware threads, an address that differs costs the accelerators' metrics.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ccbackend.accelerators import map_problems
from ccbackend.payload import SiteMap
from ccbackend.topology import Cluster, SubCluster
from slurm.decode.scontrol_nodes import Node
from spool.checks.result import Result, Verdict, bad, good
from spool.config import Config
from spool.config.site import site_overlaps

SHOWN_NAMES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """A node, its name at the server, and where the server has it."""

    node: Node
    host: str
    cluster: Cluster | None
    subcluster: SubCluster | None


def check_hardware(config: Config, mapping: SiteMap, nodes: Sequence[Node]) -> Iterator[Result]:
    """Yield the verdicts on host names, cores and accelerators.

    Args:
        config: of the site.
        mapping: how its names appear at the server, with the clusters as it has them.
        nodes: of Slurm.
    """
    ignored = config.ignore_hosts
    places = [
        _place(node, mapping) for node in nodes if ignored is None or not ignored.search(node.name)
    ]
    yield _hosts(places)
    yield from _cores(places)
    yield from _accelerators(config, mapping, places)


def check_patterns(config: Config, nodes: Sequence[Node]) -> Iterator[Result]:
    """Yield a warning for patterns of addresses that match one and the same node."""
    for text in site_overlaps(config, [node.name for node in nodes]):
        yield bad(Verdict.WARNING, "accelerators", text, "narrow one of the patterns")


def names(hosts: Sequence[str]) -> str:
    """Return some names and how many there are."""
    shown = ", ".join(hosts[:SHOWN_NAMES])
    return shown if len(hosts) <= SHOWN_NAMES else f"{shown} and {len(hosts) - SHOWN_NAMES} more"


def _place(node: Node, mapping: SiteMap) -> _Place:
    host = mapping.host(node.name)
    wanted = {mapping.cluster_of(partition) for partition in node.partitions}
    known = mapping.clusters
    clusters = [known[name] for name in sorted(wanted) if name in known]
    for cluster in clusters:
        subcluster = cluster.subcluster(host)
        if subcluster is not None:
            return _Place(node=node, host=host, cluster=cluster, subcluster=subcluster)
    return _Place(node=node, host=host, cluster=None, subcluster=None)


def _hosts(places: Sequence[_Place]) -> Result:
    unknown = [place.host for place in places if place.subcluster is None]
    if not unknown:
        return good("hosts", f"the server knows all {len(places)} nodes")
    text = f"the server does not know {names(unknown)}: their jobs wait"
    hint = "add them to cluster.json of the server, or leave them out by ignoreHosts or host_map"
    verdict = Verdict.CRITICAL if len(unknown) == len(places) else Verdict.WARNING
    return bad(verdict, "hosts", text, hint)


def _cores(places: Sequence[_Place]) -> Iterator[Result]:
    """Yield one verdict for each kind of difference."""
    found: dict[str, list[str]] = {}
    for place in places:
        if place.subcluster is None:
            continue
        topology = place.subcluster.topology
        if topology is None:
            found.setdefault("has no topology", []).append(place.host)
        elif len(topology.cores) != place.node.cores:
            text = f"has {len(topology.cores)} cores where Slurm has {place.node.cores}"
            found.setdefault(text, []).append(place.host)
    for text, hosts in found.items():
        told = f"the server {text} for {names(hosts)}: hardware threads are not sent"
        hint = "correct the topology in cluster.json of the server, or the nodes in slurm.conf"
        yield bad(Verdict.WARNING, "cores", told, hint)
    if not found and any(place.subcluster for place in places):
        yield good("cores", "Slurm and the server count the same cores")


def _accelerators(config: Config, mapping: SiteMap, places: Sequence[_Place]) -> Iterator[Result]:
    having = [place for place in places if place.node.has_gres(config.accelerator_kinds)]
    problems = [
        problem
        for place in having
        if place.cluster is not None
        for problem in map_problems(mapping.accelerators, [place.host], place.cluster)
    ]
    for problem in dict.fromkeys(problems):
        hint = "write into gpuPciAddrs or accelerators what cluster.json of the server has"
        yield bad(Verdict.WARNING, "accelerators", problem, hint)
    if not problems:
        count = len(having)
        yield good("accelerators", f"the addresses of {count} nodes are those of the server")
