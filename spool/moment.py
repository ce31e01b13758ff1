"""Two clocks: waiting is measured by the monotonic one, the wall clock is for what is stored.

A wall clock that is set back or forward changes no deadline.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple


class Moment(NamedTuple):
    """An instant by both clocks: `wall` in Unix seconds, `steady` in seconds of no fixed origin."""

    wall: float
    steady: float

    def steady_at(self, wall: float, *, longest: float) -> float:
        """Return when the wall clock will show a time, by the monotonic clock.

        At most `longest` seconds from now, however the wall clock was set meanwhile.
        """
        return self.steady + min(max(0.0, wall - self.wall), longest)

    def steady_since(self, wall: float) -> float:
        """Return when the wall clock showed a past time, by the monotonic clock; at most now."""
        return self.steady - max(0.0, self.wall - wall)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clocks:
    """The machine's two clocks; tests and the simulation pass their own."""

    wall: Callable[[], float] = time.time
    steady: Callable[[], float] = time.monotonic

    def now(self) -> Moment:
        """Return this moment."""
        return Moment(self.wall(), self.steady())
