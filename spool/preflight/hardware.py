"""Compare Slurm's nodes with the server's cluster.json: names, cores, accelerators.

Jobs on a host that cc-backend does not have wait; with a topology of another size hardware threads
are not sent; with a different address the accelerators have no metrics.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from ccbackend.accelerators import map_problems
from ccbackend.site_map import SiteMap
from ccbackend.topology import Cluster, SubCluster
from slurm.decode.scontrol_nodes import Node
from spool.checks.result import CheckResult, CheckStatus, finding, passed
from spool.config import Config
from spool.config.backend_settings import host_overlaps, site_map
from spool.errors import ConfigError

MAX_SHOWN_NAMES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class _MatchedNode:
    """A node, its name at the server, and its cluster and topology there."""

    node: Node
    host: str
    cluster: Cluster | None
    subcluster: SubCluster | None


def compare_nodes(
    config: Config, clusters: Sequence[Cluster], nodes: Sequence[Node]
) -> Iterator[CheckResult]:
    """Yield the differences between Slurm's nodes and the server's hosts."""
    if not nodes:
        return  # Slurm did not answer, which is already a result
    yield from check_patterns(config, nodes)
    try:
        mapping = site_map(config, clusters)
    except ConfigError:  # a file of topology_files, already reported
        mapping = site_map(replace(config, topology_files=()), clusters)
    if not mapping.clusters:
        text = "the nodes cannot be compared: cc-backend did not list its hosts"
        hint = "run this command again when cc-backend answers, or set topology_files"
        yield finding(CheckStatus.UNKNOWN, "hosts", text, hint)
        return
    yield from check_hardware(config, mapping, nodes)


def check_hardware(
    config: Config, mapping: SiteMap, nodes: Sequence[Node]
) -> Iterator[CheckResult]:
    """Yield the results for host names, cores and accelerators.

    `mapping` is from the site's names to the server's, with the server's clusters.
    """
    ignored = config.ignore_hosts
    reported = [node for node in nodes if ignored is None or not ignored.search(node.name)]
    names = mapping.host_names([node.name for node in reported])
    matched = [_match_node(node, names[node.name], mapping) for node in reported]
    yield _hosts(matched)
    yield from _same_names(names, mapping)
    yield from _cores(matched)
    yield from _accelerators(mapping, matched)


def check_patterns(config: Config, nodes: Sequence[Node]) -> Iterator[CheckResult]:
    """Yield a warning for address patterns that match the same node."""
    for text in host_overlaps(config, [node.name for node in nodes]):
        hint = "change one of the patterns, so that only one matches each host"
        yield finding(CheckStatus.WARNING, "accelerators", text, hint)


def abbreviated(hosts: Sequence[str]) -> str:
    """Return the first five names, and how many more there are, as text."""
    shown = ", ".join(hosts[:MAX_SHOWN_NAMES])
    return (
        shown
        if len(hosts) <= MAX_SHOWN_NAMES
        else f"{shown} and {len(hosts) - MAX_SHOWN_NAMES} more"
    )


def _match_node(node: Node, host: str, mapping: SiteMap) -> _MatchedNode:
    wanted = {mapping.cluster_of(partition) for partition in node.partitions}
    known = mapping.clusters
    clusters = [known[name] for name in sorted(wanted) if name in known]
    for cluster in clusters:
        subcluster = cluster.subcluster(host)
        if subcluster is not None:
            return _MatchedNode(node=node, host=host, cluster=cluster, subcluster=subcluster)
    return _MatchedNode(node=node, host=host, cluster=None, subcluster=None)


def _hosts(matched: Sequence[_MatchedNode]) -> CheckResult:
    unknown = [match.host for match in matched if match.subcluster is None]
    if not unknown:
        return passed("hosts", f"cc-backend has all nodes ({len(matched)})")
    text = f"cc-backend does not have {abbreviated(unknown)}: jobs on them are not delivered"
    hint = (
        "add them to the cluster.json of their partitions' cluster and restart cc-backend, map"
        " their names with host_map, or exclude them with ignoreHosts"
    )
    status = CheckStatus.CRITICAL if len(unknown) == len(matched) else CheckStatus.WARNING
    return finding(status, "hosts", text, hint)


def _same_names(nodes: Iterable[str], mapping: SiteMap) -> Iterator[CheckResult]:
    """Yield a warning for nodes that become one host: by their short names, or by `host_map`.

    If they differ only after a dot, a job on several of them is reported with their full names, a
    job on one of them with the short name: cc-backend's node lists allow no dots.
    """
    hosts = {node: mapping.host(node) for node in nodes}
    times = Counter(hosts.values())
    same = [node for node, host in hosts.items() if times[host] > 1]
    if same:
        text = f"{abbreviated(same)} have the same host name, so they are reported as one host"
        hint = (
            "give each node its own name with host_map, whose patterns are matched against the"
            " full name"
        )
        yield finding(CheckStatus.WARNING, "hosts", text, hint)


def _cores(matched: Sequence[_MatchedNode]) -> Iterator[CheckResult]:
    """Yield a warning for each kind of difference in cores, or a result that all agree."""
    found: dict[str, list[str]] = {}
    for match in matched:
        if match.subcluster is None:
            continue
        topology = match.subcluster.topology
        if topology is None:
            found.setdefault("has no topology", []).append(match.host)
        elif len(topology.cores) != match.node.cores:
            text = f"has {len(topology.cores)} cores, Slurm {match.node.cores}"
            found.setdefault(text, []).append(match.host)
    for text, hosts in found.items():
        text_with_hosts = (
            f"cc-backend {text} for {abbreviated(hosts)}: hardware threads are not sent, or are"
            " wrong with assume_core_ids"
        )
        hint = "correct the topology in cc-backend's cluster.json, or the nodes in slurm.conf"
        yield finding(CheckStatus.WARNING, "cores", text_with_hosts, hint)
    if not found and any(match.subcluster for match in matched):
        yield passed("cores", "Slurm and cc-backend agree on the number of cores of each node")


def _accelerators(mapping: SiteMap, matched: Sequence[_MatchedNode]) -> Iterator[CheckResult]:
    with_accelerators = [
        match
        for match in matched
        if mapping.accelerators.accelerator_kinds(
            match.node.name, (kind for kind, _, _ in match.node.devices)
        )
    ]
    problems = [
        problem
        for match in with_accelerators
        if match.cluster is not None
        for problem in map_problems(
            mapping.accelerators, {match.node.name: match.host}, match.cluster
        )
    ]
    for problem in dict.fromkeys(problems):
        hint = "set gpuPciAddrs or accelerators to the addresses in cc-backend's cluster.json"
        yield finding(CheckStatus.WARNING, "accelerators", problem, hint)
    if not problems:
        count = len(with_accelerators)
        yield passed(
            "accelerators",
            f"the accelerators' addresses match cc-backend's cluster.json (nodes: {count})",
        )
