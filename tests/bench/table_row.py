"""A row of the table of `make bench`."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A figure with its goal; `baseline` "" for none. `is_minimum`: the goal is a lower limit."""

    name: str
    values: Sequence[float]
    goal: float
    unit: str = ""
    baseline: str = ""
    is_minimum: bool = False

    def line(self) -> str:
        """Return the row of the table."""
        low, middle, high = min(self.values), statistics.median(self.values), max(self.values)
        spread = f"{low:.2f} / {middle:.2f} / {high:.2f}" if len(self.values) > 1 else f"{low:.3f}"
        is_met = middle >= self.goal if self.is_minimum else middle <= self.goal
        goal = f"{'>=' if self.is_minimum else '<='} {self.goal:g}"
        cells = (self.name, spread, self.unit, self.baseline, goal, "met" if is_met else "MISSED")
        return "| " + " | ".join(cells) + " |"
