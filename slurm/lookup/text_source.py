"""Reads job records by text: `squeue -O`, and `scontrol show job ID -d` for cores, GRES or all."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field, replace

from slurm.commands import MAX_LISTING_BYTES
from slurm.decode.fields.job_states import LIVE_STATES
from slurm.decode.scontrol_job import (
    COMMENT,
    UntrustedTextError,
    add_job_detail,
    free_text,
    job_record_text,
    split_records,
)
from slurm.decode.scontrol_record import parse_job_record, record_head
from slurm.decode.squeue_columns import columns_for, format_option, parse_job_columns
from slurm.errors import FailureReason, SlurmError, UnknownJob
from slurm.job import Job, NodeAllocation
from slurm.lookup.result import IDS_PER_CALL, LookupResult, LookupTools, Target

# One process of scontrol takes 8 ms (measured on two cores with 10 000 jobs).
MIN_SINGLE_SECONDS = 0.010  # lower bound; on a busy host the recent average is used
SMOOTHING = 0.7  # weight of earlier look-ups in the average


@dataclass(slots=True)
class TextResult(LookupResult):
    """Job records by text; cores and GRES of `untrusted` and `failed_detail` are not known.

    `untrusted`: the text may be forged, with the reason. `failed_detail`: scontrol does not answer.
    """

    untrusted: dict[int, str] = field(default_factory=dict)
    failed_detail: dict[int, SlurmError] = field(default_factory=dict)


class TextSource:
    """A reader of job records by text; `texts`: scontrol's texts of the last look-up, by id."""

    def __init__(self, tools: LookupTools) -> None:
        self._tools = tools
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
                # Whatever its nodes are: a user's comment may exclude the job.
                own = job_record_text(self.texts.get(job.job_id, ""), job.job_id) or ""
                comment = free_text(own.split("\n"), COMMENT)
                found.jobs[job.job_id] = without_resources(replace(job, comment=comment))
            except SlurmError as error:
                found.failed_detail[job.job_id] = error
        return found

    def _listed(self, wanted: Sequence[int], target: Target) -> LookupResult:
        columns = columns_for(target.features)
        # `--local`: no question to the clusters of a federation. `-a`: jobs in hidden partitions
        # too. `-t all`: jobs that have ended; squeue leaves them out by default.
        argv = [self._tools.commands.squeue, "--local", "-a", "-h", "-t", "all"]
        argv += ["-j", ",".join(map(str, wanted)), "-O", format_option(columns)]
        self._tools.budget.spend()
        try:
            parsed = self._tools.commands.read(
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
        # One process a job: if the first one timed out, the others would too, one after the other.
        silent = [error for error in failed.values() if error.reason is not FailureReason.FAILED]
        if silent:
            raise silent[0]
        argv = self._tools.commands.show_job_argv(scontrol_id(job), with_detail=True)
        self._tools.budget.spend()
        begin = self._tools.clock()
        # For display: the same text is shown to people as slurmInfo, which saves another process.
        # No time is read from it, so that its local times do no harm.
        text = self._tools.commands.read(
            argv,
            lambda stdout: stdout.decode("utf-8", "replace"),
            limit_bytes=MAX_LISTING_BYTES,
            for_display=True,
        )
        # The average decides whether single look-ups are cheaper than one list of all jobs.
        smoothed = SMOOTHING * self.single_seconds + (1 - SMOOTHING) * (self._tools.clock() - begin)
        self.single_seconds = max(MIN_SINGLE_SECONDS, smoothed)
        self.texts[job.job_id] = text
        return add_job_detail(job, text, node_of=self._tools.nodes.node)


def scontrol_id(job: Job) -> str:
    """Return the id that means one job alone to scontrol: `5_1` in an array, `5+1` in a het job."""
    if job.job_id == job.array_job_id and job.array_task_id is not None:
        return f"{job.array_job_id}_{job.array_task_id}"
    if job.job_id == job.het_job_id and job.het_job_offset is not None:
        return f"{job.het_job_id}+{job.het_job_offset}"
    return str(job.job_id)


def _unreadable(job_id: int, why: str) -> SlurmError:
    message = f"squeue's line about job {job_id} cannot be read: {why}"
    return SlurmError(message[:300], reason=FailureReason.MALFORMED)


def without_resources(job: Job) -> Job:
    """Return a job with its hosts alone, without cores and GRES."""
    return replace(job, allocations=tuple(NodeAllocation(name=name) for name in job.nodes))


MAX_JOBS = 64
MAX_SINGLE_SECONDS = 5.0
"""After this time no further job is looked up."""
SINGLE_TIMEOUT_SECONDS = 10.0


class SingleSource:
    """A reader of single job records by scontrol, for when squeue fails; limited in time."""

    def __init__(self, tools: LookupTools) -> None:
        self._tools = tools
        self._timeout_seconds = SINGLE_TIMEOUT_SECONDS

    def find(
        self,
        wanted: Sequence[int],
        cluster: str,
        not_asked: SlurmError,
        *,
        timeout_seconds: float = SINGLE_TIMEOUT_SECONDS,
    ) -> LookupResult:
        """Return the jobs; those for which there was no time get the error `not_asked`.

        Raises:
            SlurmError: scontrol does not answer either.
        """
        self._timeout_seconds = min(timeout_seconds, self._tools.commands.timeout_seconds)
        found = LookupResult()
        deadline = self._tools.clock() + MAX_SINGLE_SECONDS
        for asked, job_id in enumerate(wanted):
            if asked >= MAX_JOBS or self._tools.clock() > deadline:
                found.jobs[job_id] = not_asked
                continue
            try:
                found.jobs[job_id] = self._job(job_id, cluster)
            except UnknownJob:
                continue
            except UntrustedTextError as error:
                message = f"scontrol's output about job {job_id} cannot be trusted: {error}"
                found.jobs[job_id] = SlurmError(message, reason=FailureReason.MALFORMED)
            except SlurmError:
                # The first call failed: scontrol does not work at all. After one success it is
                # overloaded, and the rest waits.
                if not asked:
                    raise
                found.jobs[job_id] = not_asked
                deadline = self._tools.clock() - 1
        return found

    def _job(self, job_id: int, cluster: str) -> Job:
        """Return one job; ask by its own id if the answer has all tasks of an array or het job."""
        records = self._records(str(job_id))
        own = [record for record in records if record_head(record).job_id == job_id]
        words = scontrol_id(record_head(own[0])) if own else ""
        if len(records) > 1 and words not in {"", str(job_id)}:
            records = self._records(words)
            own = [record for record in records if record_head(record).job_id == job_id]
        if len(own) != 1:
            raise UntrustedTextError("the output does not contain exactly one record of the job")
        job = parse_job_record(own[0], job_id, cluster=cluster)
        if len(records) > 1 and job.state != "PENDING":  # the rest of an array may be pending
            raise UntrustedTextError("the output also contains records of other jobs")
        if not job.nodes:
            return job
        try:
            return add_job_detail(job, own[0], node_of=self._tools.nodes.node)
        except UntrustedTextError:
            if job.state in LIVE_STATES:
                raise
            return without_resources(job)  # scontrol no longer shows them for an ended job

    def _records(self, words: str) -> tuple[str, ...]:
        argv = self._tools.commands.show_job_argv(words, with_detail=True)
        self._tools.budget.spend()
        return self._tools.commands.read(
            argv,
            lambda stdout: split_records(stdout.decode("utf-8", "replace")),
            limit_bytes=MAX_LISTING_BYTES,
            timeout_seconds=self._timeout_seconds,
        )
