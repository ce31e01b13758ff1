"""`scontrol show node`: what a check needs to know of each node."""

from __future__ import annotations

import re
from dataclasses import dataclass

from slurm.decode.fields.gres import GresError, parse_gres
from slurm.errors import FailureReason, SlurmError

_NODE = re.compile(r"^NodeName=(\S+) ", re.MULTILINE)
_NONE = "No nodes in the system"


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node as Slurm has it configured; `gres` holds (kind, count). `allocated_cpus` are jobs'."""

    name: str
    sockets: int
    cores_per_socket: int
    allocated_cpus: int = 0
    partitions: tuple[str, ...] = ()
    gres: tuple[tuple[str, int], ...] = ()

    @property
    def cores(self) -> int:
        """Return how many cores the node has."""
        return self.sockets * self.cores_per_socket

    def has_gres(self, kinds: tuple[str, ...]) -> bool:
        """Tell whether the node has GRES of some kinds."""
        return any(kind in kinds for kind, _ in self.gres)


def parse_nodes(stdout: bytes) -> tuple[Node, ...]:
    """Read `scontrol show node`, all nodes in their order.

    Raises:
        SlurmError: no node in it, or one that is cut.
    """
    text = stdout.decode("utf-8", "replace")
    starts = [*_NODE.finditer(text)]
    if not starts:
        if _NONE in text:
            return ()
        raise SlurmError("no node in the answer", reason=FailureReason.MALFORMED)
    ends = [*(found.start() for found in starts), len(text)][1:]
    return tuple(
        _node(found[1], text[found.start() : end]) for found, end in zip(starts, ends, strict=True)
    )


def _node(name: str, record: str) -> Node:
    sockets, cores = _number(record, "Sockets"), _number(record, "CoresPerSocket")
    if sockets is None or cores is None:
        raise SlurmError(f"the record of node {name} is cut", reason=FailureReason.INCOMPLETE)
    return Node(
        name=name,
        sockets=sockets,
        cores_per_socket=cores,
        allocated_cpus=_number(record, "CPUAlloc") or 0,
        partitions=tuple((_word(record, "Partitions") or "").split(",")),
        gres=_gres(_word(record, "Gres")),
    )


def _gres(text: str | None) -> tuple[tuple[str, int], ...]:
    try:
        return tuple((gres.name, gres.count) for gres in parse_gres(text))
    except GresError:
        return ()


def _number(record: str, key: str) -> int | None:
    found = re.search(rf"(?:^|\s){key}=([0-9]+)", record)
    return None if found is None else int(found[1])


def _word(record: str, key: str) -> str | None:
    found = re.search(rf"(?:^|\s){key}=(\S+)", record)
    return None if found is None else found[1]
