"""Which Slurm this is; what suits which release stands in `slurm.release_features`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from slurm.errors import FailureReason, SlurmError

_VERSION = re.compile(rb"\b(\d{2})\.(\d{2})(?:\.(\d{1,3}))?")


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


def parse_release(stdout: bytes) -> Release:
    """Read `squeue --version`: `slurm 24.05.8`, `slurm-wlm 22.05.8`.

    Raises:
        SlurmError: no version in it.
    """
    found = _VERSION.search(stdout)
    if found is None:
        raise SlurmError("no version in the answer", reason=FailureReason.MALFORMED)
    return Release(int(found[1]), int(found[2]), int(found[3] or 0))
