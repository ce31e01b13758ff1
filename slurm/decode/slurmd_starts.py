"""Decodes from `scontrol show node` when the nodes and their slurmd started.

Since Slurm 23.11 `scontrol reconfigure` replaces the process of slurmctld, which then has a new
BOOT_TIME, and makes every slurmd do the same (`_try_to_reconfig` and `_post_reconfig`,
`src/slurmctld/controller.c`; seen with 24.11.5 and 26.05). A restart of slurmctld alone leaves the
slurmd processes running, and a power failure reboots the nodes: so these times distinguish a
reconfiguration from a recovery.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import NamedTuple

SLACK_SECONDS = 5  # the clocks of the hosts of slurmd and slurmctld may differ
_TIMES = re.compile(rb"^\s*BootTime=(\S+) SlurmdStartTime=(\S+)", re.MULTILINE)


class SlurmdStart(NamedTuple):
    """When a node was booted and when its slurmd started, Unix seconds."""

    node_boot: int
    slurmd_start: int


def parse_slurmd_starts(stdout: bytes) -> Iterator[SlurmdStart]:
    """Yield the times of all nodes that have registered; of the others they are `None`."""
    for found in _TIMES.finditer(stdout):
        times = [_instant(text.decode("ascii", "replace")) for text in found.groups()]
        if times[0] is not None and times[1] is not None:
            yield SlurmdStart(times[0], times[1])


def is_reconfigured(starts: Iterable[SlurmdStart], controller_boot: int) -> bool:
    """Return whether slurmctld started at a time because of a reconfiguration.

    Then most slurmd started at that time or later, on nodes that were booted before.
    """
    known = list(starts)
    since = controller_boot - SLACK_SECONDS
    replaced = [each for each in known if each.slurmd_start >= since and each.node_boot < since]
    return len(replaced) * 2 > len(known)


def _instant(text: str) -> int | None:
    """Return Unix seconds of epoch seconds or of ISO 8601 in UTC."""
    try:
        if text.isdigit():
            return int(text)
        return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())
    except ValueError:
        return None
