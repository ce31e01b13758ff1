"""What a site chooses: which jobs are reported, and how names and hardware appear there."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ccbackend.accelerators import AcceleratorMap
from ccbackend.facts import JobFacts
from ccbackend.topology import Cluster

_BETWEEN_WORDS = re.compile(r"[,\r\n]")


@dataclass(frozen=True, slots=True)
class NameFilter:
    """Names to report. With `allow` only those, never those in `deny`; empty sets do nothing."""

    allow: frozenset[str] = frozenset()
    deny: frozenset[str] = frozenset()

    def allows(self, name: str) -> bool:
        """Return whether a job with this name is to be reported."""
        return name not in self.deny and (not self.allow or name in self.allow)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFilters:
    """Which jobs the site excludes. `ignore_hosts` is searched, not anchored."""

    clusters: NameFilter = NameFilter()
    partitions: NameFilter = NameFilter()
    accounts: NameFilter = NameFilter()
    users: NameFilter = NameFilter()
    qos: NameFilter = NameFilter()
    ignore_hosts: re.Pattern[str] | None = None
    opt_out_flag: str = "disable_cc_submission"


def exclusion_reason(job: JobFacts, filters: JobFilters, *, cluster: str) -> str | None:
    """Return why a job is not to be reported, for the administrator; None if it is reported.

    The filters see a missing name as "", which no list of allowed names holds. `cluster` is the
    name at cc-backend.
    """
    named = (
        ("cluster", cluster, "clusters", filters.clusters),
        ("partition", job.partition or "", "partitions", filters.partitions),
        ("account", job.account or "", "accounts", filters.accounts),
        ("user", job.user or "", "users", filters.users),
        ("qos", job.qos or "", "qos", filters.qos),
    )
    for what, name, key, names in named:
        if not names.allows(name):
            return f"{what} {name or '(none)'} is excluded by filters.{key}"
    hosts = filters.ignore_hosts
    if hosts is not None and job.nodes and all(hosts.search(node) for node in job.nodes):
        return "all hosts match ignoreHosts"
    if filters.opt_out_flag in comment_flags(job):
        return f"opted out by {filters.opt_out_flag}"
    return None


def comment_flags(job: JobFacts) -> frozenset[str]:
    """Return the words of both comments: split at commas and line breaks, blanks stripped.

    The user's own comment counts as well: it is the only one that a user can set, and an opt-out is
    a promise about privacy.
    """
    texts = (job.admin_comment or "", job.comment or "")
    words = (word.strip() for text in texts for word in _BETWEEN_WORDS.split(text))
    return frozenset(word for word in words if word)


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteMap:
    """How the site's names and hardware appear at cc-backend.

    `partition_clusters` shows partitions as clusters of their own. `hosts` rewrites host names,
    first matching pattern. `clusters` is the server's own view (by name), for threads, for the
    spelling of accelerators and for the first host; without it threads are not mapped.
    `clusters_known` says that the server was asked for it and has answered. Nodes held whole are
    listed core by core in jobs of up to `listed_nodes` nodes only, to keep wide jobs small.
    `user_from_uid_after_seconds` lets the number of a user stand for a name that stays unknown for
    so long; None: never.
    """

    cluster: str
    partition_clusters: Mapping[str, str] = field(default_factory=dict)
    hosts: tuple[tuple[re.Pattern[str], str], ...] = ()
    accelerators: AcceleratorMap = field(default_factory=AcceleratorMap)
    clusters: Mapping[str, Cluster] = field(default_factory=dict)
    clusters_known: bool = False
    assume_core_ids: bool = False
    listed_nodes: int = 64
    user_from_uid_after_seconds: float | None = None

    def cluster_of(self, partition: str | None) -> str:
        """Return the name at cc-backend of the cluster that a partition belongs to."""
        return self.partition_clusters.get(partition or "", self.cluster)

    def host(self, node: str) -> str:
        """Return the host name for a Slurm node: rewritten by the first pattern that fits.

        A pattern sees the full name; one that fits nothing behind the first dot rewrites the short
        name. Without a pattern it is the short name, for no node list of the server knows dots.
        """
        short = node.split(".", 1)[0]
        for pattern, replacement in self.hosts:
            if any(found.end() > len(short) for found in pattern.finditer(node)):
                return pattern.sub(replacement, node)
            if pattern.search(short):
                return pattern.sub(replacement, short)
        return short

    def host_names(self, nodes: Sequence[str]) -> dict[str, str]:
        """Return the host name for each node of a job; where short names collide the full ones."""
        names = {node: self.host(node) for node in nodes}
        times = Counter(names.values())
        return {
            node: node if times[host] > 1 and "." in node else host for node, host in names.items()
        }
