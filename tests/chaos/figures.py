"""Measured figures with their upper bounds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One measurement; `value` None: what was measured did not happen within the bound."""

    what: str
    value: float | None
    bound: float
    unit: str

    @property
    def is_met(self) -> bool:
        """Return whether the value is within the bound."""
        return self.value is not None and self.value <= self.bound

    def __str__(self) -> str:
        """Return the figure as one line of a table."""
        value = "never" if self.value is None else f"{self.value:.2f}".rstrip("0").rstrip(".")
        unit = self.unit and f" {self.unit}"
        return f"{self.what}: {value}{unit} (bound {self.bound:g}{unit})"
