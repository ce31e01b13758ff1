"""Decodes `scontrol show node`: size, CPUs, partitions, GRES and start of each node."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from slurm.decode.fields.gres import parse_gres
from slurm.decode.fields.scalars import utc_instant
from slurm.errors import FailureReason, SlurmError, excerpt

_NODE = re.compile(r"^NodeName=(\S+) ", re.MULTILINE)
_NONE = "No nodes in the system"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node as configured in Slurm.

    `cpus` are those available to jobs (without specialized cores), None where Slurm does not say;
    `allocated_cpus` are allocated to jobs now. `devices` holds the kind, type ("" without one) and
    count of each GRES.
    """

    name: str
    sockets: int
    cores_per_socket: int
    threads_per_core: int = 1
    cpus: int | None = None
    allocated_cpus: int = 0
    partitions: tuple[str, ...] = ()
    devices: tuple[tuple[str, str, int], ...] = ()
    arch: str = ""

    @property
    def cores(self) -> int:
        """Return how many cores the node has."""
        return self.sockets * self.cores_per_socket


NodeOf = Callable[[str], Node | None]
"""Returns the node of a name; None: not known."""


def parse_nodes(stdout: bytes) -> tuple[Node, ...]:
    """Read `scontrol show node`, all nodes in their order.

    A node without a size is skipped with a warning.

    Raises:
        SlurmError: it has no node, or the last one is truncated.
    """
    text = stdout.decode("utf-8", "replace")
    starts = [*_NODE.finditer(text)]
    if not starts:
        if _NONE in text:
            return ()
        message = f"scontrol show node printed no node: {excerpt(text)!r}"
        raise SlurmError(message, reason=FailureReason.MALFORMED)
    ends = [*(found.start() for found in starts), len(text)][1:]
    nodes = [
        _node(found[1], text[found.start() : end]) for found, end in zip(starts, ends, strict=True)
    ]
    if nodes[-1] is None:
        message = f"the last record of scontrol show node, {starts[-1][1]}, is truncated"
        raise SlurmError(message, reason=FailureReason.INCOMPLETE)
    return tuple(node for node in nodes if node is not None)


def _node(name: str, record: str) -> Node | None:
    sockets, cores = _number(record, "Sockets"), _number(record, "CoresPerSocket")
    threads = _number(record, "ThreadsPerCore")
    if not sockets or not cores or not threads:
        _warn_size(re.sub(r"[0-9]+", "N", name))
        return None
    found = parse_gres(_word(record, "Gres"))
    return Node(
        name=name,
        sockets=sockets,
        cores_per_socket=cores,
        threads_per_core=threads,
        cpus=_number(record, "CPUEfctv") or _number(record, "CPUTot"),
        allocated_cpus=_number(record, "CPUAlloc") or 0,
        partitions=tuple((_word(record, "Partitions") or "").split(",")),
        devices=tuple((gres.name, gres.type or "", gres.count) for gres in found),
        arch=_word(record, "Arch") or "",
    )


@lru_cache(maxsize=64)
def _warn_size(kind: str) -> None:
    text = (
        "nodes named %s (N: a number) are ignored: `scontrol show node` does not show their"
        " sockets, cores or threads; check their lines in slurm.conf"
    )
    _log.warning(text, kind)


def _number(record: str, key: str) -> int | None:
    found = re.search(rf"(?:^|\s){key}=([0-9]{{1,18}})\b", record)
    return None if found is None else int(found[1])


def _word(record: str, key: str) -> str | None:
    found = re.search(rf"(?:^|\s){key}=(\S+)", record)
    return None if found is None else found[1]


# Since Slurm 23.11 `scontrol reconfigure` replaces the process of slurmctld, which then has a new
# BOOT_TIME, and makes every slurmd do the same (`_try_to_reconfig` and `_post_reconfig`,
# `src/slurmctld/controller.c`; seen with 24.11.5 and 26.05). A restart of slurmctld alone leaves
# the slurmd processes running, and a power failure reboots the nodes: so these times distinguish a
# reconfiguration from a recovery.
SLACK_SECONDS = 5  # the clocks of the hosts of slurmd and slurmctld may differ
_TIMES = re.compile(rb"^\s*BootTime=(\S+) SlurmdStartTime=(\S+)", re.MULTILINE)


class SlurmdStart(NamedTuple):
    """The times in Unix seconds at which a node was booted and its slurmd started."""

    node_boot: int
    slurmd_start: int


def parse_slurmd_starts(stdout: bytes) -> Iterator[SlurmdStart]:
    """Yield boot and slurmd start of each node that has registered; skip the others."""
    for found in _TIMES.finditer(stdout):
        times = [utc_instant(text.decode("ascii", "replace")) for text in found.groups()]
        if times[0] is not None and times[1] is not None:
            yield SlurmdStart(times[0], times[1])


def is_reconfigured(starts: Iterable[SlurmdStart], controller_boot: int) -> bool:
    """Return whether slurmctld started at `controller_boot` because of a reconfiguration.

    Then most slurmd started at that time or later, on nodes that were booted before.
    """
    known = list(starts)
    since = controller_boot - SLACK_SECONDS
    replaced = [each for each in known if each.slurmd_start >= since and each.node_boot < since]
    return len(replaced) * 2 > len(known)
