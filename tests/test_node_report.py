"""Which nodes are reported to which cluster, and which are excluded, with the reason."""

from __future__ import annotations

import re
from typing import Any

from ccbackend.job_filters import JobFilters, NameFilter
from ccbackend.node_states import NodeCondition, NodeStatus
from ccbackend.site_map import SiteMap
from ccbackend.topology import Cluster, NodeList, SubCluster
from slurm.decode.node_states import NodeListing, NodeRecord
from spool.files.node_round import LeftOut
from spool.nodes.report import NodeReport, node_report


def cluster(name: str, *nodes: str) -> Cluster:
    """Return a cluster with a subcluster for each node list."""
    subclusters = (SubCluster(each, NodeList.parse(each), None) for each in nodes)
    return Cluster(name, tuple(subclusters))


def node(name: str, *words: str, partitions: str = "main", **numbers: int) -> NodeRecord:
    """Return a node, idle without words."""
    found = frozenset(words or ("IDLE",))
    return NodeRecord(
        name=name, words=found, partitions=tuple(partitions.split(",")) if partitions else (),
        **numbers,
    )  # fmt: skip


def report(
    *nodes: NodeRecord,
    clusters: tuple[Cluster, ...] = (cluster("lab", "n[1-9]"),),
    filters: JobFilters | None = None,
    site: dict[str, Any] | None = None,
    listing: dict[str, Any] | None = None,
    **known: Any,
) -> NodeReport:
    """Return what is reported of some nodes."""
    names = {each.name: each for each in clusters}
    mapping = SiteMap(cluster="lab", clusters=names, **site or {})
    found = NodeListing(nodes=nodes, **listing or {})
    return node_report(found, mapping, filters or JobFilters(), **known)


def hosts(found: NodeReport) -> dict[str, list[str]]:
    """Return the hosts by cluster."""
    return {name: [each.host for each in nodes] for name, nodes in found.clusters.items()}


def test_a_node_is_reported_with_its_numbers() -> None:
    """CPUs and memory are Slurm's counts; the jobs are those of the last sweep."""
    found = report(node("n1", "MIXED", cpus=4, memory_mb=500, gpus=1), jobs={"n1": 2})

    assert {
        "lab": (
            NodeStatus(
                host="n1", condition=NodeCondition.MIXED, cpus=4, memory_mb=500, gpus=1, jobs=2
            ),
        )
    } == found.clusters
    assert ({}, {"mixed": 1}) == (found.left_out_counts(), found.state_counts())


def test_a_job_on_an_idle_node_makes_it_mixed() -> None:
    """The node stays idle if it has no job, or if no sweep has counted the jobs."""
    words = [
        report(node("n1"), jobs=jobs).clusters["lab"][0].condition for jobs in (None, {}, {"n1": 1})
    ]

    assert ["idle", "idle", "mixed"] == words


def test_ignored_hosts_and_future_nodes_are_excluded() -> None:
    """A host that matches ignoreHosts and a node in state FUTURE are left out, with the reason."""
    filters = JobFilters(ignore_hosts=re.compile("^n2"))
    found = report(node("n1"), node("n2"), node("n3", "FUTURE"), filters=filters)

    assert {"lab": ["n1"]} == hosts(found)
    assert {LeftOut.IGNORED: ("n2",), LeftOut.FUTURE: ("n3",)} == found.left_out


def test_nodes_have_their_names_at_cc_backend() -> None:
    """The node n1.site.org is reported as n1, its short name; host_map renames x2 to n2."""
    site = {"hosts": ((re.compile("^x"), "n"),)}

    assert {"lab": ["n1", "n2"]} == hosts(report(node("n1.site.org"), node("x2"), site=site))


def test_two_nodes_with_one_host_name_are_both_excluded() -> None:
    """n1.a and n1.b are both n1 at cc-backend, which would keep only one of the two states."""
    found = report(node("n1.a"), node("n1.b"), node("n2"))

    assert {"lab": ["n2"]} == hosts(found)
    assert {LeftOut.SAME_NAME: ("n1.a", "n1.b")} == found.left_out


def test_hosts_that_cc_backend_does_not_list_are_excluded() -> None:
    """A host in no node list is left out as unknown, a host of a node list `*` as wildcard."""
    lists = (cluster("lab", "n1", "m[1-2]"), cluster("wild", "*"))
    site = {"partition_clusters": {"w": "wild"}}
    nodes = (node("m2"), node("m3"), node("x", partitions="w"))
    found = report(*nodes, clusters=lists, site=site)

    assert {"lab": ["m2"]} == hosts(found)
    assert {LeftOut.UNKNOWN: ("m3",), LeftOut.WILDCARD: ("x",)} == found.left_out


