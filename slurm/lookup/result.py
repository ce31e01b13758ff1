"""The result and the target of a look-up of job records."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from slurm.errors import FailureReason, SlurmError
from slurm.job import Job
from slurm.release_features import ReleaseFeatures

IDS_PER_CALL = 1000
UNREADABLE = frozenset({FailureReason.INCOMPLETE, FailureReason.MALFORMED})
"""The reasons that lie in the output itself, so also in the texts of single jobs."""


@dataclass(slots=True)
class LookupResult:
    """Records by id; `unknown` are the ids that the controller itself says are unknown.

    A record that cannot be read is an error only for its own id.
    """

    jobs: dict[int, Job | SlurmError] = field(default_factory=dict)
    unknown: set[int] = field(default_factory=set)

    def add(self, other: LookupResult) -> None:
        """Merge another result into this one; its records win."""
        self.jobs |= other.jobs
        self.unknown |= other.unknown

    def failed(self) -> list[int]:
        """Return the ids whose records cannot be understood."""
        return [job_id for job_id, job in self.jobs.items() if isinstance(job, SlurmError)]


class Target(NamedTuple):
    """The cluster and timeout of one look-up; `timeout_seconds` None: the default."""

    features: ReleaseFeatures
    cluster: str
    timeout_seconds: float | None = None
