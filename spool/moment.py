"""Two clocks: deadlines use the monotonic clock, stored times use the wall clock.

Setting the wall clock back or forward changes no deadline.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from slurm.light_dataclass import light_dataclass


class Moment(NamedTuple):
    """An instant by both clocks: `wall` in Unix seconds, `steady` in seconds of no fixed origin."""

    wall: float
    steady: float

    def steady_at(self, wall: float, *, longest: float) -> float:
        """Return the monotonic time at which the wall clock will show a time.

        At most `longest` seconds from now, in case the wall clock was set meanwhile.
        """
        return self.steady + min(max(0.0, wall - self.wall), longest)

    def steady_since(self, wall: float) -> float:
        """Return the monotonic time at which the wall clock showed a past time; at most now."""
        return self.steady - max(0.0, self.wall - wall)


@light_dataclass
class Clocks:
    """The machine's two clocks; tests and the simulation pass their own."""

    wall: Callable[[], float] = time.time
    steady: Callable[[], float] = time.monotonic

    def now(self) -> Moment:
        """Return the current instant of both clocks."""
        return Moment(self.wall(), self.steady())
