"""Reads job records by text: `squeue -O`, and `scontrol show job ID -d` for cores and GRES."""

from __future__ import annotations

import logging
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field, replace

from slurm.commands import MAX_LISTING_BYTES, SlurmCommands
from slurm.decode.scontrol_job import UntrustedTextError, add_job_detail
from slurm.decode.squeue_columns import columns_for, format_option, parse_job_columns
from slurm.errors import FailureReason, SlurmError, UnknownJob, excerpt
from slurm.job import Job, NodeAllocation
from slurm.lookup.cluster_facts import NodeGeometries
from slurm.lookup.result import IDS_PER_CALL, CallBudget, LookupResult, Target

MIN_SINGLE_SECONDS = 0.010  # lower bound; on a busy host the recent average is used
SMOOTHING = 0.7  # weight of earlier look-ups in the average
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class TextResult(LookupResult):
    """Records by text; cores and GRES of `untrusted` and `failed_detail` are not known.

    `untrusted`: the text may be forged, with the reason. `failed_detail`: scontrol does not answer.
    """

    untrusted: dict[int, str] = field(default_factory=dict)
    failed_detail: dict[int, SlurmError] = field(default_factory=dict)


class TextSource:
    """Job records by text; `texts` are those about single jobs of the last look-up."""

    def __init__(
        self,
        commands: SlurmCommands,
        nodes: NodeGeometries,
        *,
        budget: CallBudget,
        clock: Callable[[], float],
    ) -> None:
        self._commands = commands
        self._geometries = nodes
        self._budget = budget
        self._clock = clock
        self.single_seconds = MIN_SINGLE_SECONDS
        """The duration of a look-up of one job."""
        self.texts: dict[int, str] = {}

    def find(
        self, wanted: Sequence[int], target: Target, *, states_only: Container[int] = ()
    ) -> TextResult:
        """Return the jobs; those in `states_only` without cores and GRES.

        Raises:
            SlurmError: squeue's answer is unknown.
        """
        found = TextResult()
        for first in range(0, len(wanted), IDS_PER_CALL):
            found.add(self._listed(wanted[first : first + IDS_PER_CALL], target))
        for job in [job for job in found.jobs.values() if isinstance(job, Job)]:
            if job.job_id in states_only or not (job.nodes or "COMPLETING" in job.flags):
                continue
            try:
                found.jobs[job.job_id] = self._add_detail(job, found.failed_detail)
            except (UntrustedTextError, UnknownJob) as error:
                found.untrusted[job.job_id] = str(error)
                found.jobs[job.job_id] = without_resources(job)
            except SlurmError as error:
                found.failed_detail[job.job_id] = error
        return found

    def _listed(self, wanted: Sequence[int], target: Target) -> LookupResult:
        columns = columns_for(target.features)
        argv = [self._commands.squeue, "--local", "-a", "-h", "-t", "all"]
        argv += ["-j", ",".join(map(str, wanted)), "-O", format_option(columns)]
        self._budget.spend(1)
        try:
            parsed = self._commands.read(
                argv,
                lambda stdout: parse_job_columns(stdout, columns, cluster=target.cluster),
                limit_bytes=MAX_LISTING_BYTES,
                timeout_seconds=target.timeout_seconds,
            )
        except UnknownJob:
            return LookupResult()
        jobs: dict[int, Job | SlurmError] = {
            job_id: parsed.rows[job_id] for job_id in wanted if job_id in parsed.rows
        }
        doubtful = parsed.undecided(wanted)
        return LookupResult(jobs=jobs | {i: _unreadable(i, why) for i, why in doubtful.items()})

    def _add_detail(self, job: Job, failed: Mapping[int, SlurmError]) -> Job:
        """Return a job with its cores and GRES; scontrol is not asked again after it timed out."""
        silent = [error for error in failed.values() if error.reason is not FailureReason.FAILED]
        if silent:
            raise silent[0]
        argv = [self._commands.scontrol, "show", "job", scontrol_id(job), "-d"]
        self._budget.spend(1)
        begin = self._clock()
        text = self._commands.read(argv, _decode, limit_bytes=MAX_LISTING_BYTES, for_display=True)
        smoothed = SMOOTHING * self.single_seconds + (1 - SMOOTHING) * (self._clock() - begin)
        self.single_seconds = max(MIN_SINGLE_SECONDS, smoothed)
        self.texts[job.job_id] = text
        return add_job_detail(job, text, node_of=self._geometries.node)


def scontrol_id(job: Job) -> str:
    """Return scontrol's id of one job alone: the id of an array or het job means all its tasks."""
    if job.job_id == job.array_job_id and job.array_task_id is not None:
        return f"{job.array_job_id}_{job.array_task_id}"
    if job.job_id == job.het_job_id and job.het_job_offset is not None:
        return f"{job.het_job_id}+{job.het_job_offset}"
    return str(job.job_id)


def warn_untrusted(untrusted: Mapping[int, str]) -> None:
    """Log that jobs are reported with their hosts alone."""
    for job_id, why in untrusted.items():
        _log.warning("job=%d is reported without cores and GRES: %s", job_id, excerpt(why))


def _unreadable(job_id: int, why: str) -> SlurmError:
    message = f"the row of job {job_id} cannot be read, {why}"
    return SlurmError(message[:300], reason=FailureReason.MALFORMED)


def _decode(stdout: bytes) -> str:
    return stdout.decode("utf-8", "replace")


def without_resources(job: Job) -> Job:
    """Return a job with its hosts alone, without cores and GRES."""
    return replace(job, allocations=tuple(NodeAllocation(name=name) for name in job.nodes))
