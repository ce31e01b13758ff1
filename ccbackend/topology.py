"""The server's view of nodes: which hosts it knows, their cores and hardware threads.

Source: `GET /api/clusters/` (cc-backend >= 1.3.0) or the same JSON from the configuration. Slurm's
flat core index is a position in the cores ordered socket by socket; socket numbers themselves are
never compared, because Slurm may call NUMA nodes or caches sockets.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_ITEM = re.compile(r"(?:[^,\[\]]|\[[^\[\]]*\])+")
_GROUP = re.compile(r"\[([^\[\]]*)\]")
_RANGE = re.compile(r"([0-9]+)(?:-([0-9]+))?")


@dataclass(frozen=True, slots=True)
class NodeTopology:
    """Hardware of one type of node: threads of each core, cores ordered socket by socket."""

    cores: tuple[tuple[int, ...], ...]
    accelerators: tuple[str, ...] = ()

    @property
    def threaded(self) -> bool:
        """Whether any core has more than one thread."""
        return any(len(threads) > 1 for threads in self.cores)


@dataclass(frozen=True, slots=True)
class NodeList:
    """A node list of cluster.json: `n2cn[001-004],a1`; `n2cn1` is not in it (fixed width)."""

    items: tuple[tuple[re.Pattern[str], tuple[tuple[tuple[str, str], ...], ...]], ...]
    matches_all: bool = False

    @classmethod
    def parse(cls, text: str) -> NodeList:
        """Read a node list; `*` matches every host. What cannot be read matches nothing."""
        if text.strip() == "*":
            return cls((), matches_all=True)
        return cls(tuple(_item(part.strip()) for part in _ITEM.findall(text)))

    def __contains__(self, host: str) -> bool:
        return self.matches_all or any(_matches(host, *item) for item in self.items)


@dataclass(frozen=True, slots=True)
class SubCluster:
    """A subcluster of cluster.json: nodes of one kind, with their topology."""

    name: str
    nodes: NodeList
    topology: NodeTopology | None


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster of cluster.json with its subclusters."""

    name: str
    subclusters: tuple[SubCluster, ...]

    def subcluster(self, host: str) -> SubCluster | None:
        """Return the subcluster that the server finds for a host; None if it finds none."""
        return next((sub for sub in self.subclusters if host in sub.nodes), None)


def clusters_of_json(value: object) -> tuple[Cluster, ...]:
    """Read `{"clusters": [{"name": str, "subClusters": [{"name", "nodes", "topology"}, ...]}]}`.

    Raises:
        ValueError: the value has another shape. A topology that makes no sense is no error: its
            subcluster has none.
    """
    try:
        clusters: Any = value
        return tuple(
            Cluster(str(cluster["name"]), tuple(map(_subcluster, cluster["subClusters"] or ())))
            for cluster in clusters["clusters"]
        )
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"not a list of clusters: {error!r}") from error


def _subcluster(value: Mapping[str, Any]) -> SubCluster:
    nodes = NodeList.parse(str(value.get("nodes") or ""))
    return SubCluster(str(value["name"]), nodes, _topology(value.get("topology")))


def _topology(value: Any) -> NodeTopology | None:
    try:
        sockets = [set(socket) for socket in value["socket"]]
        found = [tuple(sorted(map(int, core))) for core in value["core"]]
        ids = tuple(str(item["id"]) for item in value.get("accelerators") or ())
    except (TypeError, KeyError, ValueError, AttributeError):
        return None
    # Position k in this order is Slurm's flat core index k. The numbers of sockets and cores may
    # differ: with `numa_node_as_socket` or `l3cache_as_socket` Slurm counts other sockets.
    cores = tuple(core for socket in sockets for core in found if core and core[0] in socket)
    if not cores or len(cores) != len(found):
        return None  # a core in no socket or in two
    return NodeTopology(cores, ids)


def _item(text: str) -> tuple[re.Pattern[str], tuple[tuple[tuple[str, str], ...], ...]]:
    """Return a pattern with one digit group for each bracket, and the ranges of each bracket."""
    pieces = _GROUP.split(text)
    pattern = "".join(
        r"([0-9]+)" if index % 2 else re.escape(piece) for index, piece in enumerate(pieces)
    )
    return re.compile(pattern), tuple(_ranges(piece) for piece in pieces[1::2])


def _ranges(text: str) -> tuple[tuple[str, str], ...]:
    found = (_RANGE.fullmatch(part.strip()) for part in text.split(","))
    return tuple((match[1], match[2] or match[1]) for match in found if match)


def _matches(
    host: str, pattern: re.Pattern[str], groups: Sequence[Sequence[tuple[str, str]]]
) -> bool:
    found = pattern.fullmatch(host)
    return found is not None and all(
        # As the server: `n2cn1` is not in `n2cn[001-004]`. Digits of equal length compare as
        # numbers.
        any(len(number) == len(low) and low <= number <= high for low, high in ranges)
        for number, ranges in zip(found.groups(), groups, strict=True)
    )
