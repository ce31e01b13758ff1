"""A Slurm release; `slurm.release_features` says which commands suit which release."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Release:
    """A Slurm release, ordered by its numbers."""

    year: int
    month: int
    patch: int = 0

    def __str__(self) -> str:
        return f"{self.year:02}.{self.month:02}.{self.patch}"

    @property
    def series(self) -> tuple[int, int]:
        """Return year and month."""
        return self.year, self.month
