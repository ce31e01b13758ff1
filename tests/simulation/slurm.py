"""A virtual Slurm: the controller's memory, accounting with its delay, and commands that fail."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import replace

from simulation.faults import Faults
from simulation.scheduler import Scheduler
from slurm.errors import FailureReason, SlurmError
from slurm.job import Job
from spool.resolve.job_texts import Texts, TextsQuery, TextsReply

HANG_SECONDS = (20.0, 60.0)  # until our own time limit ends a command


class VirtualSlurm:
    """The records of slurmctld and slurmdbd; the site changes them, clients read them."""

    def __init__(self, scheduler: Scheduler, faults: Faults, *, min_job_age: float) -> None:
        self.scheduler = scheduler
        self.faults = faults
        self.min_job_age = min_job_age
        self.has_accounting = True
        self.accounting_delay = 5.0
        self.records: dict[int, Job] = {}
        self.rows: dict[tuple[int, int], Job] = {}
        self.texts: dict[int, Texts] = {}
        self.users: dict[int, str] = {}

    def set_record(self, job: Job) -> None:
        """Set the controller's record of a job; accounting gets it a little later."""
        self.records[job.job_id] = job
        if job.state == "PENDING" or not job.start_time or "CONFIGURING" in job.flags:
            return
        row = replace(job, allocations=(), flags=())
        delay = self.accounting_delay * self.scheduler.random.uniform(0.2, 1.0)
        self.scheduler.after(delay, lambda: self._account(row))

    def requeue(self, job: Job, state: str) -> None:
        """End a run and put its job back into the queue."""
        delay = self.accounting_delay * self.scheduler.random.uniform(0.2, 1.0)
        row = replace(job, allocations=(), flags=(), state=state)
        self.scheduler.after(delay, lambda: self._account(row))
        self.records[job.job_id] = replace(
            job,
            state="PENDING",
            start_time=None,
            end_time=None,
            nodes=(),
            allocations=(),
            restart_count=(job.restart_count or 0) + 1,
        )

    def forget(self, job_id: int) -> None:
        """Let the controller forget a job that has ended."""
        found = self.records.get(job_id)
        if found is not None and found.end_time is not None:
            del self.records[job_id]

    def _account(self, row: Job) -> None:
        key = (row.job_id, row.start_time or 0)
        old = self.rows.get(key)
        if old is None or old.end_time is None:
            self.rows[key] = row

    def ask_texts(self, query: TextsQuery) -> TextsReply:
        """Answer a question for scripts, descriptions and names."""
        clock, faults = self.scheduler.clock, self.faults
        clock.ahead += self.scheduler.random.uniform(0.001, 0.02) * (1 + len(query.jobs))
        if faults.texts_hang:
            clock.ahead += faults.texts_hang
            return TextsReply(
                texts={(j.job_id, j.start_time): Texts(is_final=False) for j in query.jobs},
                users=dict.fromkeys(query.uids),
            )
        found = {(j.job_id, j.start_time): self.texts.get(j.job_id, Texts()) for j in query.jobs}
        users = {u: None if faults.names_fail else self.users.get(u) for u in query.uids}
        return TextsReply(texts=found, users=users)


def _without_details(record: Job) -> Job:
    """Return a job as the columns of squeue show it: without cores, name and comment."""
    return replace(record, allocations=(), name=None, comment=None)


class VirtualSlurmClient:
    """Slurm's commands as one worker calls them."""

    def __init__(self, slurm: VirtualSlurm) -> None:
        self._slurm = slurm
        self._has_accounting: bool | None = None

    @property
    def has_accounting(self) -> bool | None:
        """Return whether the site has accounting; None before the first query."""
        return self._has_accounting

    def jobs(
        self, ids: Iterable[int], *, states_only: Container[int] = ()
    ) -> Mapping[int, Job | SlurmError]:
        """Return the controller's records."""
        slurm = self._slurm
        wanted = list(ids)
        self._run(0.01 + 0.002 * len(wanted), hangs=slurm.faults.controller_hangs)
        found: dict[int, Job | SlurmError] = {}
        for job_id in wanted:
            record = slurm.records.get(job_id)
            if record is None:
                continue
            if slurm.faults.is_unreadable_record(job_id):
                found[job_id] = SlurmError("odd record", reason=FailureReason.MALFORMED)
            else:
                found[job_id] = _without_details(record) if job_id in states_only else record
        return found

    def accounting(self, ids: Iterable[int], *, since: int, until: int) -> tuple[Job, ...]:
        """Return the rows of some jobs in a window."""
        slurm = self._slurm
        self._has_accounting = slurm.has_accounting
        if not slurm.has_accounting:
            return ()
        self._run(0.05, hangs=slurm.faults.accounting_hangs)
        wanted = set(ids)
        return tuple(
            row
            for (job_id, start), row in slurm.rows.items()
            if job_id in wanted and start <= until and (row.end_time or until) >= since
        )

    def listing(self) -> list[ListedJob]:
        """Return all jobs that the controller has."""
        self._run(0.05, hangs=self._slurm.faults.controller_hangs)
        return [ListedJob(job) for job in self._slurm.records.values()]

    def _run(self, seconds: float, *, hangs: str) -> None:
        """Let a command take its time, or fail.

        Raises:
            SlurmError: it failed.
        """
        scheduler = self._slurm.scheduler
        scheduler.clock.ahead += seconds * scheduler.random.uniform(0.5, 3.0)
        if hangs == "hang":
            scheduler.clock.ahead += scheduler.random.uniform(*HANG_SECONDS)
            raise SlurmError("no answer in time", reason=FailureReason.TIMEOUT)
        if hangs == "fail":
            raise SlurmError("unable to contact slurmctld", reason=FailureReason.UNREACHABLE)
        if hangs == "slow":
            scheduler.clock.ahead += scheduler.random.uniform(1.0, 10.0)


class ListedJob:
    """One line of the job list."""

    def __init__(self, job: Job) -> None:
        self.job_id = job.job_id
        self.start_time = job.start_time
        self.is_live = job.state in {"RUNNING", "SUSPENDED"}
