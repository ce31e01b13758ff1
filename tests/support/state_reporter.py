"""A drain on a fake clock, and the state that it reports."""

from __future__ import annotations

from pathlib import Path

from drain_world import World

from spool.drain.state_report import (
    StateReport,
)
from spool.files.drain_state import (
    DrainState,
)

HOUR = 3600
BEHIND = -100.0


class Reporter:
    """A world whose wall clock differs from the monotonic one, and its drain's state report."""

    def __init__(self, root: Path) -> None:
        self.world = World(root)
        self.world.skew = BEHIND
        self.report = StateReport(self.world.drain, self.world.parts, once=False)

    def state(self) -> DrainState:
        """Return the current state."""
        return self.report.state(self.world.parts.clocks.now())

    @property
    def wall(self) -> float:
        """The time of the wall clock."""
        return self.world.now + BEHIND
