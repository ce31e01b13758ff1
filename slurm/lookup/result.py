"""What the sources of job records give, and where they ask."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from slurm.errors import FailureReason, SlurmError
from slurm.job import Job
from slurm.release_features import ReleaseFeatures

IDS_PER_CALL = 1000
UNREADABLE = frozenset({FailureReason.INCOMPLETE, FailureReason.MALFORMED})
"""Reasons for which the answer's text is to blame, and with it the texts of single jobs."""


@dataclass(slots=True)
class LookupResult:
    """Records by id; `unknown` are ids of which the controller itself says that it has no job.

    A record that cannot be understood is an error for its own id alone.
    """

    jobs: dict[int, Job | SlurmError] = field(default_factory=dict)
    unknown: set[int] = field(default_factory=set)

    def add(self, other: LookupResult) -> None:
        """Take over another result; what both have is taken from it."""
        self.jobs |= other.jobs
        self.unknown |= other.unknown

    def failed(self) -> list[int]:
        """Return the ids whose records cannot be understood."""
        return [job_id for job_id, job in self.jobs.items() if isinstance(job, SlurmError)]


class Target(NamedTuple):
    """Where one look-up asks; `timeout_seconds` None: the usual time."""

    features: ReleaseFeatures
    cluster: str
    timeout_seconds: float | None = None
