"""The state of a node in cc-backend's words, and the request that reports all nodes of a cluster.

cc-backend knows `allocated`, `reserved`, `idle`, `down`, `mixed` and `unknown`. Slurm's words must
not be sent as they are: a drained node would be shown as idle, and a broken one in a maintenance
window as reserved. Exactly one word is sent: from several words each version of cc-backend chooses
another one (v1.5.0 ... v1.5.4, `internal/api/node.go`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any

_BUSY = {"ALLOCATED": "allocated", "MIXED": "mixed"}
_BASES = frozenset({*_BUSY, "IDLE", "DOWN", "ERROR", "UNKNOWN", "FUTURE"})
_OUT_OF_SERVICE = frozenset({"DRAIN", "FAIL", "INVALID_REG"})
_POWERED_OFF = frozenset(
    {
        *("POWERED_DOWN", "POWERING_DOWN", "POWER_DOWN", "POWERING_UP", "POWER_UP", "POWER"),
        *("POWER_DRAIN", "POWER_DOWN_ASAP", "POWER_DOWN_FORCE"),  # JSON alone, 23.02 and later
    }
)
_MAINTENANCE = frozenset({"MAINTENANCE", "MAINT", "REBOOT_ISSUED"})
_HELD = frozenset({"RESERVED", "BLOCKED"})
_WITHOUT_MEANING = frozenset(
    {
        *("PLANNED", "CLOUD", "DYNAMIC_NORM", "DYNAMIC_FUTURE", "EXTERNAL", "REBOOT_REQUESTED"),
        *("CANCEL_REBOOT", "REBOOT_CANCEL", "REBOOT_CANCELED", "REBOOT", "PERFCTRS", "NPC"),
        *("RESUME", "UNDRAIN", "DYNAMIC", "NOT_RESPONDING", "COMPLETING"),
    }
)
KNOWN_WORDS = _BASES | _OUT_OF_SERVICE | _POWERED_OFF | _MAINTENANCE | _HELD | _WITHOUT_MEANING
"""Every base state and flag of Slurm 21.08 ... 26.05."""


class NodeCondition(StrEnum):
    """The state of a node as cc-backend names it."""

    ALLOCATED = "allocated"
    MIXED = "mixed"
    IDLE = "idle"
    RESERVED = "reserved"
    DOWN = "down"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStatus:
    """The state of a host as it is reported; `memory_mb` in MiB, as Slurm counts it."""

    host: str
    condition: NodeCondition
    cpus: int = 0
    memory_mb: int = 0
    gpus: int = 0
    jobs: int = 0


@lru_cache(maxsize=2048)
def node_condition(words: frozenset[str], *, has_jobs: bool = False) -> NodeCondition | None:
    """Return cc-backend's state of a node; None: the node does not exist yet and is not reported.

    If several words fit, the order of the checks decides. An unknown flag is ignored.

    Args:
        words: Slurm's base state and flags.
        has_jobs: whether a job that has started is on the node: Slurm 22.05 calls a node IDLE whose
            only job is suspended.
    """
    if "FUTURE" in words:
        return None
    if words & {"DOWN", "ERROR"}:
        return NodeCondition.DOWN
    for base, condition in _BUSY.items():
        if base in words:  # jobs hold it, also while it drains, boots or is in a maintenance window
            return NodeCondition(condition)
    if "IDLE" in words:
        return _idle_condition(words, has_jobs=has_jobs)
    is_down = "UNKNOWN" in words and _is_out_of_use(words)
    return NodeCondition.DOWN if is_down else NodeCondition.UNKNOWN


def _idle_condition(words: frozenset[str], *, has_jobs: bool) -> NodeCondition:
    if "COMPLETING" in words:  # the epilog runs, no job can start
        return NodeCondition.ALLOCATED
    if has_jobs:
        return NodeCondition.MIXED
    if _is_out_of_use(words):
        return NodeCondition.DOWN
    if "NOT_RESPONDING" in words:
        return NodeCondition.UNKNOWN
    return NodeCondition.RESERVED if words & _HELD else NodeCondition.IDLE


def _is_out_of_use(words: frozenset[str]) -> bool:
    """Return whether a node without jobs is out of service, switched off, or in maintenance.

    cc-backend expects no metrics of a node that is down, so that its health is not shown as failed.
    """
    return bool(words & (_OUT_OF_SERVICE | _POWERED_OFF | _MAINTENANCE))


def nodestate_payload(cluster: str, nodes: Iterable[NodeStatus]) -> dict[str, Any]:
    """Return the body that reports the nodes of a cluster: always all of them in one request.

    With only some of the nodes, cc-backend's charts would show a collapse of the cluster.
    """
    return {
        "cluster": cluster,
        "nodes": [
            {
                "hostname": node.host,
                "states": [node.condition.value],
                "cpusAllocated": node.cpus,
                "memoryAllocated": node.memory_mb,
                "gpusAllocated": node.gpus,
                "jobsRunning": node.jobs,
            }
            for node in nodes
        ],
    }
