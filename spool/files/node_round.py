"""The result of the last round of node states: `nodes.json` in the state directory.

    {"tried": float, "accepted": float | null, "seconds": float, "states": {"idle": n, ...},
     "left_out": {"unknown": n, ...}, "failures": n, "problem": str, "unsupported": str,
     "is_refused": bool, "hosts": {"CLUSTER": ["HOST", ...]}}

`node_jobs.json` holds how many jobs a sweep has seen on each node: no round asks Slurm for that.

Written by the drain or by `cc-sweep nodes`; read by `status`, `check` and the metrics. Instants are
Unix seconds. A damaged or missing file counts as no round yet.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Mapping
from dataclasses import field
from enum import StrEnum
from pathlib import Path

from slurm.light_dataclass import light_dataclass
from slurm.type_names import TYPE_CHECKING, Any, TypeVar
from spool.files.state_files import read_json, write_json
from spool.files.state_values import count, instant, list_in, object_in

if TYPE_CHECKING:
    from spool.files.system_calls import SystemCalls

NODE_ROUND_FILE = "nodes.json"
NODE_JOBS_FILE = "node_jobs.json"
JOBS_SECONDS = 120.0
V = TypeVar("V")


class LeftOut(StrEnum):
    """Why a node is not reported."""

    IGNORED = "ignored"
    FUTURE = "future"
    UNKNOWN = "unknown"
    WILDCARD = "wildcard"
    SAME_NAME = "same_name"
    TWICE = "twice"
    UNREADABLE = "unreadable"


REASONS = {
    LeftOut.IGNORED: "excluded by ignoreHosts or filters.clusters",
    LeftOut.FUTURE: "not existing yet (FUTURE)",
    LeftOut.UNKNOWN: "unknown to cc-backend",
    LeftOut.WILDCARD: 'matched only by "*" in cluster.json, for which no states are stored',
    LeftOut.SAME_NAME: "mapped to the name of another node by host_map",
    LeftOut.TWICE: "twice in Slurm's answer",
    LeftOut.UNREADABLE: "Slurm's record of the node cannot be parsed",
}
"""Why nodes are left out, for people."""
EXPECTED = frozenset({LeftOut.IGNORED, LeftOut.FUTURE})
"""The reasons that need no attention: the site excludes the node, or it does not exist yet."""


@light_dataclass
class NodeRound:
    """The result of the last round: one report of all node states to cc-backend.

    `tried` is its time, `accepted` that of the last round that cc-backend accepted; `states`,
    `left_out` and `hosts` are of the latter. `left_out` counts nodes by reason, `states` by the
    word sent. `failures` counts the failed rounds since then, `problem` says why the last one
    failed. `is_refused`: cc-backend could not read the request, an error of this program.
    `unsupported` is the version of a cc-backend that takes no node states ("?": not known). `hosts`
    are the hosts last sent, by cluster.
    """

    tried: float = 0.0
    accepted: float | None = None
    seconds: float = 0.0
    states: Mapping[str, int] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)
    failures: int = 0
    problem: str = ""
    is_refused: bool = False
    unsupported: str = ""
    hosts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def nodes(self) -> int:
        """Return how many nodes the last accepted round reported."""
        return sum(self.states.values())


def read_node_round(directory: Path) -> NodeRound | None:
    """Return the last round from a state directory; None before the first one."""
    found = read_json(directory / NODE_ROUND_FILE)
    if not found:
        return None
    return NodeRound(
        tried=_number(found.get("tried")),
        accepted=_number(found.get("accepted")) or None,
        seconds=_number(found.get("seconds")),
        states=_mapping(found.get("states"), count),
        left_out=_mapping(found.get("left_out"), count),
        failures=count(found.get("failures")),
        problem=str(found.get("problem") or ""),
        is_refused=found.get("is_refused") is True,
        unsupported=str(found.get("unsupported") or ""),
        hosts=_mapping(found.get("hosts"), _names),
    )


def write_node_round(directory: Path, value: NodeRound, system_calls: SystemCalls) -> None:
    """Replace `nodes.json`, without fsync because the next round follows within the hour.

    Raises:
        OSError: the old file is still there.
    """
    document = {each.name: getattr(value, each.name) for each in dataclasses.fields(value)} | {
        name: dict(getattr(value, name)) for name in ("states", "left_out", "hosts")
    }
    write_json(directory / NODE_ROUND_FILE, document, durable=False, system_calls=system_calls)


def left_out_texts(counts: Mapping[str, int]) -> list[str]:
    """Return one text for each reason with its count, such as `3 unknown to cc-backend`."""
    texts = {str(reason): text for reason, text in REASONS.items()}
    return [f"{count} {texts.get(reason, reason)}" for reason, count in counts.items()]


def write_node_jobs(directory: Path, now: float, jobs: Mapping[str, int]) -> None:
    """Write how many jobs a sweep has seen on each node to `node_jobs.json`; log errors."""
    try:
        document = {"time": now, "jobs": dict(jobs)}
        write_json(directory / NODE_JOBS_FILE, document, durable=False)
    except OSError as error:
        logging.getLogger(__name__).warning(
            "%s cannot be written: %s", directory / NODE_JOBS_FILE, error
        )


def read_node_jobs(directory: Path, now: float) -> Mapping[str, int] | None:
    """Return how many jobs run on each node; None if no sweep wrote it in the last 2 minutes."""
    found = read_json(directory / NODE_JOBS_FILE)
    is_recent = 0 <= now - _number(found.get("time")) <= JOBS_SECONDS
    return _mapping(found.get("jobs"), count) if is_recent else None


def _number(value: Any) -> float:
    return max(0.0, instant(value) or 0.0)


def _names(value: Any) -> tuple[str, ...]:
    return tuple(map(str, list_in(value)))


def _mapping(value: Any, convert: Callable[[Any], V]) -> Mapping[str, V]:
    return {key: convert(each) for key, each in object_in(value).items()}
