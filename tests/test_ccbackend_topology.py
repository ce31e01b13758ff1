"""Node lists, topologies, and the hardware threads of cores."""

from __future__ import annotations

import pytest

from ccbackend.resources import HwThreads, hwthreads
from ccbackend.topology import NodeList, NodeTopology, clusters_of_json
from slurm.job import NodeAllocation

FLAT = NodeTopology(((0,), (1,), (2,), (3,)))
SMT = NodeTopology(((0, 4), (1, 5), (2, 6), (3, 7)))


def cluster(topology: object, nodes: object = "n[1-2]") -> object:
    """Return the server's answer with one subcluster."""
    subs = [{"name": "main", "nodes": nodes, "topology": topology}]
    return {"clusters": [{"name": "lab", "subClusters": subs}]}


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("n2cn[001-004]", ["n2cn001", "n2cn004"], ["n2cn005", "n2cn1", "N2CN001", "n2cn0001"]),
        ("a1, b[1,5-6]c", ["a1", "b1c", "b5c"], ["a2", "b2c", "b1", "a1 "]),
        ("r[0-1]n[2-3]", ["r0n2", "r1n3"], ["r2n2", "r0n4"]),
        ("*", ["anything"], []),
        ("n[x]", [], ["nx", "n1", "n[x]"]),
        ("", [], ["", "n1"]),
        ("a.b", ["a.b"], ["axb"]),
    ],
)
def test_node_lists_are_read_as_cc_backend_reads_them(
    text: str, inside: list[str], outside: list[str]
) -> None:
    """`n2cn[001-004]` contains n2cn001, but not n2cn1 or n2cn0001."""
    nodes = NodeList.parse(text)

    assert [host in nodes for host in inside + outside] == [True] * len(inside) + [False] * len(
        outside
    )


def test_cores_are_ordered_socket_by_socket() -> None:
    """Slurm numbers cores in this order, whatever the order in cluster.json is."""
    topology = {
        "socket": [[0, 2, 4, 6], [1, 3, 5, 7]],
        "core": [[4, 0], [1, 5], [2, 6], [3, 7]],
        "accelerators": [{"id": "00000000:0A:00.0"}],
    }
    (found,) = clusters_of_json(cluster(topology))
    sub = found.subcluster("n1")

    assert sub is not None
    assert sub.topology == NodeTopology(((0, 4), (2, 6), (1, 5), (3, 7)), ("00000000:0A:00.0",))
    assert found.subcluster("n3") is None


@pytest.mark.parametrize(
    "topology",
    [
        None,
        {},
        {"socket": [[0]], "core": [[0], [1]]},
        {"socket": [[0], [0]], "core": [[0]]},
        {"socket": [[0]], "core": []},
        {"socket": [[0]], "core": [["x"]]},
        {"socket": [[0]], "core": [[0]], "accelerators": [7]},
        [],
    ],
)
def test_an_invalid_topology_is_ignored(topology: object) -> None:
    """The host of the invalid topology is still known to be in the cluster."""
    (found,) = clusters_of_json(cluster(topology))
    sub = found.subcluster("n2")

    assert sub is not None
    assert sub.topology is None


@pytest.mark.parametrize(
    "value", [None, [], {"clusters": [{}]}, {"clusters": [{"name": "x", "subClusters": [1]}]}]
)
def test_a_malformed_list_of_clusters_is_refused(value: object) -> None:
    """An error is raised, so that the answer does not look like a server without clusters."""
    with pytest.raises(ValueError, match="not a list of clusters"):
        clusters_of_json(value)


def test_subclusters_may_be_null() -> None:
    """cc-backend is written in Go, which writes null for an empty list."""
    (found,) = clusters_of_json({"clusters": [{"name": "x", "subClusters": None}]})

    assert found.subclusters == ()


@pytest.mark.parametrize(
    ("cores", "count", "topology", "threads"),
    [
        ((0, 2), 4, SMT, (0, 2, 4, 6)),
        ((0, 2), None, SMT, (0, 2, 4, 6)),
        ((3,), 4, FLAT, (3,)),
        ((), 4, FLAT, None),
        ((9,), 4, SMT, None),
        ((0,), 8, SMT, None),
        ((0,), 8, FLAT, None),
        ((0,), 8, None, None),
        (None, 4, SMT, None),
    ],
)
def test_all_threads_of_the_cores_are_listed_if_the_sizes_agree(
    cores: tuple[int, ...] | None,
    count: int | None,
    topology: NodeTopology | None,
    threads: tuple[int, ...] | None,
) -> None:
    """If Slurm and cc-backend have different numbers of cores, no threads are sent."""
    node = NodeAllocation(name="n1", cores=cores, core_count=count)

    assert hwthreads(node, topology, assume_core_ids=False).threads == threads


@pytest.mark.parametrize(
    ("cores", "cpus", "topology", "threads"),
    [
        ((3, 1), None, None, (1, 3)),
        ((3, 1), 2, FLAT, (1, 3)),
        ((3, 1), 4, None, None),
        ((3, 1), 2, SMT, None),
        ((), 0, None, None),
    ],
)
def test_core_numbers_are_sent_as_threads_only_without_smt(
    cores: tuple[int, ...],
    cpus: int | None,
    topology: NodeTopology | None,
    threads: tuple[int, ...] | None,
) -> None:
    """More CPUs than cores, or a topology with two threads a core, indicates SMT."""
    node = NodeAllocation(name="n1", cores=cores, core_count=99, cpus=cpus)

    assert hwthreads(node, topology, assume_core_ids=True).threads == threads


def test_different_numbers_of_cores_are_both_in_the_problem() -> None:
    """8 cores in Slurm, 4 at cc-backend: an administrator sees which configuration is wrong."""
    node = NodeAllocation(name="n1", cores=(0,), core_count=8)

    assert hwthreads(node, SMT, assume_core_ids=False) == HwThreads(
        problem="cores: 8 in Slurm, 4 at cc-backend"
    )
