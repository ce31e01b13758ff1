"""How a site's names and hardware appear at cc-backend."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ccbackend.accelerators import AcceleratorMap
from ccbackend.topology import Cluster


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteMap:
    """How the site's names and hardware appear at cc-backend.

    `partition_clusters` shows partitions as clusters of their own. `hosts` rewrites host names,
    first matching pattern. `clusters` is the server's own view (by name), for threads, for the
    spelling of accelerators and for the first host; without it threads are not mapped.
    `clusters_known` says that the server was asked for it and has answered. Nodes held whole are
    listed core by core in jobs of up to `listed_nodes` nodes only, to keep wide jobs small.
    `user_from_uid_after_seconds` is how long a user name may stay unknown before the numeric user
    id is sent in its place; None: never.
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
