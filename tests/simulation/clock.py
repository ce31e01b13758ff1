"""Virtual time: a steady clock that only the scheduler moves, and a wall clock that may be set."""

from __future__ import annotations

from spool.moment import Clocks

NOON = 1_767_265_200  # 2026-01-01 11:00 UTC


class VirtualClock:
    """The clocks of the world; the machine's wall clock differs from `true` by `offset`."""

    def __init__(self) -> None:
        self.steady = 1000.0
        self.offset = 0.0
        self.ahead = 0.0  # of the worker's thread whose work is being computed

    def wall(self) -> float:
        """Return what the machine's wall clock shows, Unix seconds."""
        return NOON + self.steady - 1000.0 + self.offset

    def true(self) -> float:
        """Return the time by the world's own clock, Unix seconds."""
        return NOON + self.steady - 1000.0

    def now(self) -> float:
        """Return the steady time of the code that runs now: the loop, or a worker's thread."""
        return self.steady + self.ahead

    def sleep(self, seconds: float) -> None:
        """Let a worker's thread sleep: its answer comes later by that time."""
        self.ahead += seconds

    def clocks(self) -> Clocks:
        """Return the clocks that the drain gets."""
        return Clocks(wall=self.wall, steady=lambda: self.steady)
