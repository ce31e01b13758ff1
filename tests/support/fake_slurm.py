"""A Slurm in memory: a controller and its accounting."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field, replace

from slurm.decode.job_rows import SqueueRow
from slurm.errors import FailureReason, SlurmError
from slurm.job import Job


def state_alone(record: Job) -> Job:
    """Return the facts of a job in squeue's columns; the others need one scontrol per job."""
    return replace(
        record, allocations=(), name=None, comment=None, requested_memory=None, constraints=None
    )


@dataclass
class FakeSlurm:
    """A controller and its accounting: tests write `records` and `rows`."""

    records: dict[int, Job] = field(default_factory=dict)
    rows: list[Job] = field(default_factory=list)
    silent: bool = False
    accounting_silent: bool = False
    looks: int = 0
    lists: int = 0
    has_accounting: bool = True

    def jobs(
        self, ids: Iterable[int], *, states_only: Container[int] = ()
    ) -> Mapping[int, Job | SlurmError]:
        """Return the records of some job ids; those in `states_only` lack the detailed facts."""
        self.looks += 1
        if self.silent:
            raise SlurmError("squeue does not answer", reason=FailureReason.UNREACHABLE)
        return {
            i: state_alone(self.records[i]) if i in states_only else self.records[i]
            for i in ids
            if i in self.records
        }

    def listing(self) -> Iterable[SqueueRow]:
        """Return the job list; raise SlurmError if silent."""
        self.lists += 1
        if self.silent:
            raise SlurmError("squeue does not answer", reason=FailureReason.UNREACHABLE)
        return [
            SqueueRow(
                job_id=job.job_id,
                array_job_id=job.job_id,
                state=job.state or "",
                start_time=job.start_time,
                submit_time=job.submit_time,
                partition=job.partition or "",
                user=job.user or "",
                account=job.account or "",
                nodes="",
            )
            for job in self.records.values()
        ]

    def accounting(self, ids: Iterable[int], *, since: int, until: int) -> tuple[Job, ...]:
        """Return the rows of some job ids in a time window."""
        if self.accounting_silent:
            raise SlurmError("sacct does not answer", reason=FailureReason.UNREACHABLE)
        wanted = set(ids)
        return tuple(
            row
            for row in self.rows
            if row.job_id in wanted
            and (row.end_time or until) >= since
            and (row.start_time or 0) <= until
        )
