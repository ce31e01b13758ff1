"""The values that all metrics are made from: those of state files, spool and checks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from pathlib import Path

from slurm.light_dataclass import light_dataclass
from spool.checks.result import CheckStatus
from spool.files.drain_state import DrainState
from spool.files.layout import Directory
from spool.files.node_round import NodeRound
from spool.files.sweep_state import SweepSummary
from spool.installation import STATE


@light_dataclass
class DirectoryFigures:
    """The number of files in a directory of the spool, and since when the oldest one waits."""

    count: int
    oldest: float | None = None


@light_dataclass
class MetricsSnapshot:
    """What the state files, the spool and the checks say at one time (Unix seconds).

    `is_running`: a drain holds the lock, as process `pid`. `dead_letters` are counted by reason.
    `nodes` is the last round of node states. None means that a value is not known. `checks` are the
    verdicts of `cc-spool check` by name. `instance` is the name of a further instance on this
    host, empty for the first one.
    """

    time: float
    instance: str = ""
    is_running: bool = False
    pid: int | None = None
    drain: DrainState = field(default=DrainState())
    sweep: SweepSummary | None = None
    nodes: NodeRound | None = None
    directories: Mapping[Directory, DirectoryFigures] = field(default_factory=dict)
    dead_letters: Mapping[str, int] = field(default_factory=dict)
    free_bytes: int | None = None
    free_inodes: int | None = None
    min_free_bytes: int | None = None
    token_expires_at: float | None = None
    checks: Mapping[str, CheckStatus] = field(default_factory=dict)

    @property
    def is_current(self) -> bool:
        """Return whether the drain's state is valid: a drain runs, or it ran with `--once`."""
        return self.is_running or self.drain.once


def instance_of(state_directory: Path) -> str:
    """Return an instance's name (docs/several-servers.md); empty for the first instance."""
    first, _, name = state_directory.name.partition(f"{STATE.name}-")
    return "" if first else name
