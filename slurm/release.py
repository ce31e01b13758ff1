"""Which Slurm this is, and which form of each command suits it: the one table of versions.

Sources: squeue(1), NEWS; `--json=PARSER` since 23.11, scontrol `--json` since 23.02, squeue's own
filters with `--json` since 24.05.1; 26.05 ships the parser of 25.11, which still tells sharing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from slurm.errors import Problem, SlurmError

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

    @property
    def filters_by_id(self) -> bool:
        """Tell whether `squeue --json -j ID` looks at one job alone."""
        return self.series >= (23, 2)

    @property
    def json_option(self) -> str:
        """Return the option for JSON, pinned where the default is not what we read."""
        return _PINNED.get(self.series, "--json")


_PINNED = {
    (23, 11): "--json=v0.0.40",
    (24, 5): "--json=v0.0.41",
    (24, 11): "--json=v0.0.42",
    (25, 5): "--json=v0.0.43",
    (25, 11): "--json=v0.0.44",
    (26, 5): "--json=v0.0.44",
}


def release_of(stdout: bytes) -> Release:
    """Read `squeue --version`: `slurm 24.05.8`, `slurm-wlm 22.05.8`.

    Raises:
        SlurmError: no version in it.
    """
    found = _VERSION.search(stdout)
    if found is None:
        raise SlurmError("no version in the answer", kind=Problem.MALFORMED)
    return Release(int(found[1]), int(found[2]), int(found[3] or 0))
