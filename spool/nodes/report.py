"""Which nodes are reported to which cluster of cc-backend, and which are left out. Pure.

cc-backend answers 200 even for hosts that it does not have, and logs an error for each of them
(v1.5.4, `internal/api/node.go`), so only hosts of its own list are sent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field

from ccbackend.job_filters import JobFilters
from ccbackend.node_states import NodeCondition, NodeStatus, node_condition
from ccbackend.site_map import SiteMap
from ccbackend.topology import Cluster
from slurm.decode.node_states import NodeListing, NodeRecord
from slurm.light_dataclass import light_dataclass
from spool.files.node_round import LeftOut


@light_dataclass
class NodeReport:
    """The nodes to report by cluster, and the names of those left out by reason.

    `hosts` are those that Slurm has, by cluster: the next round reports those that vanished.
    """

    clusters: Mapping[str, tuple[NodeStatus, ...]]
    hosts: Mapping[str, tuple[str, ...]]
    left_out: Mapping[LeftOut, tuple[str, ...]] = field(default_factory=dict)
    unreadable: int = 0

    def left_out_counts(self) -> dict[str, int]:
        """Return how many nodes were left out, by reason."""
        counts = {str(reason): len(names) for reason, names in self.left_out.items()}
        return counts | ({str(LeftOut.UNREADABLE): self.unreadable} if self.unreadable else {})

    def state_counts(self) -> dict[str, int]:
        """Return how many nodes are reported, by state."""
        counts = Counter(str(node.condition) for each in self.clusters.values() for node in each)
        return dict(sorted(counts.items()))


def node_report(
    listing: NodeListing,
    site: SiteMap,
    filters: JobFilters,
    *,
    jobs: Mapping[str, int] | None = None,
    sent_before: Mapping[str, Iterable[str]] | None = None,
) -> NodeReport:
    """Return the nodes to report to each cluster, and the names of those left out.

    Args:
        listing: all nodes of Slurm.
        site: how names appear at cc-backend, with its clusters.
        filters: of the site: hosts and clusters that are not reported.
        jobs: how many jobs run on each node; None if that is not known.
        sent_before: the hosts last sent, by cluster. One that Slurm no longer has is reported once
            more as unknown, because cc-backend would show its last state for ever.
    """
    left_out: dict[LeftOut, list[str]] = {}
    if listing.duplicates:
        left_out[LeftOut.TWICE] = list(listing.duplicates)
    clusters = _statuses(listing.nodes, site, filters, jobs=jobs or {}, left_out=left_out)
    doubtful = {
        site.host(name)
        for reason in (LeftOut.TWICE, LeftOut.SAME_NAME)
        for name in left_out.get(reason, ())
    }
    sent = _still_reported(sent_before or {}, site, filters) if clusters else {}
    hosts: dict[str, tuple[str, ...]] = {}
    for name in {**clusters, **sent}:  # also one whose last node has left Slurm
        nodes = clusters.setdefault(name, [])
        before = sent.get(name, ())
        unclear, missing = _missing(before, nodes, doubtful, everything=bool(listing.bad_lines))
        hosts[name] = (*(node.host for node in nodes), *unclear)
        known = (host for host in missing if _lists(site.clusters[name], host))
        nodes += [NodeStatus(host=host, condition=NodeCondition.UNKNOWN) for host in known]
    return NodeReport(
        clusters={name: tuple(nodes) for name, nodes in clusters.items() if nodes},
        hosts={name: names for name, names in hosts.items() if names},
        left_out={reason: tuple(names) for reason, names in left_out.items()},
        unreadable=listing.bad_lines,
    )


def _statuses(
    nodes: Iterable[NodeRecord],
    site: SiteMap,
    filters: JobFilters,
    *,
    jobs: Mapping[str, int],
    left_out: dict[LeftOut, list[str]],
) -> dict[str, list[NodeStatus]]:
    """Return the states of the nodes by cluster; add those that are left out to `left_out`."""
    clusters: dict[str, list[NodeStatus]] = {}
    for record, host in _with_hosts(nodes, site, filters, left_out):
        count = jobs.get(record.name, 0)
        condition = node_condition(record.words, has_jobs=bool(count))
        if condition is None:
            left_out.setdefault(LeftOut.FUTURE, []).append(record.name)
            continue
        names, reason = _clusters_of(record, host, site, filters)
        if reason is not None:
            left_out.setdefault(reason, []).append(host)
        status = NodeStatus(
            host=host,
            condition=condition,
            cpus=record.cpus,
            memory_mb=record.memory_mb,
            gpus=record.gpus,
            jobs=count,
        )
        for name in names:
            clusters.setdefault(name, []).append(status)
    return clusters


def _still_reported(
    sent_before: Mapping[str, Iterable[str]], site: SiteMap, filters: JobFilters
) -> dict[str, Iterable[str]]:
    """Return the hosts last sent to clusters that cc-backend has and the filters allow."""
    return {
        name: hosts
        for name, hosts in sent_before.items()
        if name in site.clusters and filters.clusters.allows(name)
    }


def _missing(
    before: Iterable[str], nodes: Iterable[NodeStatus], doubtful: set[str], *, everything: bool
) -> tuple[list[str], list[str]]:
    """Return the hosts sent before but not among the nodes: doubtful ones, then missing ones.

    Whether Slurm still has a doubtful host is unknown; all are doubtful if one record cannot be
    read (`everything`).
    """
    current = {node.host for node in nodes}
    earlier = [host for host in before if host not in current]
    if everything:
        return earlier, []
    unclear = [host for host in earlier if host in doubtful]
    return unclear, [host for host in earlier if host not in doubtful]


def _with_hosts(
    nodes: Iterable[NodeRecord],
    site: SiteMap,
    filters: JobFilters,
    left_out: dict[LeftOut, list[str]],
) -> Iterator[tuple[NodeRecord, str]]:
    """Yield each node with its host name at cc-backend; leave out ignored and ambiguous ones."""
    ignored = filters.ignore_hosts
    named = []
    for node in nodes:
        if ignored is not None and ignored.search(node.name):
            left_out.setdefault(LeftOut.IGNORED, []).append(node.name)
        else:
            named.append((node, site.host(node.name)))
    times = Counter(host for _, host in named)
    for node, host in named:
        if times[host] == 1:
            yield node, host
        else:
            left_out.setdefault(LeftOut.SAME_NAME, []).append(node.name)


def _clusters_of(
    node: NodeRecord, host: str, site: SiteMap, filters: JobFilters
) -> tuple[list[str], LeftOut | None]:
    """Return which clusters of a node's partitions list its host; if none, why it is left out."""
    wanted = {site.cluster_of(partition) for partition in node.partitions or ("",)}
    allowed = sorted(name for name in wanted if filters.clusters.allows(name))
    if not allowed:
        return [], LeftOut.IGNORED
    described = [site.clusters[name] for name in allowed if name in site.clusters]
    names = [cluster.name for cluster in described if _lists(cluster, host)]
    if names:
        return names, None
    is_wildcard = any(cluster.subcluster(host) is not None for cluster in described)
    return [], LeftOut.WILDCARD if is_wildcard else LeftOut.UNKNOWN


def _lists(cluster: Cluster, host: str) -> bool:
    """Return whether a cluster lists a host by name; cc-backend stores no hosts of a list `*`."""
    return any(not sub.nodes.matches_all and host in sub.nodes for sub in cluster.subclusters)
