"""The target, the result and the number of allowed calls of a look-up of job records."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from slurm.commands import SlurmCommands
from slurm.errors import FailureReason, SlurmError
from slurm.job import Job
from slurm.lookup.cluster_facts import NodeGeometries
from slurm.release import ReleaseFeatures

IDS_PER_CALL = 1000
UNREADABLE = frozenset({FailureReason.INCOMPLETE, FailureReason.MALFORMED})
"""The reasons that are in the output itself, so also in the texts of single jobs."""


@dataclass(slots=True)
class LookupResult:
    """Job records by id; a record that cannot be read is an error only for its own id."""

    jobs: dict[int, Job | SlurmError] = field(default_factory=dict)

    def add(self, other: LookupResult) -> None:
        """Add another result's records; they replace those with the same job id."""
        self.jobs |= other.jobs

    def failed(self) -> list[int]:
        """Return the ids of the jobs that have an error instead of a record."""
        return [job_id for job_id, job in self.jobs.items() if isinstance(job, SlurmError)]


class Target(NamedTuple):
    """The features, cluster and timeout of one look-up; `timeout_seconds` None: the default."""

    features: ReleaseFeatures
    cluster: str
    timeout_seconds: float | None = None


BURST_CALLS = 25
CALLS_PER_SECOND = 2.0


class CallBudget:
    """A bucket of calls: 25 at once, 2 a second after that (`rl_enable`, slurm.conf(5), 23.02 on).

    Slurm's default bucket holds 30; the rest is left to the same account's other commands.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._calls = float(BURST_CALLS)
        self._time = clock()

    def remaining(self) -> int:
        """Return how many calls may be made now."""
        now = self._clock()
        self._calls = min(BURST_CALLS, self._calls + (now - self._time) * CALLS_PER_SECOND)
        self._time = now
        return int(self._calls)

    def spend(self) -> None:
        """Count one call against the limit."""
        self.remaining()  # the calls of the time before this one are added first
        self._calls = max(0.0, self._calls - 1)


@dataclass(frozen=True, slots=True)
class LookupTools:
    """The tools that all sources of job records share, such as the number of allowed calls."""

    commands: SlurmCommands
    nodes: NodeGeometries
    budget: CallBudget
    clock: Callable[[], float]
