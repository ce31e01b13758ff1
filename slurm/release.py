"""Which Slurm this is; what suits which release stands in `slurm.release_features`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Release:
    """A Slurm release; compares as releases do."""

    year: int
    month: int
    patch: int = 0

    def __str__(self) -> str:
        return f"{self.year:02}.{self.month:02}.{self.patch}"

    @property
    def series(self) -> tuple[int, int]:
        """Return year and month."""
        return self.year, self.month
