"""Reads job records by `scontrol show job ID -d` alone, one command for each job."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from slurm.commands import MAX_LISTING_BYTES, SlurmCommands
from slurm.decode.fields.scalars import LIVE_STATES
from slurm.decode.scontrol_job import UntrustedTextError, add_job_detail
from slurm.decode.scontrol_record import parse_job_record, record_head, split_records
from slurm.errors import FailureReason, SlurmError, UnknownJob
from slurm.job import Job
from slurm.lookup.cluster_facts import NodeGeometries
from slurm.lookup.result import CallBudget, LookupResult
from slurm.lookup.text_source import scontrol_id, without_resources

MAX_JOBS = 64
MAX_SECONDS = 5.0
"""After this time no further job is looked up."""
TIMEOUT_SECONDS = 10.0


class SingleSource:
    """Job records one by one, for when squeue fails; bounded in case scontrol hangs."""

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
        self._timeout_seconds = TIMEOUT_SECONDS

    def find(
        self,
        wanted: Sequence[int],
        cluster: str,
        not_asked: SlurmError,
        *,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> LookupResult:
        """Return the jobs; those for which there was no time get the error `not_asked`.

        Raises:
            SlurmError: scontrol does not answer either.
        """
        self._timeout_seconds = min(timeout_seconds, self._commands.timeout_seconds)
        found = LookupResult()
        deadline = self._clock() + MAX_SECONDS
        for job_id in wanted:
            asked = len(found.jobs) + len(found.unknown)
            if asked >= MAX_JOBS or self._clock() > deadline:
                found.jobs[job_id] = not_asked
                continue
            try:
                found.jobs[job_id] = self._job(job_id, cluster)
            except UnknownJob:
                found.unknown.add(job_id)
            except UntrustedTextError as error:
                message = f"the text of job {job_id} cannot be trusted: {error}"
                found.jobs[job_id] = SlurmError(message, reason=FailureReason.MALFORMED)
            except SlurmError:
                if not asked:
                    raise
                found.jobs[job_id] = not_asked
                deadline = self._clock() - 1
        return found

    def _job(self, job_id: int, cluster: str) -> Job:
        """Return one job; the id of an array or het job first stands for all of its tasks."""
        records = self._records(str(job_id))
        own = [record for record in records if record_head(record).job_id == job_id]
        words = scontrol_id(record_head(own[0])) if own else ""
        if len(records) > 1 and words not in {"", str(job_id)}:
            records = self._records(words)
            own = [record for record in records if record_head(record).job_id == job_id]
        if len(own) != 1:
            raise UntrustedTextError("it does not contain exactly one record of the job")
        job = parse_job_record(own[0], job_id, cluster=cluster)
        if len(records) > 1 and job.state != "PENDING":  # the rest of an array may be pending
            raise UntrustedTextError("it contains records of other jobs, too")
        if not job.nodes:
            return job
        try:
            return add_job_detail(job, own[0], node_of=self._geometries.node)
        except UntrustedTextError:
            if job.state in LIVE_STATES:
                raise
            return without_resources(job)  # scontrol no longer shows them for an ended job

    def _records(self, words: str) -> tuple[str, ...]:
        argv = [self._commands.scontrol, "show", "job", words, "-d"]
        self._budget.spend(1)
        return self._commands.read(
            argv,
            lambda stdout: split_records(stdout.decode("utf-8", "replace")),
            limit_bytes=MAX_LISTING_BYTES,
            timeout_seconds=self._timeout_seconds,
        )