def test_no_host_of_an_unknown_cluster_is_reported() -> None:
    """cc-backend has no cluster of the configured name: the node is left out as unknown."""
    assert {"unknown": 1} == report(node("n1"), clusters=()).left_out_counts()


def test_a_node_is_reported_to_every_cluster_of_its_partitions() -> None:
    """A node without a partition is reported to the main cluster. Each cluster must list it."""
    site = {"partition_clusters": {"gpu": "fat", "big": "huge"}}
    lists = (cluster("lab", "n[1-4]"), cluster("fat", "n[2-3]", "n5"))
    nodes = (
        node("n1", partitions=""),
        node("n2", partitions="main,gpu"),
        node("n3", partitions="gpu,big"),
        node("n4", partitions="gpu"),
        node("n5", partitions="gpu"),
    )
    found = report(*nodes, clusters=lists, site=site)

    assert {"lab": ["n1", "n2"], "fat": ["n2", "n3", "n5"]} == hosts(found)
    assert {LeftOut.UNKNOWN: ("n4",)} == found.left_out


def test_clusters_that_the_filters_exclude_get_no_report() -> None:
    """A cluster that `filters.clusters` denies gets no node states, as it gets no jobs."""
    filters = JobFilters(clusters=NameFilter(deny=frozenset({"lab"})))

    assert {LeftOut.IGNORED: ("n1",)} == report(node("n1"), filters=filters).left_out


def test_a_host_that_slurm_no_longer_has_is_reported_once_more_as_unknown() -> None:
    """Without that report cc-backend would show the last state of the host forever."""
    before = {"lab": ("n1", "n2", "m1"), "gone": ("n7",)}
    found = report(node("n1", cpus=1), sent_before=before)

    assert {"lab": ["n1", "n2"]} == hosts(found)
    assert NodeStatus(host="n2", condition=NodeCondition.UNKNOWN) == found.clusters["lab"][1]


TWO: dict[str, Any] = {
    "clusters": (cluster("lab", "n[1-9]"), cluster("fat", "g[1-2]")),
    "site": {"partition_clusters": {"gpu": "fat"}},
}


def test_the_last_hosts_of_a_cluster_are_reported_once_more_as_unknown() -> None:
    """Slurm has removed all nodes of the cluster: one more request reports them as unknown."""
    first = report(node("n1"), node("g1", partitions="gpu"), **TWO)
    second = report(node("n1"), sent_before=first.hosts, **TWO)
    third = report(node("n1"), sent_before=second.hosts, **TWO)

    unknown = NodeStatus(host="g1", condition=NodeCondition.UNKNOWN)
    assert (unknown,) == second.clusters["fat"]
    assert {"lab": ("n1",)} == second.hosts == third.hosts
    assert {"lab": ["n1"]} == hosts(third)


def test_the_last_hosts_of_a_cluster_are_kept_while_a_record_is_unreadable() -> None:
    """The unreadable record may be that of the missing host: it is not reported as unknown yet."""
    before = {"fat": ("g1",)}
    found = report(node("n1"), listing={"bad_lines": 1}, sent_before=before, **TWO)

    assert {"lab": ["n1"]} == hosts(found)
    assert ("g1",) == found.hosts["fat"]


def test_the_last_hosts_of_an_excluded_cluster_are_not_reported() -> None:
    """`filters.clusters` applies to hosts that Slurm has removed as well."""
    filters = JobFilters(clusters=NameFilter(deny=frozenset({"fat"})))
    found = report(node("n1"), sent_before={"fat": ("g1",)}, filters=filters, **TWO)

    assert {"lab": ["n1"]} == hosts(found)


def test_a_host_with_an_ambiguous_record_is_not_reported_as_unknown() -> None:
    """A host whose record occurs twice, or whose name two nodes have, gets no new state."""
    nodes = (node("n1"), node("n3.a"), node("n3.b"))
    found = report(*nodes, listing={"duplicates": ("n2",)}, sent_before={"lab": ("n1", "n2", "n3")})

    assert {"lab": ["n1"]} == hosts(found)
    assert {"n1", "n2", "n3"} == {*found.hosts["lab"]}
    assert {"twice": 1, "same_name": 2} == found.left_out_counts()


def test_no_host_counts_as_removed_while_a_record_is_unreadable() -> None:
    """The unreadable record may be that of the missing host, which is not reported as unknown."""
    found = report(node("n1"), listing={"bad_lines": 1}, sent_before={"lab": ("n1", "n2")})

    assert {"lab": ["n1"]} == hosts(found)
    assert {"lab": ("n1", "n2")} == found.hosts
    assert {"unreadable": 1} == found.left_out_counts()


def test_no_host_counts_as_removed_if_no_node_can_be_reported() -> None:
    """Slurm's only node is unknown to cc-backend: the host reported before gets no new state."""
    assert {} == hosts(report(node("x"), sent_before={"lab": ("n1",)}))
